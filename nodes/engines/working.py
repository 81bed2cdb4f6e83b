"""The worker's side of an engine that lives in a process of its own.

The engine's parent holds the other end of file descriptor 0, which is a socket. Both sides speak
frames: two lengths, a JSON object, bytes.

    worker  -> {"ready": true, ...}                   once, when it is loaded and warm
    parent  -> {what is asked}          + bytes
    worker  -> {a piece of the answer}  + bytes       as many as there are
    worker  -> {"done": true}                         or {"refused": why, ...} or {"failed": why}

One question at a time. The parent ends a worker by killing it. A worker whose parent is gone ends
by itself: Linux kills it, elsewhere it reads the end of file, or sees that it was adopted.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

LENGTHS = struct.Struct("!II")  # bytes of JSON, bytes that follow it
MAX_HEAD = 1 << 20  # bytes of JSON; a segment with all its words is a few KiB
MAX_PAYLOAD = 1 << 24  # bytes; the longest piece of sound that is handed over is a few MB
PARENT = "PRIVOX_WORKER_PARENT"  # environment variable: the process id of the parent
NICENESS = 5  # the node answers the network first, and works then
PR_SET_PDEATHSIG = 1  # Linux prctl(2): the signal to get when the parent is gone

ENDS = {"done", "refused", "failed"}  # the last message of an answer has one of these

Piece = tuple[dict[str, Any], bytes]
Say = Callable[..., None]  # (head, payload=b"")
Answerer = Callable[[dict[str, Any], bytes, Say], None]


def frame(head: dict[str, Any], payload: bytes = b"") -> bytes:
    """One message as it goes over the socket."""
    packed = json.dumps(head).encode()
    return LENGTHS.pack(len(packed), len(payload)) + packed + payload


class Refusal(Exception):
    """The question is at fault; `.status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int, param: str) -> None:
        super().__init__(message)
        self.head = {"refused": message, "status": status, "param": param}


def die_with_parent() -> None:
    """Ask Linux to kill this process with its parent; harmless elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    leave_if_orphaned()  # it may have been gone already


def leave_if_orphaned() -> None:
    """End this process if its parent is not the one that started it any more."""
    if os.getppid() != int(os.environ.get(PARENT, os.getppid())):
        os._exit(0)


def serve(load: Callable[[], tuple[dict[str, Any], Answerer]]) -> None:
    """Load, say so, and answer questions until the parent hangs up.

    `load` returns what to say about itself, and what answers one question.
    """
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide about
    os.nice(NICENESS)
    link = socket.socket(fileno=0)
    read, write = link.makefile("rb"), link.makefile("wb")

    def say(head: dict[str, Any], payload: bytes = b"") -> None:
        leave_if_orphaned()
        _say(write, head, payload)

    try:
        hello, answer = load()
    except Exception as exc:
        say({"failed": f"{type(exc).__name__}: {exc}"})
        return
    say({"ready": True, **hello})
    while question := _read(read):
        try:
            answer(*question, say)
        except Refusal as refusal:
            say(refusal.head)
        except Exception as exc:
            say({"failed": f"{type(exc).__name__}: {exc}"})
        else:
            say({"done": True})


def _say(write: BinaryIO, head: dict[str, Any], payload: bytes = b"") -> None:
    try:
        write.write(frame(head, payload))
        write.flush()
    except OSError:  # the parent has hung up
        os._exit(0)


def _read(read: BinaryIO) -> Piece | None:
    lengths = read.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head_size, payload_size = LENGTHS.unpack(lengths)
    head, payload = read.read(head_size), read.read(payload_size)
    if len(payload) < payload_size:
        return None
    return json.loads(head), payload
