"""What a record must pass, wherever it comes from: at the store, on receipt, at use. Pure.

    wire -> length, type, meaning, time, signature (records.parse)
         -> does it stand under the key it came with
         -> is it the newest word of its publisher and engine that was ever seen here

The newest sequences are remembered until the records that carry them expire, so that a replay of
an older one, or of one that was withdrawn, is known as what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from privox_dht import records
from privox_dht.dht import dht_limits
from privox_dht.errors import BadRecord
from privox_dht.records import Record, keys_of, parse

END = 40  # bits of the moment a record ends at, as `record_codec` takes them
ENDS = (1 << END) - 1
REASONS = (*records.REASONS, "wrong_key", "superseded")


class RecordValidator:
    """One node's memory of records."""

    __slots__ = ("_mesh", "_most_newest", "_most_verified", "_newest", "_verified")

    def __init__(
        self, mesh: bytes, verified: int = dht_limits.VERIFIED, newest: int = dht_limits.REMEMBERED
    ) -> None:
        self._mesh = mesh
        self._most_verified, self._most_newest = verified, newest
        self._verified: dict[bytes, tuple[bytes, ...]] = {}  # digest -> keys, oldest first
        self._newest: dict[bytes, int] = {}  # place -> sequence and end in one; oldest first

    def validate(self, wire: bytes, key: bytes, now: float) -> Record:
        """The record in `wire`, found or to be stored under (a shard of) `key`.

        Raises:
            BadRecord: with one of `REASONS`.
        """
        digest = hashlib.blake2b(wire, digest_size=16).digest()
        keys = self._verified.get(digest)
        record = parse(wire, now, self._mesh, trusted=keys is not None)
        if keys is None:
            keys = self._verified[digest] = keys_of(record)
            if len(self._verified) > self._most_verified:
                del self._verified[next(iter(self._verified))]
        if key not in keys:
            raise BadRecord("wrong_key")
        if not self._note(record):
            raise BadRecord("superseded")
        return record

    def current(self, found: Iterable[Record], now: float) -> list[Record]:
        """Those that still hold: neither expired, nor withdrawn, nor followed by a newer one."""
        return [
            record
            for record in found
            if record.expires > now and not record.withdrawn and self._is_newest(record)
        ]

    def sweep(self, now: float) -> None:
        """Forget the sequences of records that have expired."""
        for place in [place for place, word in self._newest.items() if word & ENDS <= now]:
            del self._newest[place]

    def _note(self, record: Record) -> bool:
        place = _place(record)
        known = self._newest.pop(place, 0)
        newer = record.sequence >= known >> END
        if newer:
            known = record.sequence << END | max(known & ENDS, record.expires)
        self._newest[place] = known
        if len(self._newest) > self._most_newest:
            del self._newest[next(iter(self._newest))]
        return newer

    def _is_newest(self, record: Record) -> bool:
        return record.sequence >= self._newest.get(_place(record), 0) >> END


def shard_of(key: bytes, publisher_id: bytes, depth: int) -> bytes:
    """The key under which a publisher's record stands once `key` has split `depth` times."""
    return shard(
        key, int.from_bytes(publisher_id[:2], "big") >> (16 - depth * dht_limits.SHARD_BITS), depth
    )


def shard(key: bytes, prefix: int, depth: int) -> bytes:
    """The key of one shard: a hash of the whole key and the first bits of the publishers' ids."""
    if not depth:
        return key
    name = key + bytes((depth,)) + prefix.to_bytes(2, "big")
    return hashlib.sha1(name, usedforsecurity=False).digest()


def _place(record: Record) -> bytes:
    return hashlib.blake2b(record.key, digest_size=16).digest()
