"""A mesh whose nodes come and go: how many of the living producers does a newcomer find?

    python bench/dht_churn.py                          1,000 nodes, 200 producers, one virtual hour
    python bench/dht_churn.py --hours 24               the whole day (some hours of one processor)

The median node lives for an hour and goes without a word; another takes its place at once. Every
producer announces every 45 +- 5 s. Each virtual minute a client that nobody has seen before joins
through three living nodes and asks for all producers of the one service there is.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.sim.virtual import Air, address_of, run
from bench.sim.worlds import PORT, Ours, SimNode, quick_signatures, record_of
from privox_dht import limits

KIND = "stt"
NEIGHBOURS = 3  # nodes anybody joins through
HOUR = 60  # looks after which it is told how far it is


@dataclass
class Seen:
    """What the clients of one run saw, one entry a minute."""

    found: list[float] = field(default_factory=list)  # share of the living producers
    dead: list[float] = field(default_factory=list)  # share of the answer that was dead
    seconds: list[float] = field(default_factory=list)  # that finding took
    requests: list[int] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        return {
            "minutes": len(self.found),
            "found_mean": round(mean(self.found), 4),
            "found_worst": round(min(self.found), 4),
            "dead_mean": round(mean(self.dead), 4),
            "dead_worst": round(max(self.dead), 4),
            "seconds_mean": round(mean(self.seconds), 3),
            "requests_mean": round(mean(self.requests), 1),
        }


class Churn:
    """The mesh and its coming and going."""

    def __init__(self, nodes: int, producers: int, life: float, seed: int) -> None:
        self.count, self.producers, self.life = nodes, producers, life
        self.rng = random.Random(seed)
        self.world = Ours(seed)
        self.number = 0
        self.living: dict[int, SimNode] = {}
        self.published: set[bytes] = set()  # living producers that have announced at least once
        self.tasks: set[asyncio.Task[None]] = set()

    def neighbours(self) -> list[tuple[str, int]]:
        some = self.rng.sample(sorted(self.living), min(NEIGHBOURS, len(self.living)))
        return [(address_of(number), PORT) for number in some]

    async def live(self, produces: bool, first: float) -> None:
        """One place in the mesh: a node, its successor, and so on."""
        await asyncio.sleep(first)
        while True:
            number, self.number = self.number, self.number + 1
            node = self.world.node(number)
            async with node:
                await self.join(node)
                self.living[number] = node
                announcing = asyncio.create_task(self.announce(node)) if produces else None
                try:
                    await asyncio.sleep(self.rng.expovariate(math.log(2) / self.life))
                finally:
                    del self.living[number]
                    self.published.discard(node.identity.public)
                    if announcing is not None:
                        announcing.cancel()
                        await asyncio.gather(announcing, return_exceptions=True)

    async def join(self, node: SimNode) -> None:
        while self.living:
            try:
                await node.join(self.neighbours())
                return
            except Exception:  # all three have just gone
                continue

    async def announce(self, node: SimNode) -> None:
        while True:
            if await node.publish(record_of(node, KIND)):
                self.published.add(node.identity.public)
            jitter = limits.ANNOUNCE_JITTER * (2 * self.rng.random() - 1)
            await asyncio.sleep(limits.ANNOUNCE_EVERY + jitter)

    async def look(self, seen: Seen) -> None:
        """A client that nobody knows asks for everybody."""
        loop = asyncio.get_running_loop()
        number, self.number = self.number, self.number + 1
        async with self.world.node(number, guest=True) as client:
            await self.join(client)
            began, expected = loop.time(), set(self.published)
            found = {r.publisher for r in await client.find(KIND, "cpu", want=self.producers * 2)}
            seen.seconds.append(loop.time() - began)
            seen.requests.append(client._lookups.last_requests)
        expected &= self.published  # who died during the look-up counts neither way
        if expected and found:
            seen.found.append(len(found & expected) / len(expected))
            alive = {node.identity.public for node in self.living.values()}
            seen.dead.append(len(found - alive) / len(found))
        elif expected:
            seen.found.append(0.0)
            seen.dead.append(0.0)

    async def run(self, seconds: float, every: float) -> Seen:
        seen = Seen()
        for place in range(self.count):
            produces = place % max(1, self.count // self.producers) == 0
            first = 0.05 * place
            self.tasks.add(asyncio.create_task(self.live(produces, first)))
        await asyncio.sleep(0.05 * self.count + 120)
        for _ in range(int(seconds / every)):
            await asyncio.sleep(every)
            await self.look(seen)
            if len(seen.found) % HOUR == 0:
                print(f"{time.process_time():7.0f} s of processor: {seen.row()}", file=sys.stderr)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        return seen


def simulate(
    nodes: int, producers: int, seconds: float, *, life: float = 3600.0, every: float = 60.0,
    seed: int = 3, loss: float = 0.0,
) -> Seen:  # fmt: skip
    seen: Seen = run(
        Air(seed, loss), lambda: Churn(nodes, producers, life, seed).run(seconds, every)
    )
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--producers", type=int, default=200)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--life", type=float, default=3600.0, help="seconds the median node lives")
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"  # the order of sets must not depend on the day
        os.execv(sys.executable, [sys.executable, *sys.argv])
    logging.disable(logging.CRITICAL)
    quick_signatures()
    seen = simulate(
        options.nodes, options.producers, options.hours * 3600, life=options.life,
        seed=options.seed, loss=options.loss,
    )  # fmt: skip
    print(json.dumps({**vars(options), **seen.row()}))


if __name__ == "__main__":
    main()
