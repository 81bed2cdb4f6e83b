"""Our DHT beside bmuller's kademlia on real UDP sockets of this machine: what it costs.

    python bench/dht_udp.py                  300 nodes of each, each kind in a process of its own
    python bench/dht_udp.py --json           one JSON object a line

All nodes run in one process on loopback, so the processor time of both ends is counted.
`cpu_us_per_rpc` is the processor time of the whole run (joining, a pause, publications, look-ups)
over all its requests; with `put_` and `get_` before it, that of the cheapest of five rounds of
publications, or of look-ups of one record, among nodes that know one another; `rpc_cpu_us` that of
one request for contacts, again and again. `same_work` is the processor time, in seconds, of the
same work: as many nodes join, rest, publish and find as much; however many requests that takes.
`store_us` is what one put costs the node that is asked, from datagram to datagram: ours without
checking the signature, which a new record needs once (`verify_us`); `rest_datagrams` those sent in
a second by a node at rest. `kb_per_node` is
resident memory after joining and a pause, less that of the same process after a mesh of ten was
built and taken down: what is loaded once, on first use, is no node's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import umsgpack

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from kademlia.network import Server
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol
from kademlia.utils import digest

from bench.sim.worlds import VALUE
from privox_dht import limits
from privox_dht import records as records_module
from privox_dht.addresses import pack_address
from privox_dht.dht import DhtNode, answer_codec, request_codec, wire
from privox_dht.identity import Identity, verify
from privox_dht.records import DOMAIN, Direct, Record, keys_of, sign

HOST = "127.0.0.1"
FIRST_PORT = 21_000  # stock does not tell which port it got
PAUSE = 20.0  # seconds after joining: what was begun has ended, and a round of upkeep has passed
GETS, ROUNDS = 300, 5
WARM = 10  # nodes built and taken down before anything is measured
RPCS = 1_000
STORES, STORE_ROUNDS = 50, 20  # puts of one round, each of something new: the best round counts


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
            there, "find", [target, 0, -1], answer_codec.read_found, size=limits.FIND_SIZE
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
            some.append((wire.seal(node.mesh, wire.REQUEST, message, body), there))
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


def resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def measure(world: Any, count: int) -> dict[str, Any]:
    rng = random.Random(11)
    random.seed(11)
    for node in await mesh(world, WARM, rng):
        await world.stop(node)
    await asyncio.sleep(0.1)
    before, began, busy, asked = resident(), time.perf_counter(), time.process_time(), world.rpcs
    nodes, parts = await mesh(world, count, rng), [busy]
    boot = time.perf_counter() - began
    parts.append(time.process_time())
    await asyncio.sleep(0.5)  # joins have their end
    said = world.datagrams(nodes)
    await asyncio.sleep(PAUSE)
    said = world.datagrams(nodes) - said
    parts.append(time.process_time())
    memory = (resident() - before) / count / 1024
    puts = await series(world, nodes, rng, world.put)
    parts.append(time.process_time())
    gets = await series(world, nodes, rng, world.get)
    parts.append(time.process_time())
    join, rest, put, get = (round(end - start, 2) for start, end in pairwise(parts))
    busy, asked = time.process_time() - busy, world.count(nodes) - asked
    rpc = await bare(world, nodes, rng)
    store, checked = map(
        min,
        zip(*[await world.stores(*rng.sample(nodes, 2)) for _ in range(STORE_ROUNDS)], strict=True),
    )
    for node in nodes:
        await world.stop(node)
    await asyncio.sleep(0.1)
    return {
        "nodes": count,
        "same_work": round(busy, 2),
        **{"of_it_join": join, "of_it_rest": rest, "of_it_put": put, "of_it_get": get},
        "rest_datagrams": round(said / PAUSE / count, 3),
        "store_us": round(store * 1e6, 1),
        "verify_us": round(checked * 1e6, 1),
        "boot_s": round(boot, 2),
        "kb_per_node": round(memory, 1),
        "rpcs": asked,
        "cpu_us_per_rpc": round(busy / asked * 1e6, 1),
        "rpc_cpu_us": rpc,
        **{f"put_{name}": value for name, value in puts.items()},
        **{f"get_{name}": value for name, value in gets.items()},
    }


async def mesh(world: Any, count: int, rng: random.Random) -> list[Any]:
    nodes: list[Any] = []
    for number in range(count):
        nodes.append(await world.start(rng.sample(nodes, min(3, number))))
    return nodes


async def bare(world: Any, nodes: list[Any], rng: random.Random) -> float:
    """Processor time of one request for contacts and its answer, both ends, in microseconds: the
    best of three, since others use this machine too."""
    best = float("inf")
    for _ in range(3):
        pairs = [(*rng.sample(nodes, 2), rng.randbytes(20)) for _ in range(RPCS)]
        busy = time.process_time()
        for pair in pairs:
            await world.rpc(*pair)
        best = min(best, time.process_time() - busy)
    return round(best / RPCS * 1e6, 1)


async def series(world: Any, nodes: list[Any], rng: random.Random, call: Any) -> dict[str, Any]:
    """Many calls one after the other: what each took, in time, processor and requests. The
    processor time is that of the best round, since others use this machine too."""
    times, came, first, cheapest = [], 0, world.count(nodes), float("inf")
    for round_ in range(ROUNDS):
        requests, busy = world.count(nodes), time.process_time()
        for number in range(round_, GETS, ROUNDS):
            began = time.perf_counter()
            came += await call(rng.choice(nodes), f"k{number}")
            times.append(time.perf_counter() - began)
        await asyncio.sleep(0.2)
        busy, requests = time.process_time() - busy, world.count(nodes) - requests
        cheapest = min(cheapest, busy / max(1, requests))
    requests = world.count(nodes) - first
    times.sort()
    return {
        "ok": round(came / GETS, 3),
        "p50_ms": round(times[len(times) // 2] * 1e3, 2),
        "p95_ms": round(times[int(len(times) * 0.95)] * 1e3, 2),
        "rpcs": round(requests / GETS, 1),
        "cpu_us_per_rpc": round(cheapest * 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--world", choices=["stock", "ours"], help="only this one, in this process")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if options.world:
        world = Stock() if options.world == "stock" else Ours()
        print(json.dumps({"world": options.world, **asyncio.run(measure(world, options.nodes))}))
        return
    rows = []
    for name in ("stock", "ours"):
        command = [sys.executable, __file__, "--world", name, "--nodes", str(options.nodes)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    stock, ours = rows
    numbers = (
        "same_work",
        "store_us",
        "kb_per_node",
        "cpu_us_per_rpc",
        "rpc_cpu_us",
        "get_cpu_us_per_rpc",
        "put_cpu_us_per_rpc",
        "get_p50_ms",
        "put_p50_ms",
    )
    ratios = {name: round(ours[name] / stock[name], 3) for name in numbers if stock[name]}
    if options.json:
        print("\n".join(json.dumps(row) for row in (*rows, {"ratio": ratios})))
        return
    print(f"{'':20} {'stock':>10} {'ours':>10} {'ratio':>8}")
    for name in stock:
        if name != "world":
            print(f"{name:20} {stock[name]:>10} {ours[name]:>10} {ratios.get(name, ''):>8}")


if __name__ == "__main__":
    main()
