"""What DHT nodes say to each other, byte by byte. Pure.

    datagram = version (1) | mesh tag (8) | kind (1) | message id (8) | body (msgpack)
    request  = [method, sender id, flags, token, arguments, padding]
    answer   = a map of one-letter keys; see `Pong`, `Found`, `Stored`, `Dialled`

    ping   nonce, address asked   ->  key, signature over both, asker's address, time, token
    find   target, want, start    ->  token, closer contacts, records, how many there are
           and perhaps a challenge: nonce and address asked, as a ping has them
                                  ->  the proof that a ping's answer has, as well
    put    base key, depth, whether the publisher stands deeper, wires
                                  ->  token, what became of each, how many there are
    dial   third node (none: you), TCP port, nonce     -> where we were dialled; what came through
    refer  asker's address, TCP port, nonce            -> the same, helper to third node
    probe  nonce                                       -> nothing in it: it was waited for
    here                                               -> nothing: the token proves the sender
    any of them, from an address that asks too much    -> token, `b`: again with this, please

Every datagram goes through `seal` and `unseal`, both ways. Whatever is wrong with one is said as
BadMessage with one of `REASONS`; nothing else is ever raised here for a stranger's bytes.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import msgpack

from privox_dht import limits
from privox_dht.addresses import unpack_address
from privox_dht.dht.compact_nodes import ID, CompactNode, unpack_peers
from privox_dht.errors import BadMessage

REQUEST, ANSWER = 0, 1  # the kind of a datagram
TOKEN = 8  # bytes of a write token
NONCE = 16  # bytes
GUEST = 1  # flag: do not remember me
FAMILY_4, FAMILY_6 = 2, 4  # flags: I can speak to such addresses
PROOF_DOMAIN = b"privox_dht ping 1\0"  # what a ping's answer signs starts with this
HELD, REFUSED, FULL = 1, 0, 2  # what became of a record that was put
ARRIVED, MISSED, UNTRIED = 1, 0, 2  # what became of a dial-back

REASONS = (
    "short",  # fewer bytes than a header has
    "long",  # more than MAX_DATAGRAM
    "version",  # another protocol version
    "mesh",  # another mesh
    "kind",  # neither request nor answer
    "shape",  # not the msgpack of a request or an answer
    "sender",  # an id that is not 20 bytes
    "method",  # asked for something we do not do
    "argument",  # of a wrong type, length or range
    "contact",  # an address in an answer that nobody may have
)
_PACKER = msgpack.Packer()  # a new one for each datagram would cost more than the packing
_HEADER = struct.Struct(">B8sB8s")
HEADER = _HEADER.size
RETRY_SIZE = HEADER + 1 + 2 + 2 + TOKEN + 2 + 1  # bytes of an answer that is only a token
BARE_FIND = 96  # bytes of a find without padding, challenge and token, at most
PROOF = 140  # bytes that a proof takes in the answer to a find, at most
_FRAME = 12  # bytes that msgpack puts around the padding and the largest arguments, at most


class Request(NamedTuple):
    """A request, its arguments checked by `METHODS`."""

    method: str
    sender: bytes
    flags: int
    token: bytes
    arguments: list[Any]


class Pong(NamedTuple):
    """The answer to a ping, or to a challenge: who it is, proven, and what it sees of us."""

    public: bytes
    signature: bytes
    observed: tuple[str, int]  # our address, as it sees us
    time: float  # seconds since the epoch, by its clock
    token: bytes


class Found(NamedTuple):
    """The answer to a find."""

    token: bytes
    peers: list[CompactNode]
    wires: list[bytes]
    total: int  # records under the key that are not withdrawn
    idle: int  # of those, producers that said they were idle; they are the first rows
    split: bool  # the key has split: shards hold more
    proof: Pong | None  # if it was challenged, and had the room
    weight: int  # bytes that it took to say this, at the least


class Stored(NamedTuple):
    """The answer to a put."""

    token: bytes
    fates: list[int]
    split: bool  # the key has split: shards hold more
    total: int  # records under the shard


class Dialled(NamedTuple):
    """The answer to a dial and to a refer."""

    udp: bool
    tcp: int
    where: tuple[str, int] | None  # the address that was dialled


# -- the one pair of functions every datagram goes through -----------------------------------------


def seal(mesh: bytes, kind: int, message: bytes, body: object) -> bytes:
    """The datagram of a body."""
    packed: bytes = _PACKER.pack(body)
    return _HEADER.pack(limits.PROTOCOL_VERSION, mesh, kind, message) + packed


def unseal(mesh: bytes, datagram: bytes) -> tuple[int, bytes, bytes]:
    """Kind, message id and packed body of a datagram.

    Raises:
        BadMessage: it is not one of this version and mesh.
    """
    if len(datagram) <= HEADER:
        raise BadMessage("short")
    if len(datagram) > limits.MAX_DATAGRAM:
        raise BadMessage("long")
    version, tag, kind, message = _HEADER.unpack_from(datagram)
    if version != limits.PROTOCOL_VERSION:
        raise BadMessage("version")
    if tag != mesh:
        raise BadMessage("mesh")
    if kind not in (REQUEST, ANSWER):
        raise BadMessage("kind")
    return kind, message, datagram[HEADER:]


def unpack(packed: bytes) -> Any:
    """The body that was packed.

    Raises:
        BadMessage: it is not msgpack, or too wide to be ours.
    """
    try:
        return msgpack.unpackb(packed, max_array_len=32, max_map_len=16)
    except Exception as exc:  # msgpack raises a dozen kinds; all mean the same here
        raise BadMessage("shape") from exc


# -- requests --------------------------------------------------------------------------------------


def request_body(
    method: str, sender: bytes, flags: int, token: bytes, arguments: list[Any], size: int
) -> list[Any]:
    """A request padded to about `size` bytes, so that its answer may be longer."""
    bare = HEADER + len(method) + ID + len(token) + _weight(arguments) + _FRAME
    return [method, sender, flags, token, arguments, bytes(max(0, size - bare))]


def read_request(body: Any) -> Request:
    """The request in a body, checked down to the range of each argument.

    Raises:
        BadMessage: it is none.
    """
    if type(body) is not list or len(body) != 6:
        raise BadMessage("shape")
    method, sender, flags, token, arguments, padding = body
    if type(sender) is not bytes or len(sender) != ID:
        raise BadMessage("sender")
    if type(method) is not str or method not in METHODS:
        raise BadMessage("method")
    if type(flags) is not int or not 0 <= flags < 256 or type(padding) is not bytes:
        raise BadMessage("shape")
    if type(token) is not bytes or len(token) not in (0, TOKEN):
        raise BadMessage("shape")
    checks = METHODS[method]
    if type(arguments) is not list:
        raise BadMessage("argument")
    if len(arguments) != len(checks) and (method, len(arguments)) != UNCHALLENGED:
        raise BadMessage("argument")
    for check, argument in zip(checks, arguments, strict=False):
        if not check(argument):
            raise BadMessage("argument", method)
    return Request(method, sender, flags, token, arguments)


def _octets(*lengths: int) -> Any:
    return lambda value: type(value) is bytes and len(value) in lengths


def _number(least: int, most: int) -> Any:
    return lambda value: type(value) is int and least <= value <= most


def _is_address(value: object) -> bool:
    return type(value) is bytes and len(value) in (6, 18) and value[-2:] != b"\0\0"


def _is_address_or_none(value: object) -> bool:
    return value == b"" or _is_address(value)


def _is_challenge(value: object) -> bool:
    return type(value) is bytes and _is_address(value[NONCE:])


def _are_wires(value: object) -> bool:
    return (
        type(value) is list
        and 0 < len(value) <= limits.MAX_RECORDS_IN_DATAGRAM
        and all(type(wire) is bytes for wire in value)
    )


METHODS: dict[str, tuple[Any, ...]] = {
    "ping": (_octets(NONCE), _is_address),
    "find": (_octets(ID), _number(0, 255), _number(-1, 1 << 20), _is_challenge),
    "store": (_octets(ID), _number(0, limits.SHARD_DEPTH), _number(0, 1), _are_wires),
    "dial": (_is_address_or_none, _number(0, 65535), _octets(NONCE)),
    "dial_request": (_is_address, _number(0, 65535), _octets(NONCE)),
    "probe": (_octets(NONCE),),
    "announce": (),
}
UNCHALLENGED = ("find", 3)  # the one method whose last argument may be left out


def with_token(mesh: bytes, datagram: bytes, token: bytes) -> bytes:
    """A request of ours once more, with a token and so without padding."""
    _, message, packed = unseal(mesh, datagram)
    method, sender, flags, _, arguments, _ = unpack(packed)
    return seal(mesh, REQUEST, message, [method, sender, flags, token, arguments, b""])


def in_short(mesh: bytes, datagram: bytes) -> bytes:
    """A find of ours once more, without padding and challenge: there would be no room for more."""
    _, message, packed = unseal(mesh, datagram)
    method, sender, flags, token, arguments, _ = unpack(packed)
    some = arguments[: UNCHALLENGED[1]]
    return seal(mesh, REQUEST, message, [method, sender, flags, token, some, b""])


# -- answers ---------------------------------------------------------------------------------------


def retry(token: bytes) -> dict[str, Any]:
    """The answer to whom we cannot tell from others who use his address: ask again with this."""
    return {"t": token, "b": True}


def read_retry(body: Any) -> bytes:
    """The token of such an answer; empty if it is another."""
    return _token(body) if type(body) is dict and body.get("b") is True else b""


def read_pong(body: Any) -> Pong:
    """Raises BadMessage: it is not the answer to a ping."""
    fields = _fields(body)
    return _read_proof(fields, _token(fields))


def _read_proof(fields: dict[str, Any], token: bytes) -> Pong:
    public, signature, seen, moment = (fields.get(name) for name in "kson")
    if type(public) is not bytes or len(public) != 32:
        raise BadMessage("shape")
    if type(signature) is not bytes or len(signature) != 64:
        raise BadMessage("shape")
    if type(moment) is not int or not 0 <= moment < 1 << 50:
        raise BadMessage("shape")
    if type(seen) is not bytes or not _is_address(seen):
        raise BadMessage("shape")
    return Pong(public, signature, unpack_address(seen), moment / 1000, token)


def read_found(body: Any) -> Found:
    """Raises BadMessage: it is not the answer to a find."""
    fields = _fields(body)
    wires = fields.get("r", [])
    if wires != [] and not _are_wires(wires):
        raise BadMessage("shape")
    count, idle = fields.get("c", 0), fields.get("i", 0)
    if type(count) is not int or type(idle) is not int or not 0 <= idle <= count < 1 << 20:
        raise BadMessage("shape")
    four, six = fields.get("n", b""), fields.get("m", b"")
    peers = unpack_peers(four, 4) + unpack_peers(six, 16)
    token = _token(fields)
    weight = HEADER + len(four) + len(six) + sum(map(len, wires))
    proof = None
    if "p" in fields:
        proof = _read_proof(_fields(fields["p"]), token)
        weight += len(proof.public) + len(proof.signature)
    return Found(token, peers, wires, count, idle, fields.get("f") is True, proof, weight)


def read_stored(body: Any) -> Stored:
    """Raises BadMessage: it is not the answer to a put."""
    fields = _fields(body)
    fates = fields.get("s")
    if type(fates) is not list or len(fates) > limits.MAX_RECORDS_IN_DATAGRAM:
        raise BadMessage("shape")
    if not all(type(fate) is int and fate in (HELD, REFUSED, FULL) for fate in fates):
        raise BadMessage("shape")
    total = fields.get("c", 0)
    if type(total) is not int or not 0 <= total < 1 << 20:
        raise BadMessage("shape")
    return Stored(_token(fields), fates, fields.get("f") is True, total)


def read_dialled(body: Any) -> Dialled:
    """Raises BadMessage: it is not the answer to a dial or a refer."""
    fields = _fields(body)
    tcp = fields.get("d")
    if type(tcp) is not int or tcp not in (ARRIVED, MISSED, UNTRIED):
        raise BadMessage("shape")
    where = fields.get("o")
    if where is not None and not _is_address(where):
        raise BadMessage("shape")
    return Dialled(fields.get("u") is True, tcp, unpack_address(where) if where else None)


def read_probe_response(body: Any) -> bool:
    """Raises BadMessage: it is not the answer to a probe."""
    _fields(body)
    return True


def _fields(body: Any) -> dict[str, Any]:
    if type(body) is not dict:
        raise BadMessage("shape")
    return body


def _token(fields: dict[str, Any]) -> bytes:
    token = fields.get("t", b"")
    if type(token) is not bytes or len(token) not in (0, TOKEN):
        raise BadMessage("shape")
    return token


def proof(nonce: bytes, address: bytes) -> bytes:
    """What a node signs to show that it holds its key, at the address it was asked at."""
    return PROOF_DOMAIN + nonce + address


def family_of(address: tuple[str, int]) -> int:
    """The flag of an address's family."""
    return FAMILY_6 if ":" in address[0] else FAMILY_4


def _weight(arguments: list[Any]) -> int:
    total = 0
    for argument in arguments:
        if type(argument) is bytes:
            total += len(argument) + 2
        elif type(argument) is list:
            total += _weight(argument) + len(argument)
        else:
            total += 1
    return total
