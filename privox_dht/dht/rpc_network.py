"""The sockets of one node as one: a caller gives an address, and not a socket.

request -> by the socket of the address's family
        <- the answer as it was read, or None
ping    -> asks for a proof; a node that gives it becomes a contact
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, Unpack

from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.contact import Contact
from privox_dht.dht.k_bucket import BITS
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.pending_request import Timing
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.dht.wire import family_of

T = TypeVar("T")
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


class RpcNetwork:
    """Requests to other nodes, over the socket of the right address family."""

    __slots__ = ("protocols", "spawn", "state")

    def __init__(self, state: NodeState, spawn: Spawn) -> None:
        """`spawn` makes a task that ends with the node at the latest."""
        self.state, self.spawn = state, spawn
        self.protocols: dict[int, RpcProtocol] = {}  # our sockets, by family

    def __repr__(self) -> str:
        return f"<RpcNetwork {len(self.protocols)} sockets, {self.size} contacts>"

    def can_reach(self, address: Address) -> bool:
        """Whether we have a socket of the family that an address is of."""
        return family_of(address) in self.protocols

    def socket(self, address: Address) -> RpcProtocol:
        """The socket by which an address is spoken to.

        Raises:
            KeyError: we have none of its family.
        """
        return self.protocols[family_of(address)]

    def contacts(self) -> list[Contact]:
        """All contacts, of every family."""
        return [contact for one in self.protocols.values() for contact in one.router.contacts()]

    @property
    def size(self) -> int:
        """How many contacts there are."""
        return sum(len(protocol.router) for protocol in self.protocols.values())

    def mesh_size(self) -> float:
        """About how many nodes the mesh has."""
        return max(protocol.router.mesh_size() for protocol in self.protocols.values())

    def reach(self) -> int:
        """Distance from a key within which a node may be one of its closest, and have a reason to
        hold anything; more than the largest one where all may."""
        nodes = dht_limits.HOLDER_REACH * dht_limits.BUCKET
        return int((1 << BITS) * nodes / max(1.0, self.mesh_size()))

    async def request(
        self,
        address: Address,
        method: str,
        arguments: list[Any],
        read: Callable[[Any], T],
        *,
        token: bytes = b"",
        size: int = 0,
        **timing: Unpack[Timing],
    ) -> T | None:
        """What `read` makes of a node's answer; None if there was none, or none that can be read.
        See `RpcClientProtocol.send_request`."""
        return await self.socket(address).request(
            address, method, arguments, read, token=token, size=size, **timing
        )

    def ping(
        self, contact: Contact, done: Callable[[Contact | None], None] = lambda answered: None
    ) -> None:
        """Ask a contact for its proof again, which shows both sides that the other is there."""
        self.socket(contact.address).ping(contact.address, done, expected=contact.id)

    async def meet(self, address: Address, *, named: bool = False) -> Contact | None:
        """Ask the node at an address for its proof; None if it gives none.

        Args:
            named: the owner gave this address.
        """
        answer: asyncio.Future[Contact | None] = asyncio.get_running_loop().create_future()

        def done(contact: Contact | None) -> None:
            if not answer.done():
                answer.set_result(contact)

        self.socket(address).ping(address, done, named=named)
        return await answer

    async def hears_anybody(self, within: float) -> bool:
        """Whether any contact answers within so many seconds; True if there is no contact."""
        known = self.contacts()
        some = self.state.rng.sample(known, min(len(known), limits.OWN_NETWORK_ASKED))
        answered = asyncio.Event()
        for contact in some:
            self.ping(contact, lambda there: answered.set() if there else None)
        try:
            async with asyncio.timeout(within if some else 0):
                await answered.wait()
        except TimeoutError:
            return not some
        return True
