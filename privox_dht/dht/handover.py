"""Records for newcomers: a mesh that grows must not hide what was said while it was small.

    a node was proven, and stands among the closest twenty to a key
      -> of a record that we said ourselves: put, that record
      -> of records we hold, if we stand among the closest few: put, all that is under that key
    whoever said them says it again within a minute, and then finds the newcomer by itself

The newcomer has proven its address, so nothing is sent where nobody asked; how much is bounded per
newcomer, and how many newcomers in a second. What it is given counts towards our address there.
"""

import asyncio
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from privox_dht import limits
from privox_dht.dht import answer_codec, dht_limits
from privox_dht.dht.contact import Contact
from privox_dht.dht.met_nodes import ids_sharing
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.errors import BadRecord
from privox_dht.identity import dht_id_of
from privox_dht.quotas import RateLimiter
from privox_dht.records import keys_of, parse

GATHER_TIME = 0.3  # seconds that others who come at the same time have to become known


class HandoverBatch(NamedTuple):
    """Records for a newcomer, to be put under one key."""

    base: bytes  # the key that they name
    depth: int  # how often it has split
    deeper: bool  # whether that shard has split too
    wires: list[bytes]


class Neighbourhood(NamedTuple):
    """Where those stand whom a node knows, and which keys it may have to hand over."""

    others: list[int]  # ids of all contacts, in ascending order
    keys: list[bytes]  # of those under which it holds records, the ones it stands close to


class Handover:
    """What one node gives to those who come."""

    __slots__ = ("_network", "_newcomers", "_rates", "_state")

    def __init__(self, network: RpcNetwork) -> None:
        self._network, self._state = network, network.state
        self._rates = RateLimiter(dht_limits.HANDOVER_RATE, dht_limits.HANDOVER_BURST)
        self._newcomers: list[tuple[RpcProtocol, Contact, bytes]] = []  # within GATHER_TIME

    def on_new_contact(self, protocol: RpcProtocol, newcomer: Contact, token: bytes) -> None:
        """A node that we did not know was proven by this socket, and gave us this token."""
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
            for some in _datagrams(wires):
                stored = await protocol.request(
                    newcomer.address,
                    "store",
                    [base, depth, int(deeper), some],
                    answer_codec.read_stored,
                    node_id=newcomer.id,
                    token=token,
                )
                if stored is None:
                    return

    def _survey(self, newcomers: int = 1) -> Neighbourhood:
        """Once for all who came together: of whom each may stand closer to a key than we do."""
        others = sorted(contact.long_id for contact in self._network.contacts())
        most = dht_limits.ALPHA + newcomers
        keys = self._state.store.keys()[: dht_limits.HANDOVER_KEYS]
        own_id = int.from_bytes(self._state.identity.dht_id, "big")
        return Neighbourhood(
            others,
            [k for k in keys if closer_than(own_id, others, _target(k), enough=most) < most],
        )

    def _batches_for(self, newcomer: Contact, neighbourhood: Neighbourhood) -> Iterator[HandoverBatch]:
        """What a newcomer should hold."""
        now, long_id, others = self._state.clock(), newcomer.long_id, neighbourhood.others
        for (key, _), (base, depth, deeper, record, sent_to) in list(self._state.published.items()):
            if record.expires <= now or newcomer.id in sent_to:
                continue  # whoever stands near is often met by the walk that brings him the record
            if self._should_hold(key, long_id, others, True):
                yield HandoverBatch(base, depth, deeper, [record.encoded])
        left = dht_limits.HANDOVER_RECORDS
        for key in neighbourhood.keys:
            if left > 0 and self._should_hold(key, long_id, others):
                most = min(left, dht_limits.RECORDS_PER_KEY_SHARES[0])
                wires = self._state.store.sample(key, most, 1 << 20, now)
                left -= len(wires)
                if under := self._base_key_of(key, wires):
                    yield HandoverBatch(*under, self._state.store.is_split(key), wires)

    def _should_hold(self, key: bytes, newcomer: int, others: list[int], ours: bool = False) -> bool:
        """Whether a newcomer stands among those who hold a key, and we close enough to be the one
        who gives it, unless what we have to give is `ours`."""
        target = _target(key)
        own_id = int.from_bytes(self._state.identity.dht_id, "big")
        few, most = dht_limits.ALPHA, dht_limits.BUCKET
        if not ours and closer_than(own_id, others, target, excluded=newcomer, enough=few) >= few:
            return False
        return closer_than(newcomer, others, target, enough=most) < most

    def _base_key_of(self, key: bytes, wires: list[bytes]) -> tuple[bytes, int] | None:
        """The key that the records under a shard name, and how often that has split."""
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
    """How many of `others` (ids in ascending order), without `excluded`, are closer to a target than
    `one` is; where they are `enough`, perhaps not all of them are counted."""
    distance = one ^ target
    bits = distance.bit_length() - 1  # after those that the two have in common, and the next
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
    room = limits.MAX_DATAGRAM - 128  # neighbourhood them: a header, an id, a key, a token
    some: list[list[bytes]] = [[]]
    size = 0
    for one in wires:
        if some[-1] and (
            len(some[-1]) == dht_limits.MAX_RECORDS_IN_DATAGRAM or size + len(one) + 3 > room
        ):
            some.append([])
            size = 0
        some[-1].append(one)
        size += len(one) + 3
    return [one for one in some if one]
