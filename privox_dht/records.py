"""Capability records: a producer's signed and dated key, services, routes and idle slots.

    producer -> DHT      wire = signature (64 bytes) + body (canonical msgpack, one-letter keys)
    node     -> itself   parse(wire, now, mesh) on receipt, on store and on read: length, then type,
                         then meaning, then signature; an invalid record is dropped and counted
    client   <- DHT      Record, a hint; only the producer's answer to an offer is reliable

One publisher may hold one record per engine under a key. The newest sequence number wins. A
withdrawal is a record like any other with `withdrawn` set; stores keep it until what it replaces
would have expired, so that a replay cannot revive it. Fields this version does not know are kept
(the wire bytes are never re-encoded) and ignored.

No function reads the clock: `now` is an argument, in seconds since the epoch.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from privox_dht import limits, record_codec
from privox_dht.errors import BadRecord
from privox_dht.identity import SIGNATURE, Identity, verify
from privox_dht.record_codec import FARM, TAG_LENGTH, Direct, Record, Relayed, Route, decode, encode

DOMAIN = b"privox_dht record 1\0"  # the signed bytes of a record, and of nothing else, start so
NARROW_UP_TO = 4  # languages or models that get a key each; with more, only the wide key is used
REASONS = (
    "size",
    "shape",
    "version",
    "mesh",
    "field",
    "expired",
    "future",
    "lifetime",
    "signature",
)


def network_tag(name: str) -> bytes:
    """The 8-byte tag of a mesh: a hash of its name. Meshes of different names never mix."""
    return hashlib.sha256(b"privox_dht mesh\0" + name.encode()).digest()[:TAG_LENGTH]


def service_key(mesh: bytes, kind: str, backend: str = "", *narrower: str) -> bytes:
    """The 20-byte DHT key under which records of a kind are found.

    `narrower` are words such as "language=de" or "model=small"; none means every such record.
    """
    path = "/".join((kind, backend, *narrower))
    return hashlib.sha1(mesh + path.encode(), usedforsecurity=False).digest()


def farm_key(mesh: bytes, public: bytes) -> bytes:
    """The key under which one farm's record is found when a relayed route names it."""
    return hashlib.sha1(mesh + b"farm=" + public, usedforsecurity=False).digest()


def keys_of(record: Record) -> tuple[bytes, ...]:
    """All keys under which this record may be stored; a store accepts it under no other."""
    if record.kind == FARM:
        return (service_key(record.mesh, FARM), farm_key(record.mesh, record.publisher))
    words: list[str] = []
    if len(record.languages) <= NARROW_UP_TO:
        words += [f"language={language}" for language in record.languages]
    if len(record.models) <= NARROW_UP_TO and not record.more:
        words += [f"model={model}" for model in record.models]
    return _service_keys(record.mesh, record.kind, record.backend, tuple(words))


@lru_cache(maxsize=1024)  # many producers have the same words: their keys are kept once
def _service_keys(
    mesh: bytes, kind: str, backend: str, words: tuple[str, ...]
) -> tuple[bytes, ...]:
    narrower = (service_key(mesh, kind, backend, word) for word in words)
    return (service_key(mesh, kind, backend), *narrower)


def sign(identity: Identity, record: Record) -> Record:
    """`record` signed by this identity, without models whose names no record can hold; further
    models, then languages are left out until it fits.

    Raises:
        BadRecord: a field is invalid, which is a bug of the caller.
    """
    models = tuple(filter(record_codec.is_name, record.models))[: limits.MAX_MODELS]
    record = replace(
        record,
        publisher=identity.public,
        models=models,
        more=record.more or len(models) < sum(map(bool, record.models)),
        languages=record.languages[: limits.MAX_LANGUAGES],
        routes=record.routes[: limits.MAX_ROUTES],
    )
    body = encode(record)
    while len(body) + SIGNATURE > limits.MAX_RECORD and (record.models or record.languages):
        if record.models:
            record = replace(record, models=record.models[:-1], more=True)
        else:
            record = replace(record, languages=record.languages[:-1])
        body = encode(record)
    wire = identity.sign(DOMAIN + body) + body
    return parse(wire, float(record.issued), record.mesh)


def parse(wire: object, now: float, mesh: bytes, *, trusted: bool = False) -> Record:
    """The record in `wire`, checked in this order: length, type, meaning, time, signature.

    Args:
        wire: what came over the network, of any type.
        now: seconds since the epoch.
        mesh: the tag of our mesh; records of others are dropped.
        trusted: do not check the signature: it was checked before, or `is_signed` is called next.

    Raises:
        BadRecord: with one of `REASONS`.
    """
    if type(wire) is not bytes or not SIGNATURE < len(wire) <= limits.MAX_RECORD:
        raise BadRecord("size")
    record = decode(wire)
    if record.mesh != mesh:
        raise BadRecord("mesh")
    if record.expires <= now:
        raise BadRecord("expired")
    if record.issued > now + limits.CLOCK_SKEW:
        raise BadRecord("future", f"issued {record.issued - now:.0f} s from now")
    if not 0 < record.expires - record.issued <= limits.RECORD_LIFETIME + limits.CLOCK_SKEW:
        raise BadRecord("lifetime")
    if not trusted and not is_signed(record):
        raise BadRecord("signature")
    return record


def is_signed(record: Record) -> bool:
    """Whether the signature of a record that was read is valid."""
    wire = record.encoded
    return verify(record.publisher, wire[:SIGNATURE], DOMAIN + wire[SIGNATURE:])


def latest_per_key(records: Iterable[Record]) -> list[Record]:
    """The record with the highest sequence for each key, withdrawn or not."""
    best: dict[bytes, Record] = {}
    for record in records:
        known = best.get(record.key)
        if known is None or known.sequence < record.sequence:
            best[record.key] = record
    return list(best.values())


def next_sequence(last: int, now: float) -> int:
    """A sequence number above `last` that survives a restart without a file: wall-clock ms."""
    return max(last + 1, int(now * 1000))


__all__ = [
    "FARM",
    "REASONS",
    "Direct",
    "Record",
    "Relayed",
    "Route",
    "farm_key",
    "is_signed",
    "keys_of",
    "latest_per_key",
    "network_tag",
    "next_sequence",
    "parse",
    "service_key",
    "sign",
]  # fmt: skip
