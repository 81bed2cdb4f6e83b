"""The two kinds of mesh: kademlia as it comes, and ours, behind the same five calls."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import random
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import kademlia.network
from kademlia.crawling import ValueSpiderCrawl
from kademlia.network import Server
from kademlia.utils import digest

from bench.sim.virtual import address_of
from privox_dht import limits, record_codec, records
from privox_dht.dht import DhtNode, dht_limits, rpc_protocol
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.identity import Identity, dht_id_of, peer_id_of
from privox_dht.records import Direct, Record, service_key, sign

PORT = 5678
DECODED = 20_000  # records: those said in the last seconds, by a hundred thousand producers
EPOCH = 1_800_000_000.0  # the wall clock at virtual second 0
VALUE = "stt/cpu of a producer, as long as an address and a load would be: 203.0.113.7:5678"


class Stock:
    """bmuller's kademlia, unmodified."""

    name = "stock"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    async def start(self, number: int, neighbours: list[str]) -> Server:
        server = Server(node_id=self._rng.randbytes(20))
        await server.listen(PORT, address_of(number))
        if neighbours:
            await server.bootstrap([(ip, PORT) for ip in neighbours])
        return server

    async def put(self, server: Server, name: str) -> bool:
        return bool(await server.set(name, VALUE))

    async def get(self, server: Server, name: str) -> bool:
        return bool(await server.get(name) == VALUE)

    def holds(self, server: Server, name: str) -> bool:
        return server.storage.get(digest(name)) is not None

    def contacts(self, server: Server) -> int:
        return sum(len(bucket) for bucket in server.protocol.router.buckets)

    async def stop(self, server: Server) -> None:
        server.stop()


class HastyStock(Stock):
    """Stock that gives an answer up after one second instead of five."""

    name = "stock-1s"

    async def start(self, number: int, neighbours: list[str]) -> Server:
        server = Server(node_id=self._rng.randbytes(20))
        await server.listen(PORT, address_of(number))
        server.protocol._wait_timeout = 1.0
        if neighbours:
            await server.bootstrap([(ip, PORT) for ip in neighbours])
        return server


class FindingStock(Stock):
    """Stock whose find returns what it found, and does not wait for a store of it somewhere else.
    It changes kademlia in all of this process."""

    name = "stock-find"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        kademlia.network.ValueSpiderCrawl = JustFinding


class JustFinding(ValueSpiderCrawl):  # type: ignore[misc]  # kademlia has no types
    async def _handle_found_values(self, values: list[Any]) -> Any:
        return Counter(values).most_common(1)[0][0]


class QuickIdentity(Identity):
    """Signs with a hash. In virtual time a signature takes none, and ten thousand nodes check two
    million of them: `quick_signatures` has every node believe these, and nothing else."""

    def __init__(self, seed: bytes) -> None:
        self.public = hashlib.blake2b(seed, digest_size=32).digest()
        self.peer_id = peer_id_of(self.public)
        self.dht_id = dht_id_of(self.public)

    def sign(self, message: bytes) -> bytes:
        return quick_signature(self.public, message)


def quick_signature(public: bytes, message: bytes) -> bytes:
    return hashlib.blake2b(message, digest_size=64, key=public).digest()


def quick_signatures() -> None:
    """From here on, in this process, signatures are hashes."""

    def verify(public: bytes, signature: bytes, message: bytes) -> bool:
        return signature == quick_signature(public, message)

    for module in (rpc_protocol, records):
        patch.object(module, "verify", verify).start()
    global make_identity
    make_identity = QuickIdentity


make_identity: Callable[[bytes], Identity] = Identity


def decode_once() -> None:
    """From here on, in this process, a record that comes to many nodes is decoded once: they share
    what was read, and its bytes."""
    patch.object(records, "decode", functools.lru_cache(DECODED)(record_codec.decode)).start()


def roomy_caches(nodes: int) -> None:
    """From here on, in this process, what a node keeps of addresses has room for all of them: it
    was measured for one node, and here thousands share it."""
    grown: dict[int, Any] = {}
    for name, module in list(sys.modules.items()):
        for word, value in list(vars(module).items()) if name.startswith("privox_dht.dht") else ():
            if isinstance(value, functools._lru_cache_wrapper):
                most = max(value.cache_parameters()["maxsize"], 4 * nodes)
                bigger = grown.get(id(value)) or functools.lru_cache(most)(value.__wrapped__)
                grown[id(value)] = grown[id(bigger)] = bigger
                setattr(module, word, bigger)


class SimNode(DhtNode):
    """Our node with its sockets in the air."""

    def __init__(self, identity: Identity, ip: str, rng: random.Random, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            identity, host=ip, port=PORT, clock=lambda: EPOCH + loop.time(), rng=rng, **options
        )
        self.identity = identity
        self.ip = ip

    async def _open(self, factory: Any, host: str, port: int) -> tuple[RpcProtocol, int]:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(factory, local_addr=(host, port))
        return protocol, int(transport.get_extra_info("sockname")[1])


class Ours:
    """This project's DHT."""

    name = "ours"

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._said: dict[str, Record] = {}

    def node(self, number: int, **options: Any) -> SimNode:
        seed = self._rng.randbytes(32)
        rng = random.Random(seed)
        return SimNode(make_identity(seed), address_of(number), rng, **options)

    async def start(self, number: int, neighbours: list[str]) -> SimNode:
        node = self.node(number)
        await node.__aenter__()
        if neighbours:
            await node.join([(ip, PORT) for ip in neighbours])
        return node

    async def put(self, node: SimNode, name: str) -> bool:
        record = self._said[name] = record_of(node, name)
        return await node.publish(record) > 0

    async def get(self, node: SimNode, name: str) -> bool:
        """Whether the very record that was said last is found."""
        found = await node.find(name, "cpu", fresh=True)
        return self._said.get(name) in found

    def holds(self, node: SimNode, name: str) -> bool:
        return node._state.store.count(service_key(node.mesh, name, "cpu")) > 0

    def contacts(self, node: SimNode) -> int:
        return node._network.size

    async def stop(self, node: SimNode) -> None:
        await node.__aexit__(None, None, None)


class OursAll(Ours):
    """Ours, with a publication that returns when all of the twenty hold it, and not ten of them.
    It changes that in all of this process."""

    name = "ours-all"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        dht_limits.QUORUM = 1


WORLDS = {world.name: world for world in (Stock, HastyStock, FindingStock, Ours, OursAll)}


def record_of(node: SimNode, kind: str, lifetime: int = 120, **more: Any) -> Record:
    """A signed record of a producer at this node."""
    now = EPOCH + asyncio.get_running_loop().time()
    fields: dict[str, Any] = {
        "engine": "echo", "routes": (Direct(node.ip, PORT),), "slots": 2, "idle": 1,
        "sequence": int(now * 1000), "issued": int(now), "expires": int(now) + lifetime, **more,
    }  # fmt: skip
    return sign(node.identity, Record(node.identity.public, node.mesh, kind, "cpu", **fields))


class Producer:
    """Somebody whom a node announces for."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    def record(self, node: SimNode, now: float, idle: int) -> Record:
        return sign(
            self.identity,
            Record(
                self.identity.public, node.mesh, "stt", "cpu", engine="echo",
                routes=(Direct(node.ip, PORT),), slots=1, idle=idle, sequence=int(now * 1000),
                issued=int(now), expires=int(now + limits.RECORD_LIFETIME),
            ),
        )  # fmt: skip


def make_producer(seed: bytes) -> Producer:
    return Producer(make_identity(seed))
