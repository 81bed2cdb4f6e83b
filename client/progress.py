"""How far a job is, on a terminal; nothing at all in a pipe.

    calling 3cahqwa5 (pocketsphinx)    sending 42 %    hearing 0:17 of 1:00    everybody is busy ...

One line, drawn over itself, erased at the end.
"""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import TextIO

from privox_dht.cli.settings import printable
from privox_dht.mesh import Watch
from privox_dht.records import Record
from privox_dht.speech_api.client import Endpoint

REDRAW = 0.1  # seconds; more often than this only flickers
ERASE = "\r\x1b[2K"


class Progress:
    """One line on a terminal."""

    def __init__(self, stream: TextIO | None = None, *, label: str = "") -> None:
        self._label = label  # stands before everything: which of several jobs this is
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._last = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._shown:
            self._stream.write(ERASE)
            self._stream.flush()

    def watch(self) -> Watch:
        """Callbacks that draw this line."""
        return Watch(
            uploaded=self._uploaded,
            heard=self._heard,
            spoken=lambda received: self._draw(f"receiving, {received // 1024} KiB so far"),
            waiting=self._waiting,
            calling=self._calling,
        )

    def _uploaded(self, sent: int, total: int) -> None:
        self._draw(f"sending {sent * 100 // max(total, 1)} %", now=sent >= total)

    def _heard(self, done: float, total: float) -> None:
        self._draw(f"hearing {clock_face(done)} of {clock_face(total)}")

    def _waiting(self, left: float) -> None:
        """Everybody is busy, or the last one was lost: said in a pipe too, since it explains why
        nothing comes."""
        text = f"everybody is busy or lost, asking again for {left:.0f} s"
        if self._shown:
            self._draw(text, now=True)
        elif self._last == 0.0:
            self._last = time.monotonic()
            self._stream.write(f"privox-client: {text}\n")
            self._stream.flush()

    def _calling(self, endpoint: Endpoint, record: Record | None) -> None:
        who = f"{record.peer_id[:8]} ({record.engine})" if record else endpoint.base
        self._draw(f"calling {who}", now=True)

    def _draw(self, text: str, now: bool = False) -> None:
        if self._shown and (now or time.monotonic() - self._last >= REDRAW):
            self._last = time.monotonic()
            width = shutil.get_terminal_size().columns - 1  # a second line would not be erased
            self._stream.write(ERASE + printable(self._label + text)[: max(width, 1)])
            self._stream.flush()


def clock_face(seconds: float) -> str:
    """65.2 as "1:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
