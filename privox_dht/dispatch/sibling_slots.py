"""Which slots several jobs of one client hold, so that none of them is sent where another one is.
Pure: the time (seconds, any clock that only goes forward) is an argument.

    record     so many slots were idle      room for so many of our jobs, one at least
    busy       there was none after all     room for those that are there
    later      its record says idle again   room for one more than are there, up to its slots
    rest       it brought nothing           no room for a while, longer each time
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from privox_dht import limits
from privox_dht.backoff import backoff
from privox_dht.records import Record

GROW_AFTER = 10.0  # seconds after a producer was busy in which its records are not believed


class Slots(Protocol):
    """What the dispatcher asks before it gives a job to a producer."""

    def left(self, record: Record, now: float) -> int:
        """For how many more jobs there is room at this producer."""
        ...

    def one_at(self, record: Record, now: float) -> AbstractContextManager[bool]:
        """Room for one job while the context is open; False: there is none."""
        ...

    def busy(self, record: Record, now: float) -> None:
        """It had no slot for the job that is there now."""
        ...


@dataclass(slots=True)
class _Room:
    most: int  # of our jobs at a time
    held: int = 0
    grows_from: float = 0.0  # when its records are believed again
    rests_until: float = 0.0
    rests: int = 0


class SiblingSlots:
    """The slots of producers, as far as the jobs that share this object may use them."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}  # by peer id

    def __repr__(self) -> str:
        held = sum(room.held for room in self._rooms.values())
        return f"<SiblingSlots {held} held at {len(self._rooms)} producers>"

    @property
    def held(self) -> int:
        """How many jobs are at a producer now."""
        return sum(room.held for room in self._rooms.values())

    def left(self, record: Record, now: float) -> int:
        """For how many more jobs there is room at this producer."""
        room = self._of(record)
        if now < room.rests_until:
            return 0
        if now >= room.grows_from and record.idle:
            room.most = max(room.most, min(record.slots, room.held + 1))
        return max(0, room.most - room.held)

    @contextmanager
    def one_at(self, record: Record, now: float) -> Iterator[bool]:
        """Room for one job at this producer while the context is open; False: there is none."""
        if not self.left(record, now):
            yield False
            return
        room = self._of(record)
        room.held += 1
        try:
            yield True
        finally:
            room.held -= 1

    def busy(self, record: Record, now: float) -> None:
        """It had no slot for the job that is there now."""
        room = self._of(record)
        room.most = max(1, room.held - 1)
        room.grows_from = now + GROW_AFTER

    def rest(self, peer_id: str, now: float) -> None:
        """It held a job and brought nothing, long after others did as much."""
        if room := self._rooms.get(peer_id):
            room.rests += 1
            room.rests_until = now + backoff(
                room.rests, limits.BACKOFF_FIRST, limits.BACKOFF_LONGEST
            )

    def _of(self, record: Record) -> _Room:
        room = self._rooms.get(record.peer_id)
        if room is None:
            room = self._rooms[record.peer_id] = _Room(max(1, record.idle))
        return room
