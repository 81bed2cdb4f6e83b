"""What DHT nodes ask each other, byte by byte. Pure.

    request = [method, sender id, flags, token, arguments, padding]

    ping          nonce, address asked
    find          target, want, start; perhaps a challenge: nonce and address asked, as a ping has
    store         base key, depth, whether the publisher stands deeper, records
    dial          third node (none: you), TCP port, nonce
    dial_request  asker's address, TCP port, nonce; helper to third node
    probe         nonce
    announce      nothing: the token proves the sender

What is answered: see `answer_codec`.
"""

from typing import Any, NamedTuple

from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import ID
from privox_dht.dht.wire import (
    HEADER,
    NONCE,
    REQUEST,
    TOKEN,
    are_records,
    frame,
    is_address,
    unframe,
    unpack,
)
from privox_dht.errors import BadMessage

BARE_FIND = 96  # bytes of a find without padding, challenge and token, at most
_FRAME = 12  # bytes that msgpack puts around the padding and the largest arguments, at most


class Request(NamedTuple):
    """A request, its arguments checked by `METHODS`."""

    method: str
    sender: bytes
    flags: int
    token: bytes
    arguments: list[Any]


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


def _is_address_or_none(value: object) -> bool:
    return value == b"" or is_address(value)


def _is_challenge(value: object) -> bool:
    return type(value) is bytes and is_address(value[NONCE:])


METHODS: dict[str, tuple[Any, ...]] = {
    "ping": (_octets(NONCE), is_address),
    "find": (_octets(ID), _number(0, 255), _number(-1, 1 << 20), _is_challenge),
    "store": (_octets(ID), _number(0, dht_limits.SHARD_DEPTH), _number(0, 1), are_records),
    "dial": (_is_address_or_none, _number(0, 65535), _octets(NONCE)),
    "dial_request": (is_address, _number(0, 65535), _octets(NONCE)),
    "probe": (_octets(NONCE),),
    "announce": (),
}
UNCHALLENGED = ("find", 3)  # the one method whose last argument may be left out


def with_token(mesh: bytes, datagram: bytes, token: bytes) -> bytes:
    """A request of ours once more, with a token and so without padding."""
    _, message, packed = unframe(mesh, datagram)
    method, sender, flags, _, arguments, _ = unpack(packed)
    return frame(mesh, REQUEST, message, [method, sender, flags, token, arguments, b""])


def in_short(mesh: bytes, datagram: bytes) -> bytes:
    """A find of ours once more, without padding and challenge: there would be no room for more."""
    _, message, packed = unframe(mesh, datagram)
    method, sender, flags, token, arguments, _ = unpack(packed)
    unchallenged = arguments[: UNCHALLENGED[1]]
    return frame(mesh, REQUEST, message, [method, sender, flags, token, unchallenged, b""])


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
