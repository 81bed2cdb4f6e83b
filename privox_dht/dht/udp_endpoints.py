"""The sockets of one node: one for each address family, and one more while newcomers are pinged.

open  -> every address of the host, all families on one port; another free one where it is in use
close -> pending requests end without an answer
"""

import functools
from collections.abc import Awaitable, Callable

from privox_dht.dht import udp_transport, wire
from privox_dht.dht.prober import Prober
from privox_dht.dht.rpc_handlers import RpcHandlers
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.errors import ConfigError

Factory = Callable[[], RpcProtocol]
Open = Callable[[Factory, str, int], Awaitable[tuple[RpcProtocol, int]]]


class UdpEndpoints:
    """Where one node can be spoken to."""

    __slots__ = ("_answers", "_network", "_open", "_probers", "_state", "port")

    def __init__(self, network: RpcNetwork, answers: RpcHandlers, opened: Open) -> None:
        self._network, self._state = network, network.state
        self._answers, self._open = answers, opened
        self._probers: dict[int, Prober] = {}  # by family
        self.port = 0  # ours, once we have one

    async def open(self, host: str | None, wanted_port: int) -> None:
        """Listen on a host, at this port or at any.

        Raises:
            ConfigError: it cannot be had.
        """
        for try_ in range(udp_transport.FREE_PORT_TRIES):
            try:
                for family, address in udp_transport.hosts_of(host).items():
                    await self._open_first(family, address, self.port or wanted_port)
                return
            except OSError as exc:
                self.close()
                for had in (self._network.protocols, self._probers, self._answers.tables):
                    had.clear()
                if wanted_port or try_ + 1 == udp_transport.FREE_PORT_TRIES:
                    where = f"{host or 'any'} UDP port {wanted_port}"
                    why = exc.strerror or exc
                    raise ConfigError(f"cannot listen on {where}: {why}") from exc
                self.port = 0

    async def _open_first(self, family: int, host: str, port: int) -> None:
        factory = functools.partial(RpcProtocol, self._state, answer=self._answers)
        try:
            protocol, self.port = await self._open(factory, host, port)
        except OSError:
            if family == wire.FAMILY_6 and self._network.protocols and not udp_transport.has_ipv6():
                return
            raise
        self._network.protocols[family] = protocol
        self._state.families |= family
        self._answers.tables.append(protocol.router)
        prober = Prober(family, host, self._open_second, self._network.spawn)
        protocol.on_new_peer = prober.meet
        self._probers[family] = prober

    async def second(self, family: int) -> RpcProtocol:
        """A socket at another port than ours, from which nothing was sent yet."""
        return await self._probers[family].socket()

    async def _open_second(self, family: int, host: str) -> RpcProtocol:
        """A socket that only asks, for the table of the first one."""
        router = self._network.protocols[family].router
        return (await self._open(functools.partial(RpcProtocol, self._state, router), host, 0))[0]

    def close_idle(self) -> None:
        """Close sockets that are not needed now, and release the memory that a burst took."""
        for prober in self._probers.values():
            prober.close_idle()
        for protocol in self._network.protocols.values():
            protocol.release_memory()

    def close(self) -> None:
        """Close every socket."""
        for protocol in self._network.protocols.values():
            protocol.close()
        for prober in self._probers.values():
            prober.close()
