"""The fields of a capability record, encoded and decoded. Pure.

encode  Record -> body: a canonical msgpack map of one-letter keys
decode  signature and body from anywhere -> Record, checked for length, type and range; `records`
        checks mesh, time and signature
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from privox_dht import limits
from privox_dht.addresses import join_host
from privox_dht.errors import BadRecord
from privox_dht.identity import SIGNATURE, peer_id_of
from privox_dht.speech import BACKENDS

FARM = "farm"  # the kind of record a farm publishes about itself
TAG_LENGTH = 8  # bytes of the mesh tag
NAMES = frozenset({str})  # types that the name of a field may have


@dataclass(frozen=True, slots=True, order=True)
class Direct:
    """A route: the producer's own address."""

    host: str  # an IPv4 or IPv6 literal
    port: int

    def __str__(self) -> str:
        return f"direct {join_host(self.host, self.port)}"


@dataclass(frozen=True, slots=True, order=True)
class Relayed:
    """A route: through the farm with this key, at the addresses in the farm's record."""

    farm: bytes  # the farm's 32-byte public key

    def __str__(self) -> str:
        return f"relayed by {peer_id_of(self.farm)[:8]}"


Route = Direct | Relayed


@dataclass(frozen=True, slots=True)
class Record:
    """The fields of a record. `encoded` are the signed bytes, from which all else was decoded."""

    publisher: bytes  # 32-byte Ed25519 public key
    mesh: bytes  # 8-byte tag
    kind: str  # "stt", "tts", "farm", later others
    backend: str = "cpu"
    engine: str = ""
    models: tuple[str, ...] = ()  # at most 8, models or voices
    more: bool = False  # there are more models than listed
    languages: tuple[str, ...] = ()  # at most 16 primary tags; empty: any
    routes: tuple[Route, ...] = ()  # at most 4
    slots: int = 0  # jobs at a time
    idle: int = 0  # of these, how many were free when this was signed
    speed: float = 0.0  # seconds of audio per second; 0 is unknown
    translates: bool = False  # stt: into English
    only_named: bool = False  # it takes only jobs that name its engine
    terms: Mapping[str, int] = field(default_factory=dict)  # a farm's limits by one-letter name
    withdrawn: bool = False
    sequence: int = 0  # milliseconds since the epoch, or one more than the last
    issued: int = 0  # seconds since the epoch
    expires: int = 0  # seconds since the epoch
    encoded: bytes = b""

    @property
    def peer_id(self) -> str:
        return peer_id_of(self.publisher)

    @property
    def key(self) -> bytes:
        """Publisher, kind, backend and engine: the same in all versions of a record. The highest
        sequence wins."""
        return f"{self.kind}/{self.backend}/".encode() + self.publisher + self.engine.encode()

    def __str__(self) -> str:
        what = f"{self.kind}/{self.backend}/{self.engine}" if self.engine else self.kind
        return f"{self.peer_id[:8]} {what} {self.idle}/{self.slots} idle"


# -- the body: one-letter keys, sorted, so that one record has one encoding ------------------------


def encode(record: Record) -> bytes:
    fields: dict[str, Any] = {
        "a": record.issued,
        "k": record.publisher,
        "m": record.mesh,
        "n": record.sequence,
        "t": record.kind,
        "v": limits.PROTOCOL_VERSION,
        "z": record.expires,
    }
    optional: dict[str, Any] = {
        "b": record.backend,
        "d": record.translates,
        "e": record.engine,
        "i": record.idle,
        "l": list(record.languages),
        "o": list(record.models),
        "p": record.more,
        "q": dict(record.terms),
        "r": [_route_out(route) for route in record.routes],
        "s": record.slots,
        "w": record.withdrawn,
        "x": round(record.speed * 10),
        "y": record.only_named,
    }
    fields.update({name: value for name, value in optional.items() if value})
    packed: bytes = msgpack.packb(dict(sorted(fields.items())))
    return packed


