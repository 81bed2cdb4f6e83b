"""Nodes on real UDP sockets, of two kinds behind the same calls: stock kademlia, and ours."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import umsgpack
from kademlia.network import Server
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol
from kademlia.utils import digest

from bench.sim.worlds import VALUE
from privox_dht import records as records_module
from privox_dht.addresses import pack_address
from privox_dht.dht import DhtNode, answer_codec, dht_limits, request_codec, rpc_protocol, wire
from privox_dht.dht.handover import Handover
from privox_dht.dht.write_tokens import WriteTokens
from privox_dht.identity import Identity, verify
from privox_dht.quotas import RateLimiter
from privox_dht.records import DOMAIN, Direct, Record, keys_of, sign

HOST = "127.0.0.1"
FIRST_PORT = 21_000  # stock does not tell which port it got
STORES = 50  # puts of one round, each of something new


class Stock:
    """Counts the requests of kademlia as it comes."""

    def __init__(self) -> None:
        self.rpcs = 0
        self._next = FIRST_PORT
        for name in ("call_find_node", "call_find_value", "call_store", "call_ping"):
            self._count(name)

    def _count(self, name: str) -> None:
        real = getattr(KademliaProtocol, name)

        async def counted(protocol: Any, *arguments: Any) -> Any:
            self.rpcs += 1
            return await real(protocol, *arguments)

        setattr(KademliaProtocol, name, counted)

    async def start(self, neighbours: list[Any]) -> Any:
        server = Server()
        self._next += 1
        server.at = self._next
        await server.listen(server.at, HOST)
        if neighbours:
            self.rpcs += len(neighbours)
            await server.bootstrap([(HOST, other.at) for other in neighbours])
        return server

    async def put(self, server: Any, name: str) -> bool:
        return bool(await server.set(name, VALUE))

    async def get(self, server: Any, name: str) -> bool:
        return bool(await server.get(name))

    async def rpc(self, node: Any, other: Any, target: bytes) -> bool:
        asked = Node(other.node.id, HOST, other.at)
        return bool((await node.protocol.call_find_node(asked, Node(target)))[0])

    def count(self, nodes: list[Any]) -> int:
        return self.rpcs

    def datagrams(self, nodes: list[Any]) -> int:
        return 2 * self.rpcs

    async def stores(self, node: Any, other: Any) -> tuple[float, float]:
        """Processor time of one store at the node that is asked, and of that a signature's."""
        protocol, there = node.protocol, (HOST, other.at)
        some = [
            b"\0" + number.to_bytes(20, "big")
            + umsgpack.packb(["store", [other.node.id, digest(number), VALUE]])
            for number in range(STORES)
        ]  # fmt: skip
        with deaf(protocol):
            busy = time.process_time()
            for datagram in some:
                protocol.datagram_received(datagram, there)
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
            busy = time.process_time() - busy
        return busy / STORES, 0.0

    async def stop(self, server: Any) -> None:
        server.stop()


class Ours:
    rpcs = 0  # each node counts its own

    async def start(self, neighbours: list[Any]) -> Any:
        node = DhtNode(Identity.generate(), host=HOST)
        node.who = node._state.identity  # type: ignore[attr-defined]
        await node.__aenter__()
        if neighbours:
            await node.join([(HOST, other.port) for other in neighbours])
        return node

    async def put(self, node: Any, name: str) -> bool:
        copies: int = await node.publish(self.record(node.who, node.mesh, name))
        return copies > 0

    def record(self, who: Identity, mesh: bytes, kind: str) -> Record:
        now = int(time.time())
        record = Record(
            who.public, mesh, kind, engine="echo", routes=(Direct("203.0.113.5", 5678),),
            slots=1, idle=1, sequence=now, issued=now, expires=now + 120,
        )  # fmt: skip
        return sign(who, record)

    async def get(self, node: Any, name: str) -> bool:
        return bool(await node.find(name, "cpu", fresh=True))

    async def rpc(self, node: Any, other: Any, target: bytes) -> bool:
        protocol = next(iter(node._network.protocols.values()))
        there = (HOST, other.port)
        found = await protocol.request(
            there, "find", [target, 0, -1], answer_codec.read_found, size=dht_limits.FIND_SIZE
        )
        return found is not None

    def count(self, nodes: list[Any]) -> int:
        return sum(node._state.counts["asked"] for node in nodes)

    def datagrams(self, nodes: list[Any]) -> int:
        return sum(node._state.counts["sent"] for node in nodes)

    async def stores(self, node: Any, other: Any) -> tuple[float, float]:
        state, protocol = node._state, next(iter(node._network.protocols.values()))
        some, records, loop = [], [], asyncio.get_running_loop()
        for number in range(STORES):
            there = (HOST, 1024 + number)
            token = state.tokens.give(pack_address(*there), loop.time())
            record = self.record(Identity.generate(), node.mesh, f"s{number}")
            arguments = [keys_of(record)[0], 0, 0, [record.encoded]]
            body = request_codec.request_body("store", bytes(20), wire.GUEST, token, arguments, 0)
            message = number.to_bytes(8, "big")
            some.append((wire.frame(node.mesh, wire.REQUEST, message, body), there))
            records.append(record)
        with deaf(protocol), believed():
            busy = time.process_time()
            for datagram, there in some:
                protocol.datagram_received(datagram, there)
            busy = time.process_time() - busy
        assert all(state.store.count(keys_of(record)[0]) for record in records)
        checked = time.process_time()
        for record in records:
            verify(record.publisher, record.encoded[:64], DOMAIN + record.encoded[64:])
        checked = time.process_time() - checked
        return busy / STORES, checked / STORES

    async def stop(self, node: Any) -> None:
        await node.__aexit__(None, None, None)


def sign_no_proof(self: Identity, message: bytes) -> bytes:
    return bytes(64) if message.startswith(answer_codec.PROOF_DOMAIN) else SIGN(self, message)


SIGN = Identity.sign
PROMISES: dict[str, list[tuple[Any, str, Any]]] = {  # what ours does that stock does not, by name
    "record-signatures": [(records_module, "verify", lambda *signed: True)],
    "contact-proofs": [
        (rpc_protocol, "verify", lambda *signed: True),
        (Identity, "sign", sign_no_proof),
    ],
    "handover": [(Handover, "met", lambda *met: None)],
    "rates": [(RateLimiter, "try_acquire", lambda *source: True)],
    "tokens": [
        (WriteTokens, "_token", lambda *of: bytes(wire.TOKEN)),
        (WriteTokens, "proves", lambda self, token, *of: bool(token)),
    ],
    "far-contacts": [(dht_limits, "FAR_BUCKET", 4)],
}


def break_promises(names: list[str]) -> None:
    """From here on, in this process, our nodes do without these: to see what each costs."""
    for name in names:
        for owner, attribute, instead in PROMISES[name]:
            setattr(owner, attribute, instead)


@contextlib.contextmanager
def deaf(protocol: Any) -> Iterator[None]:
    """Meanwhile its answers are made, and not sent."""
    real, protocol.transport = protocol.transport, Nowhere()
    try:
        yield
    finally:
        protocol.transport = real


@contextlib.contextmanager
def believed() -> Iterator[None]:
    """Meanwhile no signature of a record is checked."""
    with patch.object(records_module, "verify", lambda *signed: True):
        yield


class Nowhere:
    def sendto(self, data: bytes, address: Any) -> None:
        """Nothing."""
