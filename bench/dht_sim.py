"""Our DHT beside bmuller's kademlia as it comes, in virtual time, from the same seed.

    python bench/dht_sim.py                    300 and 1,000 nodes
    python bench/dht_sim.py --nodes 10000      ten thousand (stock takes most of the time)
    python bench/dht_sim.py --nodes 100000 --planted --no-visible
    python bench/dht_sim.py --json             one JSON object a line instead of tables
    python bench/dht_sim.py --worlds stock stock-1s stock-find ours ours-all
                                               what is compared: a shorter time-out, a find without
                                               its store, a publication that waits for all copies

Every node has an address of its own; a round trip is log-normal (median 90 ms, sigma 0.55), fixed
for each pair. Nodes join through three random ones, a hundred keys are published, then a share of
all nodes dies at one stroke, without a word, and the living look keys up and publish new ones. All
figures are virtual seconds: they say what the protocol costs, not the machine. Run twice, the
output is the same to the byte.

With `--planted` nobody joins: every table is filled as joining would have filled it, through the
tables of those that a newcomer would have asked, one newcomer after the other and without a
datagram (`sim/planting.py`). Sizes of tables, how many of its true neighbours a node knows, and
all figures come out as in a mesh that was joined, in a fifth of the time (stock: a fifteenth).
"""

import argparse
import asyncio
import gc
import json
import logging
import multiprocessing
import os
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.sim.figures import Result, ratios, share, table
from bench.sim.planting import garden
from bench.sim.virtual import Air, address_of, run
from bench.sim.worlds import WORLDS, quick_signatures, roomy_caches

KEYS = 100  # keys published while all is well, before each stroke
SETTLE = 30.0  # seconds before they are published, everybody alive
FIRST_FEW = 50  # nodes that join one after the other
NEIGHBOURS = 3  # nodes a newcomer joins through
VISIBLE = (0.25, 0.5, 1.5, 5.0)  # seconds after a publication began
VISIBLE_KEYS, VISIBLE_EYES = 6, 8  # publications watched for each of those, and by how many
PUTS = 40  # publications measured at each share of dead


