"""Our DHT beside bmuller's kademlia on real UDP sockets of this machine: what it costs.

    python bench/dht_udp.py                  300 nodes of each, each kind in a process of its own
    python bench/dht_udp.py --json           one JSON object a line
    python bench/dht_udp.py --world ours --without contact-proofs
                                             what one thing costs that ours does and stock does not

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
import gc
import json
import logging
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.udp_worlds import PROMISES, Ours, Stock, break_promises

PAUSE = 20.0  # seconds after joining: what was begun has ended, and a round of upkeep has passed
GETS, ROUNDS = 300, 5
WARM = 10  # nodes built and taken down before anything is measured
RPCS = 1_000
STORE_ROUNDS = 20  # of which the best counts


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
    parser.add_argument("--without", nargs="+", choices=PROMISES, default=[], help="of ours")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    break_promises(options.without)
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
