"""What DHT nodes answer, byte by byte: a map of one-letter keys for each. Pure.

    ping                 key, signature over nonce and address, asker's address, time, token
    find                 token, closer contacts, records, how many there are; to a challenge, if
                         there is room, what a ping is answered as well
    store                token, what became of each record, how many there are
    dial, dial_request   where was dialled; what came through
    probe                nothing in it: it was waited for
    any, from an address that asks too much   token, `b`: again with this, please

What is asked: see `request_codec`.
"""

from typing import Any, NamedTuple

from privox_dht.addresses import unpack_address
from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import CompactNode, unpack_peers
from privox_dht.dht.wire import HEADER, TOKEN, are_records, is_address
from privox_dht.errors import BadMessage

PROOF_DOMAIN = b"privox_dht ping 1\0"  # what a ping's answer signs starts with this
HELD, REFUSED, FULL = 1, 0, 2  # what became of a record that was to be stored
ARRIVED, MISSED, UNTRIED = 1, 0, 2  # what became of a dial-back
RETRY_SIZE = HEADER + 1 + 2 + 2 + TOKEN + 2 + 1  # bytes of an answer that is only a token
PROOF = 140  # bytes that a proof takes in the answer to a find, at most


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
    idle: int  # of those, records of idle producers; they are the first rows
    split: bool  # the key has split: shards hold more
    proof: Pong | None  # if it was challenged, and had the room
    weight: int  # bytes that it took to say this, at the least


class Stored(NamedTuple):
    """The answer to a store."""

    token: bytes
    results: list[int]
    split: bool  # the key has split: shards hold more
    total: int  # records under the shard


class Dialled(NamedTuple):
    """The answer to a dial and to a dial_request."""

    udp: bool
    tcp: int
    where: tuple[str, int] | None  # the address that was dialled


def retry(token: bytes) -> dict[str, Any]:
    """The answer to an address over its quota, which may be forged: send again with this token."""
    return {"t": token, "b": True}


def read_retry(body: Any) -> bytes:
    """The token of such an answer; empty if it is another."""
    return _token(body) if type(body) is dict and body.get("b") is True else b""


def read_pong(body: Any) -> Pong:
    """Raises BadMessage: it is not the answer to a ping."""
    fields = _fields(body)
    return _read_proof(fields, _token(fields))


def _read_proof(fields: Any, token: bytes) -> Pong:
    public, signature, seen, moment = (fields.get(name) for name in "kson")
    _check(type(public) is bytes and len(public) == 32)
    _check(type(signature) is bytes and len(signature) == 64)
    _check(type(moment) is int and 0 <= moment < 1 << 50)
    _check(is_address(seen))
    return Pong(public, signature, unpack_address(seen), moment / 1000, token)


def read_found(body: Any) -> Found:
    """Raises BadMessage: it is not the answer to a find."""
    fields = _fields(body)
    wires = fields.get("r", [])
    _check(wires == [] or are_records(wires))
    count, idle = fields.get("c", 0), fields.get("i", 0)
    _check(type(count) is type(idle) is int and 0 <= idle <= count < 1 << 20)
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
    """Raises BadMessage: it is not the answer to a store."""
    fields = _fields(body)
    results = fields.get("s")
    _check(type(results) is list and len(results) <= dht_limits.MAX_RECORDS_IN_DATAGRAM)
    _check(all(type(result) is int and result in (HELD, REFUSED, FULL) for result in results))
    total = fields.get("c", 0)
    _check(type(total) is int and 0 <= total < 1 << 20)
    return Stored(_token(fields), results, fields.get("f") is True, total)


def read_dialled(body: Any) -> Dialled:
    """Raises BadMessage: it is not the answer to a dial or a dial_request."""
    fields = _fields(body)
    tcp = fields.get("d")
    _check(type(tcp) is int and tcp in (ARRIVED, MISSED, UNTRIED))
    where = fields.get("o")
    _check(where is None or is_address(where))
    return Dialled(fields.get("u") is True, tcp, unpack_address(where) if where else None)


def read_probe_response(body: Any) -> bool:
    """Raises BadMessage: it is not the answer to a probe."""
    _fields(body)
    return True


def _fields(body: Any) -> Any:
    _check(type(body) is dict)
    return body


def _token(fields: Any) -> bytes:
    token = fields.get("t", b"")
    _check(type(token) is bytes and len(token) in (0, TOKEN))
    return bytes(token)


def _check(good: bool) -> None:
    if not good:
        raise BadMessage("shape")


def proof(nonce: bytes, address: bytes) -> bytes:
    """What a node signs to show that it holds its key, at the address it was asked at."""
    return PROOF_DOMAIN + nonce + address
