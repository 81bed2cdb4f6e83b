"""The records a node holds for others: many under one key, each until it expires. Pure.

    put -> the newest sequence of a publisher and engine wins; an older one, and one that was
           withdrawn, stays away for as long as its successor is remembered here
    sample, page -> idle producers first, from a random place on, never the expired or withdrawn

One key's records are a `Shelf`: parallel columns in three runs, `[idle | busy | withdrawn]`, kept
so by swapping, so that drawing, moving and removing cost the same at 10 and at 10,000 records. A
record costs its wire bytes and about 150 more. When a shelf is full it keeps a uniform sample
chosen by a keyed hash that nobody outside can aim at.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from kademlia.storage import IStorage

from privox_dht import limits
from privox_dht.dht.wire import FULL, HELD, REFUSED
from privox_dht.records import Record

IDLE, BUSY, WITHDRAWN = 0, 1, 2  # the runs of a shelf, in order
PROBES = 8  # records looked at to find one that may go: the worst of eight is in the last ninth


class Shelf:
    """The records under one key."""

    __slots__ = ("at", "edges", "expiries", "places", "sequences", "sources", "wires")

    def __init__(self) -> None:
        self.at: dict[int, int] = {}  # hash of publisher and engine -> row
        self.wires: list[bytes] = []
        self.places = array("Q")
        self.sequences = array("Q")
        self.expiries = array("Q")
        self.sources = array("Q")
        self.edges = [0, 0]  # where the busy begin, where the withdrawn begin

    def __len__(self) -> int:
        return len(self.wires)

    def __repr__(self) -> str:
        idle, live = self.edges
        return f"<Shelf {idle} idle, {live - idle} busy, {len(self) - live} withdrawn>"

    @property
    def live(self) -> int:
        """Records that are not withdrawn."""
        return self.edges[1]

    def run_of(self, row: int) -> int:
        return IDLE if row < self.edges[0] else BUSY if row < self.edges[1] else WITHDRAWN

    def append(self, place: int, source: int) -> int:
        """A new row at the end, among the withdrawn; `write` moves it where it belongs."""
        row = len(self.wires)
        self.at[place] = row
        self.wires.append(b"")
        self.places.append(place)
        for column in (self.sequences, self.expiries):
            column.append(0)
        self.sources.append(source)
        return row

    def write(self, row: int, record: Record) -> None:
        """Put a record's bytes into a row and the row into its run."""
        self.wires[row] = record.wire
        self.sequences[row] = record.sequence
        self.expiries[row] = record.expires
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
        del self.at[self.places[-1]]
        self.wires.pop()
        for column in (self.places, self.sequences, self.expiries, self.sources):
            column.pop()

    def _swap(self, one: int, other: int) -> int:
        if one != other:
            for column in (self.places, self.sequences, self.expiries, self.sources):
                column[one], column[other] = column[other], column[one]
            self.wires[one], self.wires[other] = self.wires[other], self.wires[one]
            self.at[self.places[one]] = one
            self.at[self.places[other]] = other
        return other


