"""Messages between a node and its worker: two lengths, a JSON object, bytes; and open files.

read(reader)                         the node's side
Link(socket).send(head, payload)     the worker's side; it blocks
Link(socket).receive()               the next message; files that came with it are in `.files`
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from privox_dht.errors import EngineFailed

if TYPE_CHECKING:
    import asyncio

LENGTHS = struct.Struct("!II")  # bytes of JSON, bytes that follow it
MAX_HEAD = 1 << 20  # bytes of JSON; a segment with all its words is a few KiB
MAX_PAYLOAD = 1 << 24  # bytes; the longest piece of sound is a few MB
MAX_FILES = 4  # that come with one message
END_WAIT = 1.0  # seconds until the node has read a last message, and closed its side
FINAL_KEYS = {"done", "refused", "failed"}  # keys, one of which is in the last message of an answer

Message = tuple[dict[str, Any], bytes]


def frame(head: dict[str, Any], payload: bytes = b"") -> bytes:
    """One message as it goes over the socket."""
    packed = json.dumps(head).encode()
    return LENGTHS.pack(len(packed), len(payload)) + packed + payload


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message of a worker, which may be an attacker's by now.

    Raises:
        EOFError, OSError: the worker closed the socket.
        EngineFailed: it is no message, or too long.
    """
    head_size, payload_size = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    if head_size > MAX_HEAD or payload_size > MAX_PAYLOAD:
        raise EngineFailed("a worker sent a message that is too long")
    packed = await reader.readexactly(head_size)
    try:
        head = json.loads(packed)
    except (ValueError, RecursionError) as exc:
        raise EngineFailed("a worker sent a message that is not JSON") from exc
    if not isinstance(head, dict):
        raise EngineFailed("a worker sent a message without fields")
    return head, await reader.readexactly(payload_size)


class Disconnected(Exception):
    """The other side closed the socket."""


class Link:
    """The worker's end of a socket, blocking."""

    def __init__(self, link: socket.socket) -> None:
        self.socket = link
        self.files: list[int] = []  # open files that came with the last message
        # Reports that this job is being worked on: see `priority_lock`
        self.take_turn: Callable[[], None] = lambda: None

    @property
    def disconnected(self) -> bool:
        """Whether the other side closed the socket; nothing is read."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def send(self, head: dict[str, Any], payload: bytes = b"") -> None:
        """Send a message.

        Raises:
            Disconnected: the other side closed the socket.
        """
        try:
            self.socket.sendall(frame(head, payload))
        except OSError as exc:
            raise Disconnected from exc

    def end(self, head: dict[str, Any]) -> None:
        """Send the last message, and close when the node has closed its side: if ours were closed
        first, a request that is still on its way would fail, and the message be lost."""
        with suppress(OSError, Disconnected), self.socket:
            self.send(head)
            self.socket.settimeout(END_WAIT)
            while self.socket.recv(1 << 16):
                pass

    def receive(self) -> Message:
        """The next message.

        Raises:
            Disconnected: the other side closed the socket.
        """
        try:
            first, self.files, _, _ = socket.recv_fds(self.socket, LENGTHS.size, MAX_FILES)
            if not first:
                raise Disconnected
            lengths = first + self._read_exactly(LENGTHS.size - len(first))
            head_size, payload_size = LENGTHS.unpack(lengths)
            head = json.loads(self._read_exactly(head_size))
            return head, bytes(self._read_exactly(payload_size))
        except OSError as exc:
            raise Disconnected from exc

    def _read_exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        room = memoryview(data)
        while room:
            got = self.socket.recv_into(room)
            if not got:
                raise Disconnected
            room = room[got:]
        return data
