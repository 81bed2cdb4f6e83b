"""The socket that new nodes are pinged from: not the one that they sent to.

    new node -> node      any request with a token, from a port its NAT may just have opened to us
    prober   -> new node  ping, from a port that the new node never sent to
    new node -> prober    its proof: only now is it known to be reachable

It is opened for a new node and closed once no request is pending, so that an idle node has one
socket for each family.
"""

import asyncio
from collections.abc import Awaitable, Callable

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.rpc_network import Spawn
from privox_dht.dht.rpc_protocol import RpcProtocol

Open = Callable[[int, str], Awaitable[RpcProtocol]]


class Prober:
    """The second socket of one family."""

    __slots__ = ("_family", "_host", "_newcomers", "_open", "_opening", "_socket", "_spawn")

    def __init__(self, family: int, host: str, opened: Open, spawn: Spawn) -> None:
        self._family, self._host, self._open, self._spawn = family, host, opened, spawn
        self._socket: RpcProtocol | None = None
        self._opening: asyncio.Task[None] | None = None
        self._newcomers: list[tuple[bytes, Address]] = []

    def meet(self, node_id: bytes, address: Address) -> None:
        """Ask a new node for its proof."""
        if self._socket is not None:
            self._socket.verify_peer(node_id, address)
        elif len(self._newcomers) < dht_limits.INTRODUCTIONS:
            self._newcomers.append((node_id, address))
            if self._opening is None:
                self._opening = self._spawn(self._start())

    async def _start(self) -> None:
        try:
            self._socket = await self._open(self._family, self._host)
            for node_id, address in self._newcomers:
                self._socket.verify_peer(node_id, address)
        finally:
            self._opening = None
            self._newcomers.clear()

    async def socket(self) -> RpcProtocol:
        """The socket, opened if it is not."""
        while self._socket is None:  # it may have been closed before we are told
            if self._opening is None:
                self._opening = self._spawn(self._start())
            await asyncio.shield(self._opening)
        return self._socket

    def close_idle(self) -> None:
        """Close the socket if no request is pending."""
        if self._socket is not None and not self._socket.busy:
            self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
