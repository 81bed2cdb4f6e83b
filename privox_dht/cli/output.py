"""A program's output: results on stdout, messages and logs on stderr, strangers' text sanitized.

Every byte is written, or an error ends the program with a non-zero exit code: `print`, `click.echo`
and `sys.stdout.write` lose bytes silently if stdout is not buffered (`python -u`, PYTHONUNBUFFERED,
as in containers) and a disk is full or a pipe does not block.
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
# Characters that a terminal would interpret: control characters, except line ends and tabs, and
# reversed text; and surrogates, which cannot be written.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def to_stdout(data: bytes) -> None:
    """Write all of `data`. Ctrl-C ends it, even if the reader is slow.

    Raises:
        BrokenPipeError: the reader is gone: write no more there, see `mute_stdout`.
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
    """Write as much of `data` as stdout takes within `seconds`; returns the rest.

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
    """Write all of `data`.

    Raises:
        OSError: it cannot be written, or stderr is closed.
    """
    _to_stream(sys.stderr, data)


def say(text: str) -> None:
    """Write a line to stderr; errors are ignored."""
    with suppress(OSError):
        to_stderr(text.encode(errors="replace") + b"\n")


def mute_stdout() -> None:
    """Replace stdout by /dev/null, so that nothing is written to it when the program ends."""
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
    """Flush a stream; returns its file descriptor, or None in a test or a notebook."""
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
    """Ctrl-C and SIGTERM raise KeyboardInterrupt while something blocks the event loop, which
    handles them at other times."""
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
    """`text` without characters that a terminal would interpret."""
    return UNPRINTABLE.sub("\ufffd", str(text))


class TextFormatter(logging.Formatter):
    """One line per event; strangers' text cannot end it, or move the cursor."""

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
    """`extra=` for a log line that programs wait for: its event and fields, in --json-logs."""
    return {"fields": {"event": event, **fields}}


def set_up_logging(level: str, as_json: bool) -> None:
    """Log to stderr; stdout is for results."""
    handler = logging.StreamHandler(sys.stderr)
    plain = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("kademlia", "rpcudp", "asyncio", "aiohttp"):  # theirs, not our users'
        logging.getLogger(noisy).setLevel(logging.CRITICAL if level != "debug" else logging.INFO)
