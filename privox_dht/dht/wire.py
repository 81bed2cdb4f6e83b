"""The datagrams of DHT nodes: one envelope around every request and answer. Pure.

    datagram = version (1) | mesh tag (8) | kind (1) | message id (8) | body (msgpack)
    body     = a request (`request_codec`) or an answer (`answer_codec`)

Every datagram goes through `frame` and `unframe`, both ways. Whatever is wrong with one is said as
BadMessage with one of `REASONS`; nothing else is ever raised for a stranger's bytes, here or by the
two that read bodies.
"""

import struct
from typing import Any

import msgpack

from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.errors import BadMessage

REQUEST, ANSWER = 0, 1  # the kind of a datagram
TOKEN = 8  # bytes of a write token
NONCE = 16  # bytes
GUEST = 1  # flag: do not remember me
FAMILY_4, FAMILY_6 = 2, 4  # flags: I can speak to such addresses

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
    "contact",  # an invalid address in an answer
)
_PACKER = msgpack.Packer()  # a new one for each datagram would cost more than the packing
_HEADER = struct.Struct(">B8sB8s")
HEADER = _HEADER.size


def frame(mesh: bytes, kind: int, message: bytes, body: object) -> bytes:
    """The datagram of a body."""
    packed: bytes = _PACKER.pack(body)
    return _HEADER.pack(limits.PROTOCOL_VERSION, mesh, kind, message) + packed


def unframe(mesh: bytes, datagram: bytes) -> tuple[int, bytes, bytes]:
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


# -- what requests and answers have in common -----------------------------------------------------


def is_address(value: object) -> bool:
    return type(value) is bytes and len(value) in (6, 18) and value[-2:] != b"\0\0"


def are_records(value: object) -> bool:
    return (
        type(value) is list
        and 0 < len(value) <= dht_limits.MAX_RECORDS_IN_DATAGRAM
        and all(type(wire) is bytes for wire in value)
    )


def family_of(address: tuple[str, int]) -> int:
    """The flag of an address's family."""
    return FAMILY_6 if ":" in address[0] else FAMILY_4