class RecordStore(IStorage):  # type: ignore[misc]  # kademlia has no types
    """Every record this node holds, within bounds per key, per source address and in total."""

    def __init__(
        self,
        rng: random.Random,
        *,
        per_key: int = limits.RECORDS_PER_KEY,
        per_source: int = limits.RECORDS_PER_SOURCE,
        in_all: int = limits.RECORDS_IN_ALL,
        keys: int = limits.KEYS_IN_ALL,
    ) -> None:
        self._rng = rng
        self._salt = rng.randbytes(16)
        self._per_key, self._per_source, self._in_all, self._keys = (
            per_key,
            per_source,
            in_all,
            keys,
        )
        self._shelves: dict[bytes, Shelf] = {}
        self._sources: Counter[int] = Counter()
        self._held = 0

    def __bool__(self) -> bool:
        return True  # kademlia's Server replaces a storage that is false, and empty is false

    def __len__(self) -> int:
        return self._held

    def __repr__(self) -> str:
        return f"<RecordStore {self._held} records under {len(self._shelves)} keys>"

    def put(self, key: bytes, record: Record, source: bytes, now: float) -> int:
        """HELD, REFUSED (it is older than what is held) or FULL (seen, not kept)."""
        place = self._hash(record.place + record.kind.encode() + record.backend.encode())
        shelf = self._shelves.get(key)
        if shelf is not None and place in shelf.at:
            row = shelf.at[place]
            if record.sequence < shelf.sequences[row]:
                return REFUSED
            if record.sequence == shelf.sequences[row]:
                return HELD if record.wire == shelf.wires[row] else REFUSED
            shelf.write(row, record)
            return HELD
        origin = self._hash(source) if source else 0  # our own records count towards nobody
        if origin and self._sources[origin] >= self._per_source:
            return FULL
        if shelf is None and len(self._shelves) >= self._keys:
            return FULL
        if not self._make_room(shelf, place, now):
            return FULL
        shelf = self._shelves.setdefault(key, Shelf())
        shelf.write(shelf.append(place, origin), record)
        self._sources[origin] += 1
        self._held += 1
        return HELD

    def is_full(self, key: bytes) -> bool:
        """Whether the key holds so many that newcomers should go to its shards as well."""
        shelf = self._shelves.get(key)
        return shelf is not None and len(shelf) >= self._per_key

    def count(self, key: bytes) -> int:
        """Records under a key that are not withdrawn (expired ones not yet swept included)."""
        shelf = self._shelves.get(key)
        return 0 if shelf is None else shelf.live

    def idle(self, key: bytes) -> int:
        """Records under a key whose producers said they were idle."""
        shelf = self._shelves.get(key)
        return 0 if shelf is None else shelf.edges[0]

    def sample(self, key: bytes, most: int, room: int, now: float) -> list[bytes]:
        """Up to `most` records that fit into `room` bytes: random, the idle first."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return []
        rows: list[int] = []
        ends = (0, *shelf.edges, len(shelf))
        for start, end in pairwise(ends):
            if len(rows) < most and start < end:
                few = min(end - start, most + 2)
                rows += self._rng.sample(range(start, end), few) if few > 1 else (start,)
        return self._fit(shelf, rows, most, room, now)

    def page(self, key: bytes, start: int, most: int, room: int, now: float) -> list[bytes]:
        """The records from row `start` on: the idle, then the busy."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return []
        return self._fit(shelf, list(range(start, min(shelf.live, start + most))), most, room, now)

    def sweep(self, now: float) -> int:
        """Forget what has expired; how many that were."""
        before = self._held
        for key in list(self._shelves):
            shelf = self._shelves[key]
            for row in range(len(shelf) - 1, -1, -1):
                if shelf.expiries[row] <= now:
                    self._remove(shelf, row)
            if not shelf:
                del self._shelves[key]
        return before - self._held

    def _fit(self, shelf: Shelf, rows: list[int], most: int, room: int, now: float) -> list[bytes]:
        wires: list[bytes] = []
        for row in rows:
            wire = shelf.wires[row]
            if shelf.expiries[row] <= now or len(wire) + 3 > room:
                continue
            wires.append(wire)
            room -= len(wire) + 3  # msgpack's mark and length
            if len(wires) >= most:
                break
        return wires

    def _make_room(self, shelf: Shelf | None, place: int, now: float) -> bool:
        """Whether one more may come: if something must go for it, it has gone."""
        if shelf is not None and len(shelf) >= self._per_key:
            return self._evict(shelf, place, now)
        if self._held < self._in_all:
            return True
        if shelf is None:
            some = self._rng.sample(list(self._shelves), min(PROBES, len(self._shelves)))
            shelf = max((self._shelves[key] for key in some), key=len)
        return bool(shelf) and self._evict(shelf, place, now)

    def _evict(self, shelf: Shelf, place: int, now: float) -> bool:
        """Drop an expired record, else the one of the highest hash, if it is above `place`."""
        rows = [self._rng.randrange(len(shelf)) for _ in range(PROBES)]
        row = min(rows, key=lambda row: (shelf.expiries[row] > now, -shelf.places[row]))
        if shelf.expiries[row] > now and shelf.places[row] <= place:
            return False
        self._remove(shelf, row)
        return True

    def _remove(self, shelf: Shelf, row: int) -> None:
        origin = shelf.sources[row]
        self._sources[origin] -= 1
        if self._sources[origin] <= 0:
            del self._sources[origin]
        shelf.remove(row)
        self._held -= 1

    def _hash(self, octets: bytes) -> int:
        digest = hashlib.blake2b(octets, digest_size=8, key=self._salt).digest()
        return int.from_bytes(digest, "big")

    # -- what kademlia expects of a storage: nothing enters by these doors, nothing is republished

    def __setitem__(self, key: bytes, value: Any) -> None:
        raise TypeError("records enter by put()")

    def __getitem__(self, key: bytes) -> list[bytes]:
        return list(self._shelves[key].wires)

    def get(self, key: bytes, default: Any = None) -> Any:
        shelf = self._shelves.get(key)
        return default if shelf is None else list(shelf.wires)

    def iter_older_than(self, seconds_old: float) -> Iterator[Any]:
        return iter(())

    def __iter__(self) -> Iterator[Any]:
        return iter(())
