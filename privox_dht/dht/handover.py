"""Hands records over to new nodes: a mesh that grows must not hide what was published before.

    a new node has proven its key, and is among the twenty closest to a key
      -> a record that we published ourselves: store, that record
      -> records we hold, if we are among the few closest: store, all that is under that key
    publishers announce again within a minute, and then find the new node by themselves

The new node has proven its address, so nothing is sent to an address that may be forged. Records
per new node and new nodes per second are bounded. The records count towards our quota there.
"""

import asyncio
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from privox_dht import limits
from privox_dht.dht import answer_codec, dht_limits
from privox_dht.dht.contact import Contact
from privox_dht.dht.met_nodes import ids_sharing
from privox_dht.dht.record_pages import MARK
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.errors import BadRecord
from privox_dht.identity import dht_id_of
from privox_dht.quotas import RateLimiter
from privox_dht.records import keys_of, parse

GATHER_TIME = 0.3  # seconds to wait for more new nodes, which are then compared with each other


class HandoverBatch(NamedTuple):
    """Records for a new node, to be stored under one key."""

    base: bytes  # the key in the records
    depth: int  # how often it has split
    deeper: bool  # whether that shard has split too
    wires: list[bytes]


class Neighbourhood(NamedTuple):
    """A node's contacts, and the keys that it may have to hand over."""

    others: list[int]  # ids of all contacts, in ascending order
    keys: list[bytes]  # under which it holds records, and to which it is among the closest


class Handover:
    """The hand-overs of one node."""

    __slots__ = ("_network", "_newcomers", "_rates", "_state")

    def __init__(self, network: RpcNetwork) -> None:
        self._network, self._state = network, network.state
        self._rates = RateLimiter(dht_limits.HANDOVER_RATE, dht_limits.HANDOVER_BURST)
        self._newcomers: list[tuple[RpcProtocol, Contact, bytes]] = []  # within GATHER_TIME

    def on_new_contact(self, protocol: RpcProtocol, newcomer: Contact, token: bytes) -> None:
        """A new node has proven its key to this socket, and gave us this token."""
        if not token or not (self._state.published or len(self._state.store)):
            return
        if self._rates.try_acquire(b"", protocol.loop.time()):
            self._newcomers.append((protocol, newcomer, token))
            if len(self._newcomers) == 1:
                self._network.spawn(self._hand_over_all())

    async def _hand_over_all(self) -> None:
        await asyncio.sleep(GATHER_TIME)
        newcomers, self._newcomers = self._newcomers, []
        neighbourhood = self._survey(len(newcomers))
        for protocol, newcomer, token in newcomers:
            if due := list(self._batches_for(newcomer, neighbourhood)):
                self._network.spawn(self._hand_over(protocol, newcomer, token, due))

    async def _hand_over(
        self, protocol: RpcProtocol, newcomer: Contact, token: bytes, due: list[HandoverBatch]
    ) -> None:
        for base, depth, deeper, wires in due:
            for batch in _datagrams(wires):
                stored = await protocol.request(
                    newcomer.address, "store", [base, depth, int(deeper), batch],
                    answer_codec.read_stored, node_id=newcomer.id, token=token,
                )  # fmt: skip
                if stored is None:
                    return

    def _survey(self, newcomers: int = 1) -> Neighbourhood:
        """The neighbourhood, once for all new nodes: each may be closer to a key than we are."""
        others = sorted(contact.long_id for contact in self._network.contacts())
        most = dht_limits.ALPHA + newcomers
        keys = self._state.store.keys()[: dht_limits.HANDOVER_KEYS]
        own_id = int.from_bytes(self._state.identity.dht_id, "big")
        return Neighbourhood(
            others,
            [k for k in keys if closer_than(own_id, others, _target(k), enough=most) < most],
        )

    def _batches_for(self, newcomer: Contact, around: Neighbourhood) -> Iterator[HandoverBatch]:
        """The records that a new node should hold."""
        now, long_id, others = self._state.clock(), newcomer.long_id, around.others
        for (key, _), (base, depth, deeper, record, sent_to) in list(self._state.published.items()):
            if record.expires <= now or newcomer.id in sent_to:
                continue  # it was often met by the very walk that stored the record there
            if self._should_hold(key, long_id, others, True):
                yield HandoverBatch(base, depth, deeper, [record.encoded])
        left = dht_limits.HANDOVER_RECORDS
        for key in around.keys:
            if left > 0 and self._should_hold(key, long_id, others):
                most = min(left, dht_limits.RECORDS_PER_KEY_SHARES[0])
                wires = self._state.store.sample(key, most, 1 << 20, now)
                left -= len(wires)
                if under := self._base_key_of(key, wires):
                    yield HandoverBatch(*under, self._state.store.is_split(key), wires)

    def _should_hold(self, key: bytes, new: int, others: list[int], ours: bool = False) -> bool:
        """Whether a new node should hold a key's records, and we are close enough to hand them
        over; our own records (`ours`) we always do."""
        target = _target(key)
        own_id = int.from_bytes(self._state.identity.dht_id, "big")
        few, most = dht_limits.ALPHA, dht_limits.BUCKET
        if not ours and closer_than(own_id, others, target, excluded=new, enough=few) >= few:
            return False
        return closer_than(new, others, target, enough=most) < most

    def _base_key_of(self, key: bytes, wires: list[bytes]) -> tuple[bytes, int] | None:
        """The key in the records under a shard, and how often it has split."""
        for one in wires[:1]:
            try:
                record = parse(one, self._state.clock(), self._state.mesh, trusted=True)
            except BadRecord:
                return None
            for depth in range(dht_limits.SHARD_DEPTH + 1):
                for base in keys_of(record):
                    if shard_of(base, dht_id_of(record.publisher), depth) == key:
                        return base, depth
        return None


def _target(key: bytes) -> int:
    return int.from_bytes(key, "big")


def closer_than(
    one: int, others: Sequence[int], target: int, *, excluded: int = -1, enough: float = math.inf
) -> int:
    """How many of `others` (ids in ascending order, without `excluded`) are closer to a target than
    `one` is. From `enough` on, some may not be counted."""
    distance = one ^ target
    bits = distance.bit_length() - 1  # that follow the common prefix and the first other bit
    if bits < 0:
        return 0
    sure = ids_sharing(others, target, bits)
    count = len(sure) - (excluded in sure)
    if count < enough:
        unsure = ids_sharing(others, one, bits)
        count += sum([other ^ target < distance for other in unsure if other != excluded])
    return count


def _datagrams(wires: Iterable[bytes]) -> list[list[bytes]]:
    """As many records side by side as a datagram has room for."""
    datagrams: list[list[bytes]] = []
    room = 0
    for wire in wires:
        size = len(wire) + MARK
        if size > room or len(datagrams[-1]) == dht_limits.MAX_RECORDS_IN_DATAGRAM:
            datagrams.append([])
            room = limits.MAX_DATAGRAM - 128  # bytes for a header, an id, a key and a token
        datagrams[-1].append(wire)
        room -= size
    return datagrams
