"""Contacts as answers tell of them: 26 bytes each with an IPv4 address, 38 with an IPv6 one. Pure.

id (20) | address (4 or 16) | port (2, network order, never 0)
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from privox_dht import limits
from privox_dht.dht.addresses import pack_address, unpack_ip
from privox_dht.errors import BadMessage

ID = 20  # bytes of a node's id and of a key


class Peer(NamedTuple):
    """A node as others tell of it: not proven."""

    id: bytes
    ip: str
    port: int

    @property
    def address(self) -> tuple[str, int]:
        return self.ip, self.port

    @property
    def packed(self) -> bytes:
        return self.id + pack_address(self.ip, self.port)


def peer_size(ip: str) -> int:
    """Bytes a contact takes in an answer."""
    return ID + (18 if ":" in ip else 6)


def pack_peers(peers: Iterable[Any]) -> dict[str, bytes]:
    """The fields `n` and `m` of an answer: contacts by family."""
    four = six = b""
    for peer in peers:
        packed = peer.packed
        if len(packed) == ID + 6:
            four += packed
        else:
            six += packed
    fields = {}
    if four:
        fields["n"] = four
    if six:
        fields["m"] = six
    return fields


def unpack_peers(packed: Any, octets: int) -> list[Peer]:
    """The contacts in one field of an answer, whose addresses have so many octets.

    Raises:
        BadMessage: it is no such field.
    """
    size = ID + octets + 2
    if type(packed) is not bytes or len(packed) % size:
        raise BadMessage("shape")
    if len(packed) > size * limits.MAX_CONTACTS_IN_DATAGRAM:
        raise BadMessage("shape")
    return [_peer(packed[at : at + size]) for at in range(0, len(packed), size)]


@lru_cache(maxsize=4096)  # the same nodes are told of again and again
def _peer(packed: bytes) -> Peer:
    port = packed[-2] << 8 | packed[-1]
    if not port:
        raise BadMessage("contact", "port 0")
    return Peer(packed[:ID], unpack_ip(packed[ID:-2]), port)
