"""What tests of private meshes share: nodes with a secret, a wiretap, and strangers who listen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kit import HOST, until
from node_kit import node_at

from nodes.node import Node
from privox_dht.dht.udp_transport import UdpTransport
from privox_dht.membership.members import Membership
from privox_dht.membership.secret_file import read_secret

NAME = "friends"
DEAF = 0.5  # seconds in which whoever wants to answer a stranger would have done so
LENDS = ("stt/cpu/echo", "tts/cpu/echo")


def secret_in(folder: Path, name: str = "friends.secret") -> Path:
    """A secret of its own for each file name."""
    path = folder / name
    path.write_text(f"the secret of this test: {name}")
    path.chmod(0o600)
    return path


def member_of(path: Path, network: str = NAME, **more: Any) -> Membership:
    return Membership(read_secret(path), network, **more)


@contextlib.asynccontextmanager
async def node(
    folder: Path, *services: str, neighbour: Node | None = None, **config: Any
) -> AsyncIterator[Node]:
    """A node on loopback, joined and with its records out, by way of a farm if it must be."""
    port = neighbour.dht.port if neighbour else None
    async with node_at(folder, *services, neighbour=port, **config) as running:
        if neighbour:
            await until(running.reachability.joined.is_set)
        if services:
            await until(lambda: len(running._published) == len({s[:3] for s in services}), 15)
        yield running


@contextlib.contextmanager
def wiretap() -> Any:
    """Every datagram that anybody in this process sends while this is open, with its target."""
    heard: list[tuple[bytes, tuple[str, int]]] = []
    really = UdpTransport.sendto

    def sendto(self: UdpTransport, data: Any, addr: Any = None) -> None:
        heard.append((bytes(data), addr))
        really(self, data, addr)

    UdpTransport.sendto = sendto  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        UdpTransport.sendto = really  # type: ignore[method-assign]


class Recorder:
    """Somebody in between by TCP: passes on both ways, and keeps what callers said."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.said: list[bytes] = []  # by each caller, in full
        self.answered: list[bytes] = []  # to each of them

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.start_server(self._pass_on, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()

    async def _pass_on(self, caller: Any, to_caller: asyncio.StreamWriter) -> None:
        callee, to_callee = await asyncio.open_connection(HOST, self.to)
        number = len(self.said)
        self.said.append(b"")
        self.answered.append(b"")
        await asyncio.gather(
            self._copy(caller, to_callee, self.said, number),
            self._copy(callee, to_caller, self.answered, number),
        )

    @staticmethod
    async def _copy(
        read: asyncio.StreamReader, write: asyncio.StreamWriter, kept: list[bytes], number: int
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await read.read(65536):
                kept[number] += data
                write.write(data)
                await write.drain()
        write.close()


async def hear_tcp(port: int, *said: bytes, seconds: float = DEAF) -> bytes:
    """All that a stranger hears who connects and says this; he waits until he is cut off, or for
    some seconds."""
    read, write = await asyncio.open_connection(HOST, port)
    heard = b""
    try:
        async with asyncio.timeout(seconds):
            for some in said:
                write.write(some)
                await write.drain()
            while data := await read.read(65536):
                heard += data
    except (TimeoutError, ConnectionError):
        pass
    finally:
        write.close()
        with contextlib.suppress(OSError):
            await write.wait_closed()
    return heard


async def hear_udp(*said: tuple[bytes, tuple[str, int]], seconds: float = DEAF) -> list[bytes]:
    """All datagrams that a stranger hears who sends these."""
    loop, heard = asyncio.get_running_loop(), list[bytes]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        sock.bind((HOST, 0))
        for number, (data, to) in enumerate(said):
            sock.sendto(data, to)
            if number % 50 == 49:
                await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    heard.append(await loop.sock_recv(sock, 65536))
    return heard
