"""A public mesh on this machine: real sockets, and global addresses of anybody's choosing.

Each global address (IPv4 or IPv6) is one of 127.0.0.0/8; a border at every socket translates, both
ways. A node sees nothing of that: to it the mesh is public, each host in the network that its
address says. What is sent to an address where nobody listens is counted and goes nowhere.

    node      a `DhtNode` with these addresses
    stranger  a socket that says what a test wants, from any address, a victim's included
    tcp       addresses whose every port takes a connection and is silent

Clients of the speech API dial global addresses too (`Dialled`).
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from dht_kit import NamedNode, Stranger, record_of

from privox_dht.addresses import is_loopback
from privox_dht.dht import DhtNode, udp_transport, wire
from privox_dht.http import pinned_tls
from privox_dht.identity import Identity
from privox_dht.records import Record

ANY = {"0.0.0.0": wire.FAMILY_4, "::": wire.FAMILY_6}


class Border:
    """Between one socket and its protocol: addresses of this machine become global ones."""

    def __init__(self, internet: Internet, inner: Any) -> None:
        self.internet, self.inner = internet, inner

    def connection_made(self, transport: Any) -> None:
        self.inner.connection_made(Outside(self.internet, transport))

    def connection_lost(self, exc: Exception | None) -> None:
        self.inner.connection_lost(exc)

    def error_received(self, exc: Exception) -> None:
        self.inner.error_received(exc)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        host = self.internet.name_of(address[0])
        self.inner.datagram_received(data, (host, address[1]))


class Outside(asyncio.DatagramTransport):
    """The way out, which counts the bytes each address is sent."""

    def __init__(self, internet: Internet, transport: Any) -> None:
        super().__init__()
        self._internet, self._inside, self.bytes_out = internet, transport, 0

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.bytes_out += len(data)
        self._internet.bytes_to[addr[0]] += len(data)
        self._internet.datagrams_to[addr[0]] += 1
        there = self._internet.hosts.get(addr[0])
        if there is not None and not self._inside.is_closing():
            self._inside.sendto(data, (there, addr[1]))

    def close(self) -> None:
        self._inside.close()

    def is_closing(self) -> bool:
        return bool(self._inside.is_closing())


class PublicNode(NamedNode):
    """A node at global addresses: one, or one of each family."""

    def __init__(self, internet: Internet, *ips: str, **options: Any) -> None:
        identity = options.pop("identity", None) or Identity.generate()
        super().__init__(identity, host=ips[0] if len(ips) == 1 else None, **options)
        self.internet, self.ips = internet, ips

    async def _open(self, factory: Any, host: str, port: int) -> tuple[Any, int]:
        family = ANY.get(host, wire.family_of((host, 0)))
        ip = next(ip for ip in self.ips if wire.family_of((ip, 0)) == family)
        inside = self.internet.host(ip)
        border, port = udp_transport.open_udp(
            lambda: Border(self.internet, factory()), inside, port
        )
        return border.inner, port

    @property
    def address(self) -> tuple[str, int]:
        return self.ips[0], self.port


class Passerby(Stranger):
    """A stranger at a global address: what it is told to send to is an address, too."""

    ip: str

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    @property
    def bytes_out(self) -> int:
        """What it has sent."""
        return int(self.transport.bytes_out)

    def send(self, there: Any, data: bytes) -> None:
        self.transport.sendto(data, there)


class Dialled(socket.socket):
    """A connection to a global address, or to one of this machine."""

    internet: Internet

    def connect(self, address: Any) -> None:
        ip, port = address[:2]
        if not is_loopback(ip):
            ip, port = self.internet.hosts[ip], self.internet.silent.get(ip, port)
        super().connect((ip, port))


class Internet:
    """Who is where, and what was sent there."""

    def __init__(self) -> None:
        if sys.platform != "linux":
            pytest.skip("only Linux listens on all of 127.0.0.0/8")
        self.hosts: dict[str, str] = {}  # global address: the one it has on this machine
        self.names: dict[str, str] = {}
        self.bytes_to: Counter[str] = Counter()
        self.datagrams_to: Counter[str] = Counter()
        self.silent: dict[str, int] = {}  # address whose ports are silent: where that is
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Internet:
        def dialled(*how: Any) -> Dialled:
            sock = Dialled(*how)
            sock.internet = self
            return sock

        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(pinned_tls, "socket", SimpleNamespace(**{**vars(socket), "socket": dialled}))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.aclose()

    def host(self, ip: str) -> str:
        """The address on this machine that stands for a global one."""
        if ip not in self.hosts:
            number = len(self.hosts) + 1
            self.hosts[ip] = f"127.80.{number >> 8}.{number & 255}"
            self.names[self.hosts[ip]] = ip
        return self.hosts[ip]

    @asynccontextmanager
    async def tcp(self, *ips: str) -> AsyncIterator[None]:
        """At these addresses a connection to any port is taken, and nothing is said."""
        taken: list[asyncio.StreamWriter] = []

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            taken.append(writer)

        async with AsyncExitStack() as stack:
            for ip in ips:
                server = await asyncio.start_server(take, self.host(ip), 0)
                await stack.enter_async_context(server)
                self.silent[ip] = server.sockets[0].getsockname()[1]
            yield
            for writer in taken:
                writer.transport.abort()

    def name_of(self, inside: str) -> str:
        return self.names[inside]

    async def node(self, *ips: str, neighbour: Any = None, **options: Any) -> PublicNode:
        """A node that listens there, and has joined."""
        node = PublicNode(self, *ips, **options)
        await self._stack.enter_async_context(node)
        if neighbour is not None:
            await node.join([neighbour])
        return node

    async def mesh(self, count: int, first: int = 20) -> list[PublicNode]:
        """Nodes that have joined one another, each in a /24 of its own."""
        nodes: list[PublicNode] = []
        for number in range(count):
            there = nodes[0].address if nodes else None
            nodes.append(await self.node(f"{first}.0.{number}.7", neighbour=there))
        if nodes:
            await nodes[0].join([nodes[-1].address])  # told of a global one, it knows it is public
        return nodes

    async def stranger(
        self, mesh: bytes, ip: str, identity: Identity | None = None, port: int = 0
    ) -> Passerby:
        """A socket at an address; others may be there too."""
        border, got = udp_transport.open_udp(
            lambda: Border(self, Passerby(mesh, identity)), self.host(ip), port
        )
        passerby: Passerby = border.inner
        passerby.ip, passerby.port = ip, got
        passerby.flags = wire.family_of((ip, 0))
        self._stack.callback(passerby.transport.close)
        return passerby


@asynccontextmanager
async def internet() -> AsyncIterator[Internet]:
    async with Internet() as some:
        yield some


async def announce(node: DhtNode, identity: Identity, **more: Any) -> Record:
    """A producer's word, said by a node on its behalf."""
    record = record_of(identity, node.mesh, **more)
    await node.publish(record)
    return record
