"""Which slots several jobs of one client hold, so that they spread over producers. Pure: the time
(seconds of a monotonic clock) is an argument.

    record     so many slots were idle      so many of our jobs, at least one
    busy       no slot was free after all   no more jobs than run there now
    later      its record has idle slots    one more job than run there, up to its slots
    back off   it produced nothing          no jobs for a while, longer each time
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from privox_dht import limits
from privox_dht.backoff import backoff
from privox_dht.records import Record

GROW_AFTER = 10.0  # seconds after a producer was busy in which its records are ignored


class Slots(Protocol):
    """The slots that jobs share, as the dispatcher uses them."""

    def free(self, record: Record, now: float) -> int:
        """For how many more jobs there is room at this producer."""

    def hold(self, record: Record, now: float) -> AbstractContextManager[bool]:
        """Room for one job while the context is open; False: there is none."""

    def record_busy(self, record: Record, now: float) -> None:
        """It had no slot for the job that is there now."""


@dataclass(slots=True)
class _PeerSlots:
    limit: int  # of our jobs at a time
    held: int = 0
    grows_at: float = 0.0  # when its records count again
    backed_off_until: float = 0.0
    back_offs: int = 0


class SiblingSlots:
    """The slots that the jobs sharing this object hold, and may hold."""

    def __init__(self) -> None:
        self._peers: dict[str, _PeerSlots] = {}  # by peer id

    def __repr__(self) -> str:
        held = sum(peer.held for peer in self._peers.values())
        return f"<SiblingSlots {held} held at {len(self._peers)} producers>"

    def free(self, record: Record, now: float) -> int:
        """For how many more jobs there is room at this producer."""
        peer = self._of(record)
        if now < peer.backed_off_until:
            return 0
        if now >= peer.grows_at and record.idle:
            peer.limit = max(peer.limit, min(record.slots, peer.held + 1))
        return max(0, peer.limit - peer.held)

    @contextmanager
    def hold(self, record: Record, now: float) -> Iterator[bool]:
        """Room for one job at this producer while the context is open; False: there is none."""
        if not self.free(record, now):
            yield False
            return
        peer = self._of(record)
        peer.held += 1
        try:
            yield True
        finally:
            peer.held -= 1

    def record_busy(self, record: Record, now: float) -> None:
        """It had no slot for the job that is there now."""
        peer = self._of(record)
        peer.limit = max(1, peer.held - 1)
        peer.grows_at = now + GROW_AFTER

    def back_off(self, peer_id: str, now: float) -> None:
        """It held a job and produced nothing, long after others did the same."""
        if peer := self._peers.get(peer_id):
            peer.back_offs += 1
            peer.backed_off_until = now + backoff(
                peer.back_offs, limits.BACKOFF_FIRST, limits.BACKOFF_LONGEST
            )

    def _of(self, record: Record) -> _PeerSlots:
        peer = self._peers.get(record.peer_id)
        if peer is None:
            peer = self._peers[record.peer_id] = _PeerSlots(max(1, record.idle))
        return peer
