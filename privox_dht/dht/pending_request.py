"""A request of ours that waits for its answer: when it is late, sent again, lost. Pure.

sent -> late: after the caller's soft timeout, if it has one; `late` is called once
     -> sent again: after each of `resend` seconds of silence
     -> lost: after `hard` seconds
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits

T = TypeVar("T")
Again = Callable[[int], bool]  # whether so many bytes may be sent again
LATE, RESEND, LOST = range(3)  # what becomes of a request that is not answered


class PendingRequest:
    """A request that was sent."""

    __slots__ = ("address", "again", "bare", "datagram", "done", "hard", "late", "node_id",
                 "proven", "read", "resend", "sent", "soft", "timer", "tries")  # fmt: skip

    def __init__(
        self,
        address: Address,
        datagram: bytes,
        read: Callable[[Any], T],
        done: Callable[[T | None], None],
    ) -> None:
        self.address, self.datagram = address, datagram
        self.read: Callable[[Any], Any] = read
        self.done: Callable[[Any], None] = done  # called once, with what was read or None
        self.sent = 0.0  # loop time
        self.node_id = b""  # of the node asked, if it may be a contact
        self.tries = 1
        self.proven = False  # whether it was asked again with a token
        self.timer: asyncio.TimerHandle | None = None
        self.soft = 0.0  # seconds; 0: `late` is not called (any more)
        self.late: Callable[[], None] | None = None  # called once, when it is
        self.hard = dht_limits.HARD_TIMEOUT
        self.resend: tuple[float, ...] = dht_limits.RESEND
        self.bare = False  # whether it is sent again in short
        self.again: Again | None = None

    def __repr__(self) -> str:
        return f"<PendingRequest to {self.address}, sent {self.tries} times>"

    def _next_turn(self) -> float:
        """Seconds after the first sending at which it is sent again, or lost."""
        return self.resend[self.tries - 1] if self.tries <= len(self.resend) else self.hard

    def next_moment(self) -> float:
        """Seconds after the first sending at which something becomes of it."""
        return min(self.soft or self.hard, self._next_turn())

    def pass_moment(self) -> int:
        """What becomes of it at that moment: LATE, RESEND or LOST."""
        if self.soft and self.soft <= self._next_turn():
            self.soft = 0.0
            return LATE
        if self.tries <= len(self.resend):
            self.tries += 1
            return RESEND
        return LOST
