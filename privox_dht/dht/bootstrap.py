"""The requests by which a node joins a mesh.

node      -> ping every neighbour and every contact of earlier runs, until one answers
neighbour <- key and signature: the first contacts
guest     -> find: a few of the nodes in the answer are left alone, to dial it back later
node      -> walk to its own id, then in the background to a random one: both fill its table, and
             make it known to others
"""

import asyncio
from typing import Any

from privox_dht.addresses import Address
from privox_dht.dht import answer_codec, dht_limits
from privox_dht.dht.compact_nodes import ID
from privox_dht.dht.contact import Contact
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.wire import family_of

JOIN_GRACE = 0.3  # seconds that the other neighbours have once one has answered


class Bootstrapper:
    """Joining requests of one node."""

    __slots__ = ("_network", "_state")

    def __init__(self, network: RpcNetwork) -> None:
        self._network, self._state = network, network.state

    async def ping_until_answer(self, addresses: list[Address], deadline: float) -> list[Contact]:
        """Ping all addresses until one has answered, then wait a moment for others."""
        loop = asyncio.get_running_loop()
        for address in addresses:
            self._state.families |= family_of(address) if self._network.can_reach(address) else 0
        answered: list[Contact] = []
        while not answered and loop.time() < deadline:
            began = loop.time()
            spawn, end = self._network.spawn, deadline
            pending: set[asyncio.Task[Any]] = {spawn(self._ping(a, answered)) for a in addresses}
            while pending and (left := end - loop.time()) > 0:
                first = asyncio.FIRST_COMPLETED
                _, pending = await asyncio.wait(pending, timeout=left, return_when=first)
                if answered:
                    waited = loop.time() - began
                    end = min(end, loop.time() + min(JOIN_GRACE, dht_limits.SOFT_LEAST + waited))
            if not answered:  # perhaps everything failed at once: there is no network just now
                await asyncio.sleep(min(dht_limits.SOFT_LEAST, max(0.0, deadline - loop.time())))
        return answered

    async def _ping(self, address: Address, answered: list[Contact]) -> None:
        if not self._network.can_reach(address):
            return
        contact = await self._network.meet(address, named=True)
        if contact is not None:
            answered.append(contact)

    async def reserve_dial_back_peers(self, answered: list[Contact]) -> None:
        """Leave a few nodes alone, so that they can dial us back as strangers."""
        neighbour = answered[0]
        found = await self._network.request(
            neighbour.address, "find", [self._state.identity.dht_id, 0, -1],
            answer_codec.read_found, size=dht_limits.FIND_SIZE,
        )  # fmt: skip
        if found is None:
            return
        strangers = [
            peer.address
            for peer in found.peers
            if not self._state.has_contacted(peer.address) and self._state.may_contact(peer.ip)
        ]
        self._state.dial_back_peers |= set(strangers[-dht_limits.RESERVED :])
        self._network.spawn(self._release())

    async def _release(self) -> None:
        """End the reservation after a while, whether we were dialled back or not."""
        await asyncio.sleep(dht_limits.RESERVED_FOR)
        self._state.dial_back_peers = frozenset()

    def announce(self) -> None:
        """Ping every contact, so that it sees our flags and address as they are now."""
        for contact in self._network.contacts():
            self._network.ping(contact)

    async def populate_table(self) -> None:
        """Walk to our own id; then, in the background, to a random one, which fills far buckets."""
        await self._walk(self._state.identity.dht_id)
        random_id = self._state.rng.randbytes(ID)
        self._network.spawn(self._walk(random_id, dht_limits.FAR_BUCKET))

    async def _walk(self, target: bytes, closest: int = dht_limits.BUCKET) -> None:
        await IterativeLookup(self._network, target, closest=closest).find()
