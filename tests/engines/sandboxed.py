"""A worker that, told to, also tries what its sandbox forbids: `sandboxed MODULE ARGUMENTS`."""

import importlib
import sys
from typing import Any

import scripted_worker

from nodes.engines import worker_main
from nodes.engines.link import Link


def main() -> None:
    sys.argv = sys.argv[1:]
    module = importlib.import_module(sys.argv[0])

    def load() -> tuple[dict[str, Any], worker_main.Handler]:
        hello, its_answer = module.load()

        def answer(asked: dict[str, Any], payload: bytes, link: Link) -> None:
            (scripted_worker.answer if "do" in asked else its_answer)(asked, payload, link)

        return hello, answer

    module.main(load)


if __name__ == "__main__":
    main()