class Run:
    """One world, from its first node to its last figure."""

    def __init__(self, world: Any, air: Air, nodes: int, gets: int, seed: int) -> None:
        self.world, self.air, self.count, self.gets = world, air, nodes, gets
        self.rng = random.Random(seed)
        self.nodes: list[Any] = []
        self.used: set[int] = set()

    async def build(self) -> None:
        """The first few one by one, then one in a hundred of all at a time."""
        while len(self.nodes) < self.count:
            known = len(self.nodes)
            step = 1 if known < FIRST_FEW else max(1, self.count // 100)
            joining = []
            for number in range(known, min(self.count, known + step)):
                some = self.rng.sample(range(known), min(NEIGHBOURS, known))
                joining.append(self.world.start(number, [address_of(n) for n in some]))
            self.nodes += await asyncio.gather(*joining)

    async def plant(self) -> None:
        """The same without datagrams, one by one."""
        beds = garden(self.world, self.air)
        for number in range(self.count):
            some = self.rng.sample(self.nodes, min(NEIGHBOURS, number))
            self.nodes.append(await beds.plant(number, some))

    async def publish(self, prefix: str) -> None:
        who = self.rng.sample(self.nodes, min(KEYS, self.count))
        puts = (self.world.put(node, f"{prefix}-{key}") for key, node in enumerate(who))
        await asyncio.gather(*map(self.timed, puts))
        await asyncio.sleep(5)

    async def timed(self, work: Any) -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            came = bool(await work)
        except Exception:  # stock raises a dozen kinds when the mesh is broken: not found
            came = False
        return loop.time() - began, came

    def living(self) -> list[int]:
        """Who may be asked next: those who did nothing yet; the others again if none is left."""
        living = [n for n in range(self.count) if address_of(n) not in self.air.dead]
        fresh = [number for number in living if number not in self.used] or living
        self.rng.shuffle(fresh)
        return fresh

    async def measure(self, dead: float, loss: float, *, watch: bool) -> Result:
        """Everybody alive, keys published; then the stroke, and what the living see."""
        self.air.dead, self.air.loss, self.used = set(), 0.0, set()
        choked = self.air.choked
        await asyncio.sleep(SETTLE)
        await self.publish(f"k{dead}")
        struck = self.rng.sample(range(self.count), int(dead * self.count))
        self.air.dead, self.air.loss = {address_of(number) for number in struck}, loss
        result = Result(self.world.name, self.count, dead, self.air.loss)
        sizes = sorted(self.world.contacts(node) for node in self.nodes)
        result.contacts = sizes[len(sizes) // 2]
        await self._gets(result, f"k{dead}")
        await self._puts(result, f"n{dead}")
        if watch:
            await self._watch(result, dead)
        result.choked = self.air.choked - choked
        return result

    async def _gets(self, result: Result, prefix: str) -> None:
        living = self.living()
        jobs = []
        for number in range(min(self.gets, len(living))):
            key = f"{prefix}-{number % min(KEYS, self.count)}"
            mine = next((n for n in living if not self.world.holds(self.nodes[n], key)), None)
            if mine is None:
                break
            living.remove(mine)
            self.used.add(mine)
            jobs.append(self.timed(self.world.get(self.nodes[mine], key)))
        sent = self.air.sent
        for took, came in await asyncio.gather(*jobs):
            result.get.append(took)
            result.found.append(came)
        result.datagrams = (self.air.sent - sent) / max(1, len(jobs))

    async def _puts(self, result: Result, prefix: str) -> None:
        living = self.living()[:PUTS]
        self.used.update(living)
        jobs = [self.world.put(self.nodes[n], f"{prefix}-{at}") for at, n in enumerate(living)]
        for took, came in await asyncio.gather(*map(self.timed, jobs)):
            result.put.append(took)
            result.stored += came

    async def _watch(self, result: Result, dead: float) -> None:
        """Which share of look-ups, begun so long after a publication began, finds it."""
        living = self.living()
        for after in VISIBLE:
            seen: list[bool] = []
            for at in range(VISIBLE_KEYS):
                name = f"v{dead}-{after}-{at}"
                put = asyncio.create_task(
                    self.timed(self.world.put(self.nodes[self.rng.choice(living)], name))
                )
                await asyncio.sleep(after)
                eyes = self.rng.sample(living, min(VISIBLE_EYES, len(living)))
                gets = (self.timed(self.world.get(self.nodes[n], name)) for n in eyes)
                seen += [came for _, came in await asyncio.gather(*gets)]
                await put
            result.visible[str(after)] = share(seen)

    async def stop(self) -> None:
        for node in self.nodes:
            await self.world.stop(node)


def note(what: str) -> None:
    """How far it is, and what it takes; figures go elsewhere."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{time.process_time():7.0f} s of processor, {most} MiB: {what}", file=sys.stderr)


async def compare(
    world: Any, air: Air, nodes: int, dead: list[float], gets: int, seed: int, watch: bool,
    planted: bool,
) -> list[Result]:  # fmt: skip
    """All figures of one world."""
    loss, air.loss = air.loss, 0.0  # the mesh is built in fair weather
    one = Run(world, air, nodes, gets, seed)
    await (one.plant() if planted else one.build())
    note(f"{world.name}, {nodes} nodes {'planted' if planted else 'joined'}")
    results = []
    for part in dead:
        results.append(await one.measure(part, loss, watch=watch))
        note(f"{world.name}, {nodes} nodes, {part:.0%} dead: measured")
    air.dead = set()
    await one.stop()
    return results


def simulate(
    name: str, nodes: int, dead: list[float], *, gets: int, seed: int, loss: float = 0.0,
    watch: bool = True, planted: bool = False,
) -> list[Result]:  # fmt: skip
    """A whole run of one world, from a seed."""
    random.seed(seed)  # stock takes its chances from the module
    air = Air(seed, loss)

    async def main() -> list[Result]:
        return await compare(WORLDS[name](seed), air, nodes, dead, gets, seed, watch, planted)

    results: list[Result] = run(air, main)
    gc.collect()
    return results


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--dead", type=float, nargs="+", default=[0.0, 0.3, 0.5, 0.7])
    parser.add_argument("--worlds", nargs="+", default=["stock", "ours"], choices=WORLDS)
    parser.add_argument("--gets", type=int, default=200, help="look-ups at each share of dead")
    parser.add_argument("--loss", type=float, default=0.0, help="share of datagrams lost")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--planted", action="store_true", help="fill tables without datagrams")
    parser.add_argument("--no-visible", action="store_true", help="leave out how soon all see it")
    parser.add_argument(
        "--real-signatures",
        action="store_true",
        help="Ed25519 instead of hashes: slow, same figures",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if os.environ.get("PYTHONHASHSEED") != "0" and argv is None:
        os.environ["PYTHONHASHSEED"] = "0"  # the order of sets must not depend on the day
        os.execv(sys.executable, [sys.executable, *sys.argv])
    logging.disable(logging.CRITICAL)
    gc.set_threshold(200_000, 50, 100)
    if not options.real_signatures:
        quick_signatures()
    roomy_caches(max(options.nodes))
    rows = []
    for nodes in options.nodes:
        for world in options.worlds:
            with multiprocessing.get_context("fork").Pool(1) as alone:  # what it took is given back
                results = alone.apply(
                    simulate,
                    (world, nodes, options.dead),
                    {
                        "gets": options.gets,
                        "seed": options.seed,
                        "loss": options.loss,
                        "watch": not options.no_visible,
                        "planted": options.planted,
                    },
                )
            for result in results:
                rows.append(result.row())
                if options.json:
                    print(json.dumps(rows[-1]), flush=True)
    if options.json:
        for ratio in ratios(rows):
            print(json.dumps({"ratio": ratio}))
        return
    print(table(rows))
    print("\nvisible to, by seconds since the publication began:")
    for row in rows:
        print(
            f"  {row['world']:5} {row['nodes']:6} nodes, {row['dead']:.0%} dead: {row['visible']}"
        )
    print("\nours over stock:")
    for ratio in ratios(rows):
        print(f"  {ratio}")


if __name__ == "__main__":
    main()
