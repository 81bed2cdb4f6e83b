"""What the user sees of a job: its progress on a terminal, notes, and a report at the end.

    0:17 of 60:00, 41 times real time, 8 producers, 1:27 left
    calling 3cahqwa5 (pocketsphinx)    sending 42 %    transcribed 0:17 of 1:00
    all producers are busy or do not answer, asking again for 52 s

The progress is one line, redrawn and finally erased; there is none in a pipe. Notes say, once, how
many strangers get a part of a recording, and why a long one is not scattered.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from client.files import STDIO, write, write_stderr
from privox_dht.cli.output import sanitize, say
from privox_dht.dispatch.job_events import (
    Dialing,
    FileChunk,
    JobEvent,
    NotScattered,
    Scattered,
    Uploading,
    Waiting,
)
from privox_dht.dispatch.job_state import Done
from privox_dht.speech import AudioInfo, Segment
from privox_dht.units import clock_time

REDRAW = 0.1  # seconds between two redraws, which would flicker otherwise
ERASE = "\r\x1b[2K"
EXPLAINED = "scattering-was-explained"  # a file in the state folder
RECORDING, TEXT = "recording", "text"
EXPLANATIONS = {
    RECORDING: "hear {} this recording; with --scatter never one of them hears all of it",
    TEXT: "read {} this text; with --only PEER,... nobody does but these",
}
SEVERAL = "several"  # in place of the producer's id, where a recording was scattered


class Progress:
    """One line on a terminal."""

    def __init__(self, stream: TextIO | None = None, *, label: str = "") -> None:
        self._label = label  # before every text: which of several jobs this is
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._last = 0.0
        self._said_busy = False  # that all are busy, if there is no terminal
        self._seconds = 0.0  # of the recording
        self._received = 0  # bytes of sound
        self._scattered = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Erase the line, so that something else can be written. The next event redraws it."""
        if self._shown:
            self._last = 0.0
            self._stream.write(ERASE)
            self._stream.flush()

    def show(self, event: JobEvent[Any]) -> None:
        """Show an event."""
        match event:
            case Waiting(seconds):
                self._waiting(seconds)
            case Dialing(record, route):
                self._received = 0
                who = f"{record.peer_id[:8]} ({record.engine})" if record else route
                self._draw(f"calling {who}", now=True)
            case Uploading(sent, total):
                self._draw(f"sending {sent * 100 // max(total, 1)} %", now=sent >= total)
            case AudioInfo(seconds):
                self._seconds = seconds
            case Scattered():
                self._scattered = True
                self._draw(_progress_text(event), now=_is_resumed(event))
            case Segment() if not self._scattered:
                self._draw(f"transcribed {clock_time(event.end)} of {clock_time(self._seconds)}")
            case FileChunk(data) if not self._scattered:
                self._received += len(data)
                self._draw(f"receiving, {self._received // 1024} KiB so far")

    def _waiting(self, left: float) -> None:
        """All producers are busy or do not answer: printed in a pipe too, to explain the delay."""
        text = f"all producers are busy or do not answer, asking again for {left:.0f} s"
        if self._shown:
            self._draw(text, now=True)
        elif not self._said_busy:
            self._said_busy = True
            self._stream.write(f"privox-client: {text}\n")
            self._stream.flush()

    def _draw(self, text: str, now: bool = False) -> None:
        if self._shown and (now or time.monotonic() - self._last >= REDRAW):
            self._last = time.monotonic()
            width = shutil.get_terminal_size().columns - 1  # a second line would not be erased
            self._stream.write(ERASE + sanitize(self._label + text)[: max(width, 1)])
            self._stream.flush()


def _progress_text(event: Scattered) -> str:
    far = f"{clock_time(event.done)} of {clock_time(event.seconds)}"
    if _is_resumed(event):
        far += " were done before"
    if event.speed <= 0:
        return f"{far}, {event.producers} producers"
    left = max(0.0, event.seconds - event.done) / event.speed
    speed = f"{event.speed:.1f} times real time"
    return f"{far}, {speed}, {event.producers} producers, {clock_time(left)} left"


def _is_resumed(event: Scattered) -> bool:
    """Whether only an earlier run has done anything yet."""
    return event.done == event.resumed > 0


class Notes:
    """Prints the notes of one job.

    Args:
        state: the client's folder, where a file marks that the explanation was given.
        named: the user has named the producers, so they are no strangers.
        what: `RECORDING` or `TEXT`.
    """

    def __init__(self, state: Path, *, named: bool, what: str = RECORDING) -> None:
        self._mark = state / (EXPLAINED if what == RECORDING else f"{EXPLAINED}-of-{what}")
        self._what = what
        self._named = named
        self._least = 2 if what == RECORDING else 1  # else it is as if it were not scattered
        self._resumes = True  # until it was printed

    def take(self, event: JobEvent[Any]) -> None:
        """Print the note for an event, if there is one."""
        if isinstance(event, Scattered) and self._resumes and event.done > event.resumed > 0:
            self._resumes = False
            say(f"privox-client: {clock_time(event.resumed)} were done before; going on from there")
        match event:
            case Scattered(producers=producers) if producers >= self._least and not self._named:
                self._named = True
                self._explain(producers)
            case NotScattered(why):
                say(sanitize(f"privox-client: the whole recording goes to one producer ({why})"))

    def _explain(self, producers: int) -> None:
        if os.path.exists(self._mark):  # Path.exists raises PermissionError
            return
        several = producers > 1
        who = f"each of {producers} strangers" if several else "a stranger"
        what = EXPLANATIONS[self._what].format("a part of" if several else "all of")
        say(f"privox-client: {who} may {what}. (This is said once.)")
        with suppress(OSError):  # then it is printed again next time
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            self._mark.touch()


def report(
    done: Done[Any],
    result: dict[str, Any],
    as_json: bool,
    what: str,
    *,
    audio_on_stdout: bool = False,
) -> None:
    """Print the producer, the route and the duration: as JSON on stdout (on stderr if stdout takes
    the audio), or as a line on stderr."""
    record = done.record
    scattered = bool(done.shares) or not done.attempts  # none: an earlier run did all of it
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
        line = json.dumps({**result, **job})
        if audio_on_stdout:
            write_stderr(line)
        else:
            write(STDIO, line.encode() + b"\n")
    elif sys.stderr.isatty():
        engine = f" ({record.engine})" if record else ""
        by = "" if done.shares else f"by {who[:8]}{engine}, "
        line = f"{what}, {by}{done.route}, {done.seconds:.1f} s"
        say(sanitize(line))
