"""What a record must pass, wherever it comes from: at the store, on receipt, at use. Pure.

    wire -> length, type, meaning, time (records.parse)
         -> does it belong under the key it came with
         -> is it the newest version of its publisher and engine that was ever seen here
         -> signature, unless these very bytes were checked before

The newest version of each is remembered until it expires: its sequence, so that a replay of an
older or withdrawn one is recognised; and a keyed hash of its bytes, so that its signature is
checked once, however often it comes.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable

from privox_dht import records
from privox_dht.dht import dht_limits
from privox_dht.errors import BadRecord
from privox_dht.records import Record, is_signed, keys_of, parse

# Rows examined to find one to drop: the soonest end of eight is in the first ninth
PROBES = 8
REASONS = (*records.REASONS, "wrong_key", "superseded")


class RecordValidator:
    """One node's memory of records: a row of four numbers for the newest version of each publisher
    and engine, in the order of a hash of these."""

    __slots__ = ("_digests", "_ends", "_mesh", "_most", "_places", "_salt", "_sequences")

    def __init__(self, mesh: bytes, salt: bytes, most: int = dht_limits.REMEMBERED) -> None:
        """`salt`: 16 secret bytes; with known ones others could make two records collide."""
        self._mesh, self._salt, self._most = mesh, salt, most
        self._places = array("Q")  # hash of publisher, kind, backend and engine; ascending
        self._sequences = array("Q")
        self._ends = array("Q")  # when it ends, in seconds since the epoch
        self._digests = array("Q")  # hash of the bytes whose signature was good

    def __len__(self) -> int:
        return len(self._places)

    def validate(self, wire: bytes, key: bytes, now: float) -> Record:
        """The record in `wire`, found or to be stored under (a shard of) `key`.

        Raises:
            BadRecord: with one of `REASONS`.
        """
        record = parse(wire, now, self._mesh, trusted=True)  # below
        if key not in keys_of(record):
            raise BadRecord("wrong_key")
        place, digest = self._hash(record.key), self._hash(wire)
        row = self._row(place)
        if self._is_known(row, place):
            if record.sequence < self._sequences[row]:
                raise BadRecord("superseded")
            if digest == self._digests[row]:
                return record
        if not is_signed(record):
            raise BadRecord("signature")
        self._remember(row, place, record, digest)
        return record

    def current(self, found: Iterable[Record], now: float) -> list[Record]:
        """Those still valid: neither expired, nor withdrawn, nor followed by a newer one."""
        return [
            record
            for record in found
            if record.expires > now and not record.withdrawn and self._is_newest(record)
        ]

    def sweep(self, now: float) -> None:
        """Forget the records that have expired."""
        kept = [row for row, end in enumerate(self._ends) if end > now]
        if len(kept) < len(self._ends):
            for column in self._columns:
                column[:] = array("Q", [column[row] for row in kept])

    @property
    def _columns(self) -> tuple[array[int], ...]:
        return self._places, self._sequences, self._ends, self._digests

    def _row(self, place: int) -> int:
        """The row of a place, or the one where it would be inserted."""
        return bisect_left(self._places, place)

    def _is_known(self, row: int, place: int) -> bool:
        return row < len(self._places) and self._places[row] == place

    def _remember(self, row: int, place: int, record: Record, digest: int) -> None:
        """Remember the newest record of a place, until it and all it replaces have expired."""
        if self._is_known(row, place):
            self._sequences[row], self._digests[row] = record.sequence, digest
            self._ends[row] = max(self._ends[row], record.expires)
            return
        numbers = place, record.sequence, record.expires, digest
        for column, number in zip(self._columns, numbers, strict=True):
            column.insert(row, number)
        if len(self._places) > self._most:
            soonest = min(self._some_but(row, digest), key=self._ends.__getitem__)
            for column in self._columns:
                del column[soonest]

    def _some_but(self, row: int, chance: int) -> list[int]:
        """Rows other than this one, wherever the bytes of `chance` say."""
        rows = len(self._places)
        steps = [(chance >> 8 * probe) % (rows - 1) for probe in range(PROBES)]
        return [(row + 1 + step) % rows for step in steps]

    def _is_newest(self, record: Record) -> bool:
        place = self._hash(record.key)
        row = self._row(place)
        return not self._is_known(row, place) or record.sequence >= self._sequences[row]

    def _hash(self, octets: bytes) -> int:
        digest = hashlib.blake2b(octets, digest_size=8, key=self._salt).digest()
        return int.from_bytes(digest, "big")


def shard_of(key: bytes, publisher_id: bytes, depth: int) -> bytes:
    """The key for a publisher's record once `key` has split `depth` times."""
    return shard(
        key, int.from_bytes(publisher_id[:2], "big") >> (16 - depth * dht_limits.SHARD_BITS), depth
    )


def shard(key: bytes, prefix: int, depth: int) -> bytes:
    """The key of one shard: a hash of the whole key and the first bits of the publishers' ids."""
    if not depth:
        return key
    name = key + bytes((depth,)) + prefix.to_bytes(2, "big")
    return hashlib.sha1(name, usedforsecurity=False).digest()
