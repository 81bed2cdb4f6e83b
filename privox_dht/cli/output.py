"""What a program writes: results on stdout, words and logs on stderr, strangers' words made safe.

Every byte arrives, or an error ends the program with a non-zero exit code: `print`, `click.echo`
and `sys.stdout.write` lose bytes without a word where stdout is not buffered (`python -u`,
PYTHONUNBUFFERED, as in containers) and a disk is full or a pipe does not block.
"""

import errno
import io
import json
import logging
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from privox_dht.atomic_file import write_all

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
LEVELS = ("debug", "info", "warning", "error")
# What a terminal would obey instead of showing it: control characters, turned-round text, and
# halves of characters, which cannot be written at all. Line ends and tabs may stay.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


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


def to_stdout_within(data: bytes, seconds: float = 0.0) -> bytes:
    """As much of `data` as stdout takes within `seconds`; what it does not take is returned.

    Raises:
        BrokenPipeError, OSError: see `to_stdout`.
    """
    try:
        descriptor = _descriptor(sys.stdout)
        if descriptor is None:
            _to_stream(sys.stdout, data)
            return b""
        until = time.monotonic() + seconds
        while data and _takes(descriptor, max(until - time.monotonic(), 0.0)):
            with suppress(BlockingIOError):
                data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    except BrokenPipeError:
        raise
    except OSError:
        mute_stdout()
        raise
    return data


def to_stderr(data: bytes) -> None:
    """All of `data`.

    Raises:
        OSError: it cannot be written, or stderr is closed.
    """
    _to_stream(sys.stderr, data)


def say(text: str) -> None:
    """A line on stderr. A stderr that cannot be written to is ignored."""
    with suppress(OSError):
        to_stderr(text.encode(errors="replace") + b"\n")


def mute_stdout() -> None:
    """Nothing can be written there any more; do not try again when the program ends."""
    with suppress(OSError, ValueError, AttributeError):  # AttributeError: it is closed, so None
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _to_stream(stream: TextIO | None, data: bytes) -> None:
    descriptor = _descriptor(stream)
    if descriptor is None:
        assert stream is not None
        stream.buffer.write(data)
        stream.buffer.flush()
        return
    with stop_signals_raise():
        write_all(descriptor, data)


def _descriptor(stream: TextIO | None) -> int | None:
    """Of a stream with nothing left in it; None: it is no file but a test's, or a notebook's."""
    if stream is None:
        raise OSError(errno.EBADF, "it is closed")
    stream.flush()
    try:
        return stream.fileno()
    except io.UnsupportedOperation:
        return None


def _takes(descriptor: int, seconds: float) -> bool:
    """Whether `select.PIPE_BUF` bytes can be written without waiting, within `seconds`."""
    return bool(select.select([], [descriptor], [], seconds)[1])


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt while something blocks the event loop, which would
    handle them otherwise."""
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


def sanitize(text: object) -> str:
    """`text` as it may be shown: strangers' words hold nothing that a terminal would obey."""
    return UNPRINTABLE.sub("\ufffd", str(text))


class TextFormatter(logging.Formatter):
    """One line an event; what strangers said cannot end it, or move the cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = sanitize(record.message).replace("\n", " ")
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of an event."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_fields(event: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """`extra=` for a log line that programs wait for: its name and what it says, in --json-logs."""
    return {"fields": {"event": event, **fields}}


def set_up_logging(level: str, as_json: bool) -> None:
    """Logs go to stderr; stdout belongs to results."""
    handler = logging.StreamHandler(sys.stderr)
    plain = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("kademlia", "rpcudp", "asyncio", "aiohttp"):  # theirs, not our users'
        logging.getLogger(noisy).setLevel(logging.CRITICAL if level != "debug" else logging.INFO)
