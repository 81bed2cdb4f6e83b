"""A program whose clock is wrong: `python -m tests.nat.wrong_clock SECONDS MODULE ARGUMENT...`"""

import runpy
import sys
import time


def run(ahead: float, module: str, arguments: list[str]) -> None:
    """Run a module as a program to which it is so many seconds later than it is."""
    right = time.time
    time.time = lambda: right() + ahead
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run(float(sys.argv[1]), sys.argv[2], sys.argv[3:])
