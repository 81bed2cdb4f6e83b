"""A memory of received messages, so that recorded traffic is not accepted again. Pure.

too old, or too far ahead   "stale": by more than CLOCK_SKEW, as with records
received already            "replay"
more than can be kept       the oldest are forgotten, and all of their age is "stale" from then on
at the start                nothing is remembered, so what was sent before is "stale": messages of a
                            clock that is 20 s behind ours are accepted 20 s after our start
our clock is set back       as at the start
"""

import math

from privox_dht import limits
from privox_dht.errors import BadMessage


class ReplayMemory:
    """The messages that one program received lately."""

    __slots__ = ("_count", "_floor", "_latest", "_most", "_skew", "_slots")

    def __init__(
        self, now: float, skew: float = limits.CLOCK_SKEW, most: int = limits.REPLAY_MEMORY
    ) -> None:
        """
        Args:
            now: seconds since the epoch, at the start.
            skew: seconds by which a sender's clock may differ from ours, the time on the way
                included.
            most: messages that are remembered.
        """
        self._skew, self._most = skew, most
        self._floor = _as_sent(now)  # what was sent before is not accepted
        self._latest = now
        self._slots: dict[int, set[bytes]] = {}  # by the time of their sending
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def check_time(self, moment: float, now: float) -> None:
        """Check that a message sent at `moment` may still be accepted.

        Raises:
            BadMessage: "stale".
        """
        if abs(moment - now) > self._skew:
            raise BadMessage("stale", f"sent {now - moment:.0f} s ago, by its clock")

    def admit(self, nonce: bytes, moment: float, now: float) -> None:
        """Accept a message sent at `moment`, once.

        Raises:
            BadMessage: "stale" or "replay".
        """
        if now < self._latest - self._skew:  # the clock was set back
            self._slots, self._count, self._floor, self._latest = {}, 0, _as_sent(now), now
        self._latest = max(self._latest, now)
        self.check_time(moment, now)
        if moment < self._floor:
            raise BadMessage("stale", "sent before our memory begins")
        slot = int(moment // limits.REPLAY_SLOT)
        if slot not in self._slots:
            self._forget_before(now - self._skew)
            self._slots[slot] = set()
        if nonce in self._slots[slot]:
            raise BadMessage("replay")
        self._slots[slot].add(nonce)
        self._count += 1
        while self._count > self._most:
            oldest = min(self._slots)
            self._count -= len(self._slots.pop(oldest))
            self._floor = max(self._floor, (oldest + 1) * limits.REPLAY_SLOT)

    def _forget_before(self, moment: float) -> None:
        over = [slot for slot in self._slots if (slot + 1) * limits.REPLAY_SLOT < moment]
        for slot in over:
            self._count -= len(self._slots.pop(slot))


def _as_sent(moment: float) -> float:
    """A time as messages carry it: in whole milliseconds that are over."""
    return math.floor(moment * 1000) / 1000
