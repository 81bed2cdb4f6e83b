"""Frames on a socket between a node and its worker: two lengths, a JSON object, bytes; and files.

Link(socket)(head, payload)     say something          (the worker's side: it blocks)
Link(socket).hear()             the next message; files that came with it are in `.files`
"""

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

LENGTHS = struct.Struct("!II")  # bytes of JSON, bytes that follow it
MAX_HEAD = 1 << 20  # bytes of JSON; a segment with all its words is a few KiB
MAX_PAYLOAD = 1 << 24  # bytes; the longest piece of sound that is handed over is a few MB
MAX_FILES = 4  # that come with one message
ENDS = {"done", "refused", "failed"}  # the last message of an answer has one of these

Piece = tuple[dict[str, Any], bytes]


def frame(head: dict[str, Any], payload: bytes = b"") -> bytes:
    """One message as it goes over the socket."""
    packed = json.dumps(head).encode()
    return LENGTHS.pack(len(packed), len(payload)) + packed + payload


class HungUp(Exception):
    """Nobody listens at the other end any more."""


class Link:
    """One end of a socket on which frames are spoken. Call it to say something."""

    def __init__(self, link: socket.socket) -> None:
        self.socket = link
        self.files: list[int] = []  # open files that came with the last message
        # Tell whose turn it is: see `priority_lock`
        self.take_turn: Callable[[], None] = lambda: None

    @property
    def hung_up(self) -> bool:
        """Whether the other end is gone; what it said before is not taken."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def __call__(self, head: dict[str, Any], payload: bytes = b"") -> None:
        """Say something.

        Raises:
            HungUp: there is nobody to hear it.
        """
        try:
            self.socket.sendall(frame(head, payload))
        except OSError as exc:
            raise HungUp from exc

    def hear(self) -> Piece:
        """The next message.

        Raises:
            HungUp: there is none any more.
        """
        try:
            first, self.files, _, _ = socket.recv_fds(self.socket, LENGTHS.size, MAX_FILES)
            if not first:
                raise HungUp
            lengths = first + self._exactly(LENGTHS.size - len(first))
            head_size, payload_size = LENGTHS.unpack(lengths)
            head = json.loads(self._exactly(head_size))
            return head, bytes(self._exactly(payload_size))
        except OSError as exc:
            raise HungUp from exc

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        room = memoryview(data)
        while room:
            got = self.socket.recv_into(room)
            if not got:
                raise HungUp
            room = room[got:]
        return data
