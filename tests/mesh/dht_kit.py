"""What DHT tests share: a mesh on loopback, signed records, a peer that says what a test wants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from kit import HOST

from nodes.codecs import Codecs
from nodes.producer import Producer
from privox_dht.addresses import normalize, pack_address
from privox_dht.dht import DhtNode, answer_codec, request_codec, wire
from privox_dht.directory.https_server import directory_pages
from privox_dht.errors import ConfigError
from privox_dht.identity import Identity
from privox_dht.records import Record, sign
from privox_dht.speech_api.speech_server import SpeechServer

PORT_ATTEMPTS = 8  # ports that TCP has free, until UDP has one of them free too
_sequence = int(time.time() * 1000)


def next_sequence() -> int:
    global _sequence
    _sequence += 1
    return _sequence


def record_of(identity: Identity, mesh: bytes, **more: Any) -> Record:
    """A signed record; `kind`, `engine` and all else may be said."""
    now = int(time.time())
    fields: dict[str, Any] = {
        "kind": "stt", "backend": "cpu", "engine": "echo", "slots": 2, "idle": 1, "mesh": mesh,
        "sequence": next_sequence(), "issued": now, "expires": now + 120, **more,
    }  # fmt: skip
    return sign(identity, Record(publisher=identity.public, **fields))


@asynccontextmanager
async def mesh_of(count: int, **options: Any) -> AsyncIterator[list[NamedNode]]:
    """Nodes that have joined one another; `node.identity` is whose they are."""
    async with AsyncExitStack() as stack:
        nodes: list[NamedNode] = []
        for _ in range(count):
            nodes.append(await stack.enter_async_context(node_of(**options)))
            if len(nodes) > 1:
                await nodes[-1].join([(HOST, nodes[0].port)])
        yield nodes


class NamedNode(DhtNode):
    """A node that says whose it is."""

    def __init__(self, identity: Identity, **options: Any) -> None:
        super().__init__(identity, **options)
        self.identity = identity


def node_of(*, identity: Identity | None = None, **options: Any) -> NamedNode:
    return NamedNode(identity or Identity.generate(), **{"host": HOST, **options})


@asynccontextmanager
async def open_node_of(**options: Any) -> AsyncIterator[NamedNode]:
    """A node at whose port somebody listens by TCP too. TCP chooses: the number that a UDP socket
    was given may be in use there."""
    async with AsyncExitStack() as stack:
        for attempt in range(PORT_ATTEMPTS):
            server = await asyncio.start_server(lambda r, w: w.close(), HOST, 0)
            port = server.sockets[0].getsockname()[1]
            try:
                node = await stack.enter_async_context(node_of(port=port, **options))
            except ConfigError:
                server.close()
                if attempt + 1 == PORT_ATTEMPTS:
                    raise
                continue
            await stack.enter_async_context(server)
            break
        yield node


@asynccontextmanager
async def page_of(node: DhtNode) -> AsyncIterator[SpeechServer]:
    """The speech server of a node that serves nothing but its directory page."""
    server = SpeechServer(
        Producer([], 1, Codecs(1)), host=HOST, tls=Identity.generate().server_context(),
        more=directory_pages(node.resolver),
    )  # fmt: skip
    async with server:
        yield server


class Stranger(asyncio.DatagramProtocol):
    """A socket that knows the protocol and answers as a test says."""

    def __init__(self, mesh: bytes, identity: Identity | None = None) -> None:
        self.mesh = mesh
        self.identity = identity or Identity.generate()
        self.answers: dict[str, Callable[[list[Any], Any], Any]] = {"ping": self.pong}
        self.heard: list[tuple[list[Any], Any]] = []  # requests that came
        self.arrived: asyncio.Queue[tuple[Any, int]] = asyncio.Queue()  # answers and their sizes
        self.bytes_in = 0
        self.flags = wire.FAMILY_4

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self.bytes_in += len(data)
        kind, message, packed = wire.unframe(self.mesh, data)
        body = wire.unpack(packed)
        if kind == wire.ANSWER:
            self.arrived.put_nowait((body, len(data)))
            return
        self.heard.append((body, addr))
        answer = self.answers.get(body[0])
        if answer is not None:
            said = answer(body[4], addr)
            if isinstance(said, bytes):
                self.transport.sendto(said.replace(b"MESSAGE!", message), addr)
            elif said is not None:
                self.transport.sendto(wire.frame(self.mesh, wire.ANSWER, message, said), addr)

    def pong(self, arguments: list[Any], addr: Any) -> dict[str, Any]:
        return {
            "k": self.identity.public,
            "s": self.identity.sign(answer_codec.proof(*arguments)),
            "o": pack_address(*normalize(addr)),
            "n": int(time.time() * 1000),
            "t": b"t" * 8,
        }

    def request(
        self, method: str, arguments: list[Any], *, token: bytes = b"", size: int = 0
    ) -> bytes:
        body = request_codec.request_body(
            method, self.identity.dht_id, self.flags, token, arguments, size
        )
        return wire.frame(self.mesh, wire.REQUEST, b"message!", body)

    async def ask(self, there: Any, method: str, arguments: list[Any], **more: Any) -> Any:
        """A proper request, and its answer."""
        self.send(there, self.request(method, arguments, **more))
        async with asyncio.timeout(3):
            return (await self.arrived.get())[0]

    async def token(self, there: Any) -> bytes:
        answer = await self.ask(there, "find", [bytes(20), 0, -1])
        return bytes(answer["t"])

    def send(self, there: Any, data: bytes) -> None:
        """Say this to a port of this machine."""
        self.transport.sendto(data, (HOST, there))


@asynccontextmanager
async def stranger(mesh: bytes, identity: Identity | None = None) -> AsyncIterator[Stranger]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: Stranger(mesh, identity), local_addr=(HOST, 0)
    )
    try:
        yield protocol
    finally:
        transport.close()
        await asyncio.sleep(0)
