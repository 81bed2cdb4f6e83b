"""What is said of a job on stderr, once, wherever stderr goes.

scattered, the first time    how many strangers get a part of it, and how to change that
not scattered, though long   what is missing
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from privox_dht.cli.logs import sanitize
from privox_dht.cli.streams import say
from privox_dht.dispatch.job_events import JobEvent, Scattered, Whole

TOLD = "scattering-was-explained"  # a file in the state folder
RECORDING, TEXT = "recording", "text"
EXPLAINED = {
    RECORDING: "hear a part of this recording; with --scatter never one of them hears all of it",
    TEXT: "read a part of this text; with --only PEER,... nobody does but these",
}


class Notes:
    """For one job.

    Args:
        state: the client's folder, which remembers what was said before.
        named: the producers are named by the user: no strangers.
        what: `RECORDING` or `TEXT`.
    """

    def __init__(self, state: Path, *, named: bool, what: str = RECORDING) -> None:
        self._told = state / (TOLD if what == RECORDING else f"{TOLD}-of-{what}")
        self._what = what
        self._named = named

    def take(self, event: JobEvent[Any]) -> None:
        """Say what is to be said of it."""
        match event:
            case Scattered(producers=producers) if not self._named:
                self._named = True
                self._explain(producers)
            case Whole(why):
                say(sanitize(f"privox-client: the whole recording goes to one producer ({why})"))

    def _explain(self, producers: int) -> None:
        if self._told.exists():
            return
        say(
            f"privox-client: each of {producers} strangers may {EXPLAINED[self._what]}."
            " (This is said once.)"
        )
        with suppress(OSError):  # then it is said again
            self._told.parent.mkdir(parents=True, exist_ok=True)
            self._told.touch()
