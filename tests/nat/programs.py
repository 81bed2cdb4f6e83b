"""A real program that runs on a host of the lab, and what may be done to it.

test    -> program   argv, in the host's namespace, all its output into one file
program -> test      wait_for("joined"): the line, or an error that shows the output so far
test    -> program   freeze, thaw, kill, stop
"""

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .netns import LabError, within

LOOK_EVERY = 0.02  # seconds between looks at a program's output
STOP_SECONDS = 5.0  # how long a program may take to end when asked
TAIL = 4_000  # characters of output shown when something did not come


class Program:
    """One running program."""

    def __init__(
        self,
        namespace: str,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.argv = tuple(argv)
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                within(namespace, *argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
                cwd=folder,
            )

    def __repr__(self) -> str:
        state = "running" if self.running else f"ended with {self._process.returncode}"
        return f"<Program {self.log.stem} {self.pid} {state}>"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def here(self) -> int:
        """A place in the output: `wait_for(..., since=here)` looks only at what comes after it."""
        return len(self.output)

    def wait_for(self, pattern: str, seconds: float = 10.0, *, since: int = 0) -> re.Match[str]:
        """The first match of a regular expression in the output.

        Raises:
            LabError: it did not come in time, or the program ended without saying it.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + seconds
        while True:
            alive = self.running  # before the look: what was said last is seen
            if match := wanted.search(self.output, since):
                return match
            if not alive or time.monotonic() > deadline:
                why = f"not within {seconds:g} s" if alive else "and now it has ended"
                raise LabError(f"{self!r} never said {pattern!r}, {why}:\n{self.output[-TAIL:]}")
            time.sleep(LOOK_EVERY)

    def wait(self, seconds: float = 10.0) -> int:
        """The exit code, once it has ended by itself."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired as exc:
            raise LabError(
                f"{self!r} did not end in {seconds:g} s:\n{self.output[-TAIL:]}"
            ) from exc

    def freeze(self) -> None:
        """Stop it in its tracks: its kernel still acknowledges, it does nothing (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a power cut would (SIGKILL), and wait until it is gone."""
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def stop(self) -> int:
        """Ask it to end (SIGTERM), insist after a while; the exit code."""
        if self.running:
            self._process.terminate()
            self.thaw()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()
