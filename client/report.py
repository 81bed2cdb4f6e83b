"""What is said of a job beside its result: on stderr, or as JSON.

scattered, the first time    how many strangers get a part of it, and how to change that
not scattered, though long   what is missing
done                         who did it, by which route, and how long it took
"""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from client.files import STDIO, write, write_note
from privox_dht.cli.output import sanitize, say
from privox_dht.dispatch.job_events import JobEvent, Scattered, Whole
from privox_dht.dispatch.job_state import Done
from privox_dht.units import clock_time

TOLD = "scattering-was-explained"  # a file in the state folder
RECORDING, TEXT = "recording", "text"
EXPLAINED = {
    RECORDING: "hear {} this recording; with --scatter never one of them hears all of it",
    TEXT: "read {} this text; with --only PEER,... nobody does but these",
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
        self._resumes = True  # and it was not said yet

    def take(self, event: JobEvent[Any]) -> None:
        """Say what is to be said of it."""
        if isinstance(event, Scattered) and self._resumes and event.heard > event.before > 0:
            self._resumes = False
            say(f"privox-client: {clock_time(event.before)} were heard before; going on from there")
        match event:
            case Scattered(producers=producers) if producers and not self._named:
                self._named = True
                self._explain(producers)
            case Whole(why):
                say(sanitize(f"privox-client: the whole recording goes to one producer ({why})"))

    def _explain(self, producers: int) -> None:
        if self._told.exists():
            return
        several = producers > 1
        who = f"each of {producers} strangers" if several else "a stranger"
        what = EXPLAINED[self._what].format("a part of" if several else "all of")
        say(f"privox-client: {who} may {what}. (This is said once.)")
        with suppress(OSError):  # then it is said again
            self._told.parent.mkdir(parents=True, exist_ok=True)
            self._told.touch()


SEVERAL = "several"  # in place of the producer's id, where a recording was scattered


def report(
    done: Done[Any],
    told: dict[str, Any],
    as_json: bool,
    what: str,
    *,
    audio_on_stdout: bool = False,
) -> None:
    """Who did it, by which route, how long it took: as JSON on stdout (on stderr, where the audio
    is on stdout) or as a line on stderr."""
    record = done.record
    scattered = bool(done.shares) or not done.attempts  # none, where all was heard before
    who = record.peer_id if record else SEVERAL if scattered else "fallback"
    if as_json:
        job = {
            "producer": who,
            "engine": record.engine if record else "",
            "backend": record.backend if record else "",
            "route": done.route,
            "seconds": round(done.seconds, 3),
            "attempts": [attempt.as_json() for attempt in done.attempts],
        }
        if done.shares:
            job["producers"] = done.shares
        line = json.dumps({**told, **job})
        if audio_on_stdout:
            write_note(line)
        else:
            write(STDIO, line.encode() + b"\n")
    elif sys.stderr.isatty():
        engine = f" ({record.engine})" if record else ""
        by = "" if done.shares else f"by {who[:8]}{engine}, "
        line = f"{what}, {by}{done.route}, {done.seconds:.1f} s"
        say(sanitize(line))
