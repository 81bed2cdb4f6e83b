"""A request of ours that waits for its answer: when it is late, sent again, lost. Pure.

sent -> late: after the caller's soft timeout, if it has one; `late` is called once
     -> sent again: after each of `resend` seconds of silence
     -> lost: after `hard` seconds
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits

Again = Callable[[int], bool]  # whether so many bytes may be sent again
LATE, RESEND, LOST = range(3)  # what becomes of a request that is not answered


class Timing(TypedDict, total=False):
    """How a request is sent again, and given up; see `PendingRequest`."""

    node_id: bytes
    hard: float
    resend: tuple[float, ...]
    again: Again
    bare: bool
    soft: float
    late: Callable[[], None]


@dataclass(slots=True, eq=False, repr=False)
class PendingRequest:
    """A request that was sent."""

    address: Address
    datagram: bytes
    read: Callable[[Any], Any]
    done: Callable[[Any], None]  # called once, with what was read or None
    sent: float = 0.0  # loop time
    node_id: bytes = b""  # of the node asked, if it may be a contact
    hard: float = dht_limits.HARD_TIMEOUT  # seconds after which it is lost
    resend: tuple[float, ...] = dht_limits.RESEND  # seconds after which it is sent again
    again: Again | None = None  # asked each time before it is sent again
    bare: bool = False  # a find, which is sent again in short
    soft: float = 0.0  # seconds after which `late` is called; 0: not (any more)
    late: Callable[[], None] | None = None
    tries: int = 1
    proven: bool = False  # whether it was asked again with a token
    timer: asyncio.TimerHandle | None = None

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