def decode(wire: bytes) -> Record:
    try:
        fields = msgpack.unpackb(wire[SIGNATURE:], max_map_len=64, max_array_len=64)
    except Exception as exc:  # msgpack raises many kinds of errors
        raise BadRecord("shape") from exc
    if type(fields) is not dict or not NAMES.issuperset(map(type, fields)):
        raise BadRecord("shape")
    version = fields.get("v")
    if type(version) is not int or version != limits.PROTOCOL_VERSION:  # True == 1.0 == 1
        raise BadRecord("version")
    read = _Reader(fields)
    slots = read.number("s", 0, limits.MAX_SLOTS, 0)
    return Record(
        publisher=read.octets("k", 32),
        mesh=read.octets("m", TAG_LENGTH),
        kind=read.name("t"),
        backend=read.one_of("b", BACKENDS, "cpu"),
        engine=read.name("e", ""),
        models=read.names("o", limits.MAX_MODELS),
        more=read.flag("p"),
        languages=read.names("l", limits.MAX_LANGUAGES),
        routes=read.routes("r"),
        slots=slots,
        idle=read.number("i", 0, slots, 0),
        speed=read.number("x", 0, 1_000_000, 0) / 10,
        translates=read.flag("d"),
        only_named=read.flag("y"),
        terms=read.terms("q"),
        withdrawn=read.flag("w"),
        sequence=read.number("n", 0, 2**53),
        issued=read.number("a", 0, 2**40),
        expires=read.number("z", 0, 2**40 - 1),
        encoded=wire,
    )


class _Reader:
    """Typed access to an untrusted map; an invalid field raises BadRecord."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def octets(self, name: str, length: int) -> bytes:
        value = self._fields.get(name)
        if type(value) is not bytes or len(value) != length:
            raise BadRecord("field", name)
        return value

    def number(self, name: str, least: int, most: int, default: int | None = None) -> int:
        value = self._fields.get(name, default)
        if type(value) is not int or not least <= value <= most:
            raise BadRecord("field", name)
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, False)
        if type(value) is not bool:
            raise BadRecord("field", name)
        return value

    def name(self, name: str, default: str | None = None) -> str:
        value = self._fields.get(name, default)
        if value == "" and default == "":
            return ""
        if not is_name(value):
            raise BadRecord("field", name)
        return str(value)

    def one_of(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self._fields.get(name, default)
        if value not in choices:
            raise BadRecord("field", name)
        return str(value)

    def names(self, name: str, most: int) -> tuple[str, ...]:
        value = self._fields.get(name, [])
        if type(value) is not list or len(value) > most or not all(map(is_name, value)):
            raise BadRecord("field", name)
        return tuple(value)

    def routes(self, name: str) -> tuple[Route, ...]:
        value = self._fields.get(name, [])
        if type(value) is not list or len(value) > limits.MAX_ROUTES:
            raise BadRecord("field", name)
        return tuple(map(_route_in, value))

    def terms(self, name: str) -> dict[str, int]:
        value = self._fields.get(name, {})
        if type(value) is not dict or len(value) > 8:
            raise BadRecord("field", name)
        for key, number in value.items():
            if type(key) is not str or len(key) > 1 or type(number) is not int or number < 0:
                raise BadRecord("field", name)
        return value


def is_name(value: object) -> bool:
    """Whether it can be shown in terminals and sent in headers: printable, without spaces."""
    return (
        type(value) is str
        and 0 < len(value) <= limits.MAX_NAME
        and value.isprintable()
        and " " not in value
    )


def _route_out(route: Route) -> list[Any]:
    if isinstance(route, Direct):
        return [ipaddress.ip_address(route.host).packed, route.port]
    return [route.farm]


def _route_in(value: object) -> Route:
    match value:
        case [bytes() as farm] if len(farm) == 32:
            return Relayed(farm)
        case [bytes() as packed, int() as port] if len(packed) in (4, 16) and port is not True:
            if 0 < port < 65536:
                return Direct(_literal(packed), port)
    raise BadRecord("field", "r")


def _literal(packed: bytes) -> str:
    if len(packed) == 4:
        return "{}.{}.{}.{}".format(*packed)  # ten times as fast as `ipaddress`
    return str(ipaddress.IPv6Address(packed))
