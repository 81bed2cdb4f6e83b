"""How far a job is, on a terminal; nothing at all in a pipe.

    0:17 of 60:00, 41 times as fast as it was spoken, 8 producers, 1:27 left
    calling 3cahqwa5 (pocketsphinx)    sending 42 %    hearing 0:17 of 1:00    everybody is busy ...

One line, drawn over itself, erased at the end.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import Any, TextIO

from privox_dht.cli.output import sanitize
from privox_dht.dispatch.job_events import (
    Dialing,
    FileChunk,
    JobEvent,
    Scattered,
    Uploading,
    Waiting,
)
from privox_dht.speech import AudioInfo, Segment
from privox_dht.units import clock_time

REDRAW = 0.1  # seconds; more often than this only flickers
ERASE = "\r\x1b[2K"


class Progress:
    """One line on a terminal."""

    def __init__(self, stream: TextIO | None = None, *, label: str = "") -> None:
        self._label = label  # stands before everything: which of several jobs this is
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._last = 0.0
        self._told = False  # that everybody is busy, where there is no terminal
        self._seconds = 0.0  # of the recording
        self._received = 0  # bytes of sound
        self._scattered = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Erase the line, since something else is written there. The next event draws it again."""
        if self._shown:
            self._last = 0.0
            self._stream.write(ERASE)
            self._stream.flush()

    def show(self, event: JobEvent[Any]) -> None:
        """What just happened."""
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
                self._draw(_how_far(event), now=_is_from_before(event))
            case Segment() if not self._scattered:
                self._draw(f"hearing {clock_time(event.end)} of {clock_time(self._seconds)}")
            case FileChunk(data) if not self._scattered:
                self._received += len(data)
                self._draw(f"receiving, {self._received // 1024} KiB so far")

    def _waiting(self, left: float) -> None:
        """Everybody is busy, or does not answer: said in a pipe too, since it explains why
        nothing comes."""
        text = f"everybody is busy or does not answer, asking again for {left:.0f} s"
        if self._shown:
            self._draw(text, now=True)
        elif not self._told:
            self._told = True
            self._stream.write(f"privox-client: {text}\n")
            self._stream.flush()

    def _draw(self, text: str, now: bool = False) -> None:
        if self._shown and (now or time.monotonic() - self._last >= REDRAW):
            self._last = time.monotonic()
            width = shutil.get_terminal_size().columns - 1  # a second line would not be erased
            self._stream.write(ERASE + sanitize(self._label + text)[: max(width, 1)])
            self._stream.flush()


def _how_far(event: Scattered) -> str:
    far = f"{clock_time(event.heard)} of {clock_time(event.seconds)}"
    if _is_from_before(event):
        far += " were heard before"
    if event.speed <= 0:
        return f"{far}, {event.producers} producers"
    left = max(0.0, event.seconds - event.heard) / event.speed
    return (
        f"{far}, {event.speed:.1f} times as fast as it was spoken, {event.producers} producers,"
        f" {clock_time(left)} left"
    )


def _is_from_before(event: Scattered) -> bool:
    """Whether an earlier run heard all that is heard by now."""
    return event.heard == event.before > 0
