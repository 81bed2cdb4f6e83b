"""The records a node holds for others: many under one key, each until it expires. Pure.

    put -> the newest sequence of a publisher and engine wins; an older or withdrawn one is refused
           for as long as its successor is remembered here
    page -> the records in the order of `turns`: of each network one, then of each a second one ...

One key's records are a `KeyRecords`: parallel columns in three runs, `[idle | busy | withdrawn]`,
kept so by swapping, so that drawing, moving and removing cost the same at 10 and at 10,000 records.
A record costs its encoded bytes and about 110 more. When a key is full it keeps a uniform sample
chosen by a keyed hash that no other node can aim at, and answers every put alike, so that no node
learns the hash of a key by trying.

Each record counts towards the address it came from and the networks around that (`SHARES`), under
its key and in all: the owner of one network can crowd others out neither of the store nor of its
answers.
"""

import hashlib
import random
from collections import OrderedDict
from collections.abc import Iterable

from privox_dht.dht import dht_limits
from privox_dht.dht.answer_codec import FULL, HELD, REFUSED
from privox_dht.dht.key_records import SLOTS, KeyRecords, turns
from privox_dht.dht.source_shares import SourceShares
from privox_dht.records import Record

PROBES = 8  # records examined to find one to evict: the worst of eight is in the last ninth
ORDERS = 64  # orders kept for readers of pages; one of a full key takes 8 KB
ORDERED_ANEW = 64  # records up to which each answer to an unproven address has an order of its own
ORDER_KEPT = 10.0  # seconds for which a reader gets pages of one order


