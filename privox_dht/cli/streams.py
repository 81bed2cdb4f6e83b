"""A program's stdout and stderr: every byte, or an error that ends with a non-zero exit code.

`print`, `click.echo` and `sys.stdout.write` lose bytes without a word where stdout is not buffered
(`python -u`, PYTHONUNBUFFERED, as in containers) and a disk is full or a pipe does not block.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from privox_dht.atomic_file import write_all

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def to_stdout(data: bytes) -> None:
    """All of `data`. Ctrl-C ends it, however slowly the reader reads.

    Raises:
        BrokenPipeError: the reader is gone. Nothing more should be said there: `mute_stdout`.
        OSError: it cannot be written, or stdout is closed; stdout is muted then.
    """
    try:
        _to_stream(sys.stdout, data)
    except BrokenPipeError:
        raise
    except OSError:
        mute_stdout()
        raise


def to_stderr(data: bytes) -> None:
    """All of `data`.

    Raises:
        OSError: it cannot be written, or stderr is closed.
    """
    _to_stream(sys.stderr, data)


def say(text: str) -> None:
    """A line on stderr for whoever watches. A stderr that takes nothing is nobody's fault."""
    with suppress(OSError):
        to_stderr(text.encode(errors="replace") + b"\n")


def mute_stdout() -> None:
    """Nothing can be written there any more; do not try again when the program ends."""
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: it is closed, so None
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _to_stream(stream: TextIO | None, data: bytes) -> None:
    if stream is None:
        raise OSError(errno.EBADF, "it is closed")
    stream.flush()
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # no file: a test's, a notebook's
        stream.buffer.write(data)
        stream.buffer.flush()
        return
    with stop_signals_raise():
        write_all(descriptor, data)


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """While something blocks the event loop, which heeds Ctrl-C and SIGTERM otherwise: both raise
    KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = [(number, signal.signal(number, interrupt)) for number in STOP_SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
