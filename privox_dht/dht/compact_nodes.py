"""Contacts as encoded in answers: 26 bytes each with an IPv4 address, 38 with an IPv6 one. Pure.

id (20) | address (4 or 16) | port (2, network order, never 0)
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from privox_dht.addresses import Address, pack_address, unpack_address
from privox_dht.dht import dht_limits
from privox_dht.errors import BadMessage

ID = 20  # bytes of a node's id and of a key
IPV4_CONTACT = ID + 6  # bytes of a contact with an IPv4 address


class CompactNode(NamedTuple):
    """A node in another's answer: it has not proven its key to us."""

    id: bytes
    address: Address

    @property
    def ip(self) -> str:
        return self.address[0]

    @property
    def packed(self) -> bytes:
        return self.id + pack_address(*self.address)


def pack_peers(peers: Iterable[Any]) -> dict[str, bytes]:
    """The fields `n` and `m` of an answer: contacts by family."""
    packed = [peer.packed for peer in peers]
    four = b"".join([one for one in packed if len(one) == IPV4_CONTACT])
    six = b"".join([one for one in packed if len(one) != IPV4_CONTACT])
    return {name: field for name, field in (("n", four), ("m", six)) if field}


def unpack_peers(packed: Any, octets: int) -> list[CompactNode]:
    """The contacts in one field of an answer, whose addresses have so many octets.

    Raises:
        BadMessage: it is no such field.
    """
    size = ID + octets + 2
    if type(packed) is not bytes or len(packed) % size:
        raise BadMessage("shape")
    if len(packed) > size * dht_limits.MAX_CONTACTS_IN_DATAGRAM:
        raise BadMessage("shape")
    return [unpack_peer(packed[at : at + size]) for at in range(0, len(packed), size)]


@lru_cache(maxsize=8192)  # look-ups receive the same contacts again and again
def unpack_peer(packed: bytes) -> CompactNode:
    """One contact.

    Raises:
        BadMessage: its port is 0.
    """
    if packed.endswith(b"\0\0"):
        raise BadMessage("contact", "port 0")
    return CompactNode(packed[:ID], unpack_address(packed[ID:]))