class RecordStore:
    """Every record this node holds, within bounds per key, per source address and in total."""

    def __init__(
        self,
        rng: random.Random,
        *,
        per_key: int = dht_limits.RECORDS_PER_KEY,
        split_at: int = dht_limits.SPLIT_AT,
        per_source: int = dht_limits.RECORDS_PER_SOURCE,
        per_network: int = dht_limits.RECORDS_PER_NETWORK,
        key_shares: tuple[int, int] = dht_limits.RECORDS_PER_KEY_SHARES,
        in_all: int = dht_limits.RECORDS_IN_ALL,
        keys: int = dht_limits.KEYS_IN_ALL,
    ) -> None:
        self._rng = rng
        self._salt = rng.randbytes(16)
        self._shares = SourceShares(self._salt, (per_source, per_network), key_shares)
        self._orders: OrderedDict[tuple[bytes, bytes], tuple[float, list[int]]] = OrderedDict()
        self._per_key, self._in_all, self._keys = per_key, in_all, keys
        self._split_at = min(split_at, per_key)
        self._by_key: dict[bytes, KeyRecords] = {}
        self._held = 0

    def __len__(self) -> int:
        return self._held

    def __repr__(self) -> str:
        return f"<RecordStore {self._held} records under {len(self._by_key)} keys>"

    def put(
        self,
        key: bytes,
        record: Record,
        source: bytes,
        now: float,
        *,
        networks: bool = False,
        deeper: bool = False,
    ) -> int:
        """Store a record: HELD, REFUSED (a newer one is held) or FULL (the key is full, or the
        source or publisher has used up its quota; it may have been stored or not).

        Args:
            source: the address it came from, as `addresses.holder_of` has it; empty: our own
                machine, which has no share.
            networks: whether the network around that address counts too: not in a private mesh.
            deeper: whether, as the publisher claims, the record is in a shard of this key as well.
        """
        publisher, engine = self._name(record)
        entries = self._by_key.get(key)
        row = None if entries is None else entries.find(publisher, engine)
        origin = self._shares.origin(source, networks)
        if entries is not None and row is not None:
            result = self._renew(entries, row, record, origin, deeper)
            return FULL if len(entries) >= self._per_key else result
        place = publisher if entries is None else entries.free_place(publisher)
        if place is None or not self._shares.has_room(origin, entries.sources if entries else None):
            return FULL
        if entries is None and len(self._by_key) >= self._keys:
            return FULL
        was_full = entries is not None and len(entries) >= self._per_key
        if not self._make_room(entries, place, now):
            return FULL
        entries = self._by_key.setdefault(key, KeyRecords())
        entries.write(entries.append(place, engine, origin), record, deeper)
        self._shares.add(origin)
        self._held += 1
        self._insert_into_orders(key, place)
        return FULL if was_full else HELD

    def _renew(
        self, entries: KeyRecords, row: int, record: Record, origin: int, deeper: bool
    ) -> int:
        if record.sequence < entries.sequences[row]:
            return REFUSED
        if record.sequence == entries.sequences[row]:
            return HELD if record.encoded == entries.wires[row] else REFUSED
        if origin != entries.sources[row] and self._shares.has_room(origin, entries.sources):
            self._shares.add(entries.sources[row], -1)  # anybody may have stored it first
            self._shares.add(origin)
            entries.sources[row] = origin
        entries.write(row, record, deeper)
        return HELD

    def keys(self) -> list[bytes]:
        """All keys under which something is held."""
        return list(self._by_key)

    def is_split(self, key: bytes) -> bool:
        """Whether publishers should go to the key's shards: it holds many records, or most of them
        are in a shard as well, which a node that holds only the sample can tell too."""
        entries = self._by_key.get(key)
        if entries is None:
            return False
        most_deeper = 2 * entries.deeper > len(entries) >= dht_limits.SPLIT_STAYS
        return most_deeper or len(entries) >= self._split_at

    def count(self, key: bytes) -> int:
        """Records under a key that are not withdrawn (expired ones not yet swept included)."""
        entries = self._by_key.get(key)
        return 0 if entries is None else entries.live

    def idle(self, key: bytes) -> int:
        """Records of idle producers under a key."""
        entries = self._by_key.get(key)
        return 0 if entries is None else entries.edges[0]

    def page(
        self, key: bytes, start: int, most: int, room: int, now: float, requester: bytes = b""
    ) -> list[bytes]:
        """Up to `most` records that fit into `room` bytes, from turn `start` on. None is withdrawn.

        Args:
            requester: the reader's address: all its pages are of one order.
        """
        entries = self._by_key.get(key)
        if entries is None:
            return []
        order = self._order(key, entries, requester, now)
        return self._fit(entries, order[start : start + most], most, room, now)

    def sample(
        self, key: bytes, most: int, room: int, now: float, requester: bytes = b""
    ) -> list[bytes]:
        """The first records of an order; if they are fewer than `most`, withdrawals as well, so
        that readers learn of them."""
        entries = self._by_key.get(key)
        if entries is None:
            return []
        order = self._order(key, entries, requester, now)[: most + 2]  # some may have expired
        withdrawn = entries.places[entries.live : entries.live + most] if len(order) < most else ()
        return self._fit(entries, [*order, *withdrawn], most, room, now)

    def sweep(self, now: float) -> int:
        """Remove what has expired; how many records those were."""
        before = self._held
        for key in list(self._by_key):
            self.sweep_key(key, now)
        return before - self._held

    def sweep_key(self, key: bytes, now: float) -> None:
        """Remove what has expired under one key: else pages would have fewer records than the count
        in the answer says."""
        entries = self._by_key.get(key)
        if entries is None:
            return
        for row in entries.expired(now):
            self._remove(entries, row)
        if not entries:
            del self._by_key[key]

    def _order(self, key: bytes, entries: KeyRecords, requester: bytes, now: float) -> list[int]:
        """The order of a key's records for one requester, kept while it reads page after page."""
        if not requester and entries.live <= ORDERED_ANEW:
            return turns(entries, self._rng)
        made, order = self._orders.get((key, requester), (0.0, []))
        if not 0 <= now - made < (ORDER_KEPT if requester else 1.0):
            made, order = now, turns(entries, self._rng)
        self._orders[key, requester] = made, order
        self._orders.move_to_end((key, requester))
        if len(self._orders) > ORDERS:
            self._orders.popitem(last=False)
        return order

    def _insert_into_orders(self, key: bytes, place: int) -> None:
        """Let readers of pages see a record that was just stored."""
        for (ordered_key, _), (_, order) in self._orders.items():
            if ordered_key == key:
                order.insert(self._rng.randrange(len(order) + 1), place)

    def _fit(
        self, entries: KeyRecords, places: Iterable[int], most: int, room: int, now: float
    ) -> list[bytes]:
        wires: list[bytes] = []
        for place in places:
            row = entries.at.get(place)
            if row < 0:  # removed since the order was made
                continue
            wire = entries.wires[row]
            if entries.expiries[row] <= now or len(wire) + 3 > room:
                continue
            wires.append(wire)
            room -= len(wire) + 3  # msgpack's mark and length
            if len(wires) >= most:
                break
        return wires

    def _make_room(self, entries: KeyRecords | None, place: int, now: float) -> bool:
        """Whether one more record may be added; one that must make room has been removed."""
        if entries is not None and len(entries) >= self._per_key:
            return self._evict(entries, place, now)
        if self._held < self._in_all:
            return True
        if entries is None:
            keys = self._rng.sample(list(self._by_key), min(PROBES, len(self._by_key)))
            entries = max((self._by_key[key] for key in keys), key=len)
        return bool(entries) and self._evict(entries, place, now)

    def _evict(self, entries: KeyRecords, place: int, now: float) -> bool:
        """Drop an expired record, else the one of the highest hash, if it is above `place`."""
        rows = [self._rng.randrange(len(entries)) for _ in range(PROBES)]
        row = min(rows, key=lambda row: (entries.expiries[row] > now, -entries.places[row]))
        if entries.expiries[row] > now and entries.places[row] <= place:
            return False
        self._remove(entries, row)
        return True

    def _remove(self, entries: KeyRecords, row: int) -> None:
        self._shares.add(entries.sources[row], -1)
        entries.remove(row)
        self._held -= 1

    def _name(self, record: Record) -> tuple[int, int]:
        """Whose record it is, with room for a slot, and of which engine. The kind and backend are
        those of the key."""
        publisher = self._hash(record.publisher, 8) // SLOTS * SLOTS
        return publisher, self._hash(record.kind.encode() + record.engine.encode(), 4)

    def _hash(self, octets: bytes, size: int) -> int:
        digest = hashlib.blake2b(octets, digest_size=size, key=self._salt).digest()
        return int.from_bytes(digest, "big")
