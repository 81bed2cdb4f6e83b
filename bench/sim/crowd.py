"""A service with more producers than one key takes, in virtual time.

Nodes are planted (`planting`), and each announces for several producers, as it does for those
whose network blocks UDP: first spread over one interval, then each at its own time in every one.
Then a client that nobody knows asks for 32, and then for everybody, while all go on announcing.
"""

import asyncio
import gc
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from bench.sim.planting import OurGarden
from bench.sim.virtual import Air, run
from bench.sim.worlds import EPOCH, PORT, Ours, SimNode, make_producer
from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.dht import dht_limits
from privox_dht.dht.request_codec import Request
from privox_dht.dht.rpc_handlers import RpcHandlers
from privox_dht.records import service_key

JOINED_THROUGH = 3  # nodes that a planted one joins through
CLIENT_UPLINK = 5000  # datagrams the client sends in a second: it reads 16 to 64 shards at a time


@dataclass
class Crowd:
    """What was seen."""

    producers: int
    nodes: int
    levels: dict[int, int]  # how many nodes placed a producer after so many splits
    puts_a_second: float = 0.0  # at the node that got most, over the last interval
    puts_a_second_mean: float = 0.0
    in_sample: int = 0  # producers under the key itself, at the median of its holders
    few_found: int = 0  # of 32 that a client wanted
    few_idle: int = 0  # of them idle
    few_requests: int = 0
    few_seconds: float = 0.0
    all_found: int = 0
    all_requests: int = 0
    all_seconds: float = 0.0
    choked: int = 0  # datagrams that machines had no room to send

    def row(self) -> dict[str, Any]:
        return {name: round(v, 3) if type(v) is float else v for name, v in vars(self).items()}


class Announcing:
    """All that nodes say for their producers."""

    def __init__(self, world: Ours, nodes: list[SimNode], producers: int, seed: int) -> None:
        self.rng = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.nodes, self.count = nodes, producers
        self.who = [make_producer(self.rng.randbytes(32)) for _ in range(producers)]
        self.said: set[bytes] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.ended = False

    def begin(self) -> None:
        for number in range(self.count):
            self.loop.call_later(
                self.rng.uniform(0.0, limits.ANNOUNCE_EVERY), self._announce, number
            )

    def _announce(self, number: int) -> None:
        if self.ended:
            return
        task = self.loop.create_task(self._say(number))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        jitter = self.rng.uniform(-1.0, 1.0) * limits.ANNOUNCE_JITTER
        self.loop.call_later(limits.ANNOUNCE_EVERY + jitter, self._announce, number)

    async def _say(self, number: int) -> None:
        node, identity = self.nodes[number % len(self.nodes)], self.who[number]
        idle = number % 2  # every other one is busy
        record = identity.record(node, EPOCH + self.loop.time(), idle)
        if await node.publish(record):
            self.said.add(record.publisher)


def crowd(nodes: int, producers: int, seed: int = 8, note: Any = lambda what: None) -> Crowd:
    """All of it, from a seed."""

    async def main() -> Crowd:
        rng, world = random.Random(seed), Ours(seed)
        beds = OurGarden(world, air)
        every: list[SimNode] = []
        for number in range(nodes):
            some = rng.sample(every, min(JOINED_THROUGH, number))
            every.append(await beds.plant(number, some))
        gc.freeze()  # tables that stay as long as this does
        note(f"{nodes} nodes planted")
        announcing = Announcing(world, every, producers, seed)
        announcing.begin()
        seen = Crowd(producers, nodes, {})
        for interval in range(3):
            before = Counter(puts)
            await asyncio.sleep(limits.ANNOUNCE_EVERY)
            lately = puts - before
            said, came = len(announcing.said), sum(lately.values())
            seen.puts_a_second = max(lately.values()) / limits.ANNOUNCE_EVERY
            most = f"at most {seen.puts_a_second:.1f} a second at one node"
            note(f"interval {interval}: {said} announced, {came} puts, {most}")
        seen.puts_a_second_mean = sum(lately.values()) / limits.ANNOUNCE_EVERY / nodes
        key = service_key(every[0].mesh, "stt", "cpu")
        target = int.from_bytes(key, "big")
        near = sorted(every, key=lambda node: int.from_bytes(node.identity.dht_id, "big") ^ target)
        held = sorted(node._state.store.count(key) for node in near[: dht_limits.BUCKET])
        seen.in_sample = held[len(held) // 2]
        depths = Counter(node._publisher._levels.get(key, 0) for node in every)
        seen.levels = dict(sorted(depths.items()))
        await look(world, every, rng, seen)
        announcing.ended = True
        for task in list(announcing.tasks):
            task.cancel()
        for node in every:
            await node.__aexit__(None, None, None)
        return seen

    async def look(world: Ours, every: list[SimNode], rng: random.Random, seen: Crowd) -> None:
        loop = asyncio.get_running_loop()
        async with world.node(nodes + 1, guest=True) as client:
            air.uplinks[client.ip] = CLIENT_UPLINK
            await client.join([(rng.choice(every).ip, PORT)])
            began = loop.time()
            found = await client.find("stt", "cpu", want=limits.FIND_WANT)
            seen.few_seconds, seen.few_requests = loop.time() - began, client._lookups.last_requests
            seen.few_found, seen.few_idle = len(found), sum(record.idle > 0 for record in found)
            note(f"a client found {seen.few_found}, {seen.few_idle} of them idle")
            began = loop.time()
            found = await client.find("stt", "cpu", want=2 * producers, fresh=True)
            seen.all_seconds, seen.all_requests = loop.time() - began, client._lookups.last_requests
            seen.all_found = len({record.publisher for record in found})
            seen.choked = air.choked

    puts: Counter[Any] = Counter()
    real = RpcHandlers._store

    def counted(
        self: RpcHandlers, request: Request, address: Address, proven: bool
    ) -> dict[str, Any] | None:
        puts[self._state.identity.dht_id] += 1
        return real(self, request, address, proven)

    air = Air(seed)
    with patch.object(RpcHandlers, "_store", counted):
        return run(air, main)
