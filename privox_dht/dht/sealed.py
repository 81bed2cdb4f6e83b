"""The datagrams of a private mesh: what `wire` makes and reads, sealed on its way.

    inside   version (1) | mesh tag (8) | kind (1) | message id (8) | body
    outside  random (16) | message id (8) | sealed: time (8), kind, destination, body | tag (16)
             `------- nonce (24) -------'

    request  destination: the DHT id of the node asked, shortened; the address, if the id is unknown
    answer   needs none, and no memory: the message id is what it answers to, once

A datagram is sealed anew each time it is sent, also when it is sent again: no two are the same.
"""

import os

from privox_dht.addresses import Address, pack_address, unpack_address
from privox_dht.dht.wire import ANSWER, HEADER, REQUEST
from privox_dht.errors import BadMessage
from privox_dht.membership import keys
from privox_dht.membership.members import TIME, Membership

RANDOM, ID = 16, 8  # bytes; random bytes and message id are the nonce
TO_NODE, NO_DESTINATION, TO_IPV4, TO_IPV6 = range(4)  # the kind of a destination
_DESTINATION = {TO_NODE: 8, NO_DESTINATION: 0, TO_IPV4: 6, TO_IPV6: 18}  # bytes of the destination
OVERHEAD = RANDOM + ID + TIME + 1 + 8 + keys.SEAL - HEADER  # bytes more than inside, at most;
# only a first ping, which is short, names an address


class SealedDatagrams:
    """Seals for all sockets of one node."""

    __slots__ = ("_key", "_member", "_open", "_own_id")

    def __init__(self, member: Membership, own_id: bytes, version: int) -> None:
        self._member, self._own_id = member, own_id
        self._key = member.keys.datagram
        self._open = bytes([version]) + member.tag  # how datagrams begin inside

    def seal(self, datagram: bytes, address: Address, node_id: bytes) -> bytes:
        """A datagram as it is sent to a node; with an empty id, to any node at the address."""
        message = datagram[HEADER - ID : HEADER]
        if datagram[HEADER - ID - 1] == ANSWER:
            kind, where = NO_DESTINATION, b""
        elif node_id:
            kind, where = TO_NODE, node_id[: _DESTINATION[TO_NODE]]
        else:
            where = pack_address(*address)
            kind = TO_IPV4 if len(where) == _DESTINATION[TO_IPV4] else TO_IPV6
        text = b"".join((self._member.now(), bytes([kind]), where, datagram[HEADER:]))
        return keys.seal(self._key, text, nonce=os.urandom(RANDOM) + message)

    def unseal(self, sealed: bytes) -> bytes:
        """The datagram inside.

        Raises:
            BadMessage: it is not for us, or not for the first time.
        """
        text = keys.unseal(self._key, sealed)
        kind = text[TIME] if len(text) > TIME else None
        if kind not in _DESTINATION:
            raise BadMessage("kind")
        begin = TIME + 1 + _DESTINATION[kind]
        where = text[TIME + 1 : begin]
        if len(where) < _DESTINATION[kind]:
            raise BadMessage("short")
        if kind == NO_DESTINATION:
            self._member.check(text[:TIME])
        else:
            self._check_destination(kind, where)
            self._member.check(text[:TIME], sealed[:RANDOM])
        inside = bytes([ANSWER if kind == NO_DESTINATION else REQUEST])
        return b"".join((self._open, inside, sealed[RANDOM : RANDOM + ID], text[begin:]))

    def _check_destination(self, kind: int, where: bytes) -> None:
        if kind == TO_NODE:
            is_ours = self._own_id.startswith(where)
        else:
            is_ours = where[-2:] != b"\0\0" and self._member.own.has(unpack_address(where))
        if not is_ours:
            raise BadMessage("elsewhere")
