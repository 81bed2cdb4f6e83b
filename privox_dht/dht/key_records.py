"""The records under one key, and their order in answers. Pure.

Columns side by side instead of an object for each: in three runs, `[idle | busy | withdrawn]`, kept
so by swapping. A publisher has `SLOTS` places under a key, one for each of its engines.
"""

from __future__ import annotations

import math
import random
from array import array
from collections import Counter

from privox_dht.dht.id_table import IdTable
from privox_dht.records import Record

IDLE, BUSY, WITHDRAWN = 0, 1, 2  # the runs of a key, in order
SLOTS = 8  # engines of one publisher under one key; a power of two, the low bits of a place
LEVELS = (0, 34)  # bits of a source that fall away: for the address (/56), for /24 or /48


class KeyRecords:
    """The records under one key."""

    __slots__ = ("at", "deeper", "edges", "engines", "expiries", "places", "sequences", "soonest",
                 "sources", "wires")  # fmt: skip

    def __init__(self) -> None:
        self.at = IdTable()  # place -> row
        self.wires: list[bytes] = []
        self.places = array("Q")  # hash of the publisher, its last bits the slot
        self.engines = array("I")  # hash of the engine; the last bit: it is in a shard as well
        self.deeper = 0  # how many have that bit
        self.sequences = array("Q")
        self.expiries = array("Q")
        self.soonest = math.inf  # nothing expires before that
        self.sources = array("Q")  # hash of the address it came from; 0: our own
        self.edges = [0, 0]  # where the busy begin, where the withdrawn begin

    def __len__(self) -> int:
        return len(self.wires)

    def __repr__(self) -> str:
        idle, live = self.edges
        return f"<KeyRecords {idle} idle, {live - idle} busy, {len(self) - live} withdrawn>"

    @property
    def live(self) -> int:
        """Records that are not withdrawn."""
        return self.edges[1]

    @property
    def _columns(self) -> tuple[array[int], ...]:
        return (self.places, self.engines, self.sequences, self.expiries, self.sources)

    def run_of(self, row: int) -> int:
        return IDLE if row < self.edges[0] else BUSY if row < self.edges[1] else WITHDRAWN

    def find(self, publisher: int, engine: int) -> int | None:
        """The row of a publisher's engine. `publisher` is its first place."""
        for _, row in self.at.within(publisher, publisher + SLOTS):
            if self.engines[row] | 1 == engine | 1:
                return row
        return None

    def free_place(self, publisher: int) -> int | None:
        """A place for one more engine of a publisher; None if it has them all."""
        used = [place for place, _ in self.at.within(publisher, publisher + SLOTS)]
        places = range(publisher, publisher + SLOTS)
        return next((place for place in places if place not in used), None)

    def append(self, place: int, engine: int, source: int) -> int:
        """A new row at the end, among the withdrawn; `write` moves it where it belongs."""
        row = len(self.wires)
        self.at[place] = row
        self.wires.append(b"")
        self.places.append(place)
        self.engines.append(engine & ~1)
        for column in (self.sequences, self.expiries):
            column.append(0)
        self.sources.append(source)
        return row

    def write(self, row: int, record: Record, deeper: bool = False) -> None:
        """Put a record's bytes into a row and the row into its run; `deeper` if the record is in a
        shard of this key as well."""
        if self.engines[row] & 1 != deeper:
            self.engines[row] ^= 1
            self.deeper += 1 if deeper else -1
        self.wires[row] = record.encoded
        self.sequences[row] = record.sequence
        self.expiries[row] = record.expires
        self.soonest = min(self.soonest, record.expires)
        self.move(row, WITHDRAWN if record.withdrawn else IDLE if record.idle else BUSY)

    def move(self, row: int, run: int) -> int:
        """Bring a row into a run, one border at a time; its new place."""
        here = self.run_of(row)
        while here < run:
            self.edges[here] -= 1
            row = self._swap(row, self.edges[here])
            here += 1
        while here > run:
            here -= 1
            row = self._swap(row, self.edges[here])
            self.edges[here] += 1
        return row

    def remove(self, row: int) -> None:
        row = self.move(row, WITHDRAWN)
        self._swap(row, len(self.wires) - 1)
        self.deeper -= self.engines[-1] & 1
        del self.at[self.places[-1]]
        self.wires.pop()
        for column in self._columns:
            column.pop()

    def expired(self, now: float) -> list[int]:
        """The rows of what has expired, the last first: so they can be removed one by one."""
        if now < self.soonest:
            return []
        self.soonest = min((end for end in self.expiries if end > now), default=math.inf)
        return [row for row in range(len(self) - 1, -1, -1) if self.expiries[row] <= now]

    def _swap(self, one: int, other: int) -> int:
        if one != other:
            for column in self._columns:
                column[one], column[other] = column[other], column[one]
            self.wires[one], self.wires[other] = self.wires[other], self.wires[one]
            self.at[self.places[one]] = one
            self.at[self.places[other]] = other
        return other


def turns(entries: KeyRecords, rng: random.Random) -> list[int]:
    """The places of all records that are not withdrawn, in the order of answers: one of each
    network, then a second one of each, and so on; within a network likewise by address. Each
    network's idle ones come first, and so do the idle of each turn; all else is random. So many
    records of one source, however idle, come no sooner than the single one of another.
    """
    idle, live = entries.edges
    rows = list(range(live))
    _shuffle(rows, rng)
    sources = entries.sources
    for level in LEVELS:
        had: Counter[int] = Counter()
        turn = [0] * live
        rows.sort(key=lambda row: row >= idle)
        for row in rows:
            who = sources[row] >> level
            if who:
                turn[row] = had[who]
                had[who] += 1
        rows.sort(key=lambda row: turn[row])
    _shuffle(rows, rng)  # else sources with many records would come first in each turn
    rows.sort(key=lambda row: (turn[row], row >= idle))
    return [entries.places[row] for row in rows]


def _shuffle(rows: list[int], rng: random.Random) -> None:
    """Like `rng.shuffle`, but with one draw from the system instead of one for each row."""
    if len(rows) > 1:
        random.Random(rng.getrandbits(64)).shuffle(rows)
