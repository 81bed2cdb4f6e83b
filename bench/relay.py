"""What a farm adds to a job: small and large, direct, relayed and plain; and a slow reader.

    python -m bench.relay [--slow MB] [--json]

Client, farm and producer are three processes on this machine. Each number is the median of runs
that take turns, so that whatever else the machine does hits all of them alike.
"""

import argparse
import asyncio
import io
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.relay_parts import HOST, Part, Pin, part
from privox_dht.identity import peer_id_of

SMALL, LARGE = 1_000, 10_000_000  # bytes
RUNS = {SMALL: 200, LARGE: 20}
PAUSE = 0.05  # seconds between small jobs beside the slow reader, and when it is quiet
RATE = 1_000_000  # bytes per second of the slow reader
AIM_RATIO, AIM_GROWTH, AIM_DISTURBED = 1.3, 16 * 2**20, 2.0

Ways = dict[str, dict[str, Any]]


def ways(farm: Part, producer: Part) -> Ways:
    """The three ways to reach the producer, as arguments of a request."""
    pin = Pin(producer.public)
    through = f"http://{HOST}:{farm.port}"
    host = f"{peer_id_of(producer.public)}.privox"
    return {
        "plain": {"base": f"http://{HOST}:{producer.plain}", "how": {}},
        "direct": {"base": f"https://{HOST}:{producer.port}", "how": {"ssl": pin}},
        "relayed": {"base": f"https://{host}", "how": {"ssl": pin, "proxy": through}},
    }


async def job(session: aiohttp.ClientSession, way: dict[str, Any], body: bytes) -> float:
    """Seconds from asking to the answer."""
    began = time.perf_counter()
    url = way["base"] + "/count"
    async with session.post(url, data=io.BytesIO(body), **way["how"]) as answer:
        got = (await answer.json())["bytes"]
    if got != len(body):
        raise SystemExit(f"{got} of {len(body)} bytes arrived")
    return time.perf_counter() - began


async def jobs(choices: Ways, size: int) -> dict[str, float]:
    """Median seconds of a job of `size` bytes by each way, connections warm."""
    body = bytes(size)
    taken: dict[str, list[float]] = {name: [] for name in choices}
    async with aiohttp.ClientSession() as session:
        for turn in range(RUNS[size] + 1):
            for name, way in choices.items():
                seconds = await job(session, way, body)
                if turn:  # the first opens the connection
                    taken[name].append(seconds)
    return {name: median(all_) for name, all_ in taken.items()}


async def first(way: dict[str, Any]) -> float:
    """Median seconds of a small job with its connection, TLS handshake and claim."""
    taken = []
    for _ in range(20):
        async with aiohttp.ClientSession() as session:
            taken.append(await job(session, way, bytes(SMALL)))
        await asyncio.sleep(0.02)  # a fresh line takes the place of the claimed one
    return median(taken)


async def read_slowly(way: dict[str, Any], size: int) -> None:
    """Take `size` bytes at `RATE`."""
    got, began = 0, time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=65536) as session,
        session.get(f"{way['base']}/zeros/{size}", **way["how"]) as answer,
    ):
        async for piece in answer.content.iter_any():
            got += len(piece)
            await asyncio.sleep(max(0.0, got / RATE - (time.perf_counter() - began)))
    if got < size:
        raise SystemExit(f"{got} of {size} bytes arrived")


async def disturbed(farm: Part, way: dict[str, Any], size: int) -> dict[str, float]:
    """The farm's growth, and small jobs beside it, while somebody reads slowly."""
    async with aiohttp.ClientSession() as session:
        await job(session, way, bytes(SMALL))
        quiet, beside = [], []
        for _ in range(100):
            quiet.append(await job(session, way, bytes(SMALL)))
            await asyncio.sleep(PAUSE)
        before = most = farm.memory
        slow = asyncio.create_task(read_slowly(way, size))
        while not slow.done():
            beside.append(await job(session, way, bytes(SMALL)))
            most = max(most, farm.memory)
            await asyncio.sleep(PAUSE)
        await slow
    return {
        "quiet": median(quiet),
        "beside": median(beside),
        "growth": most - before,
        "bytes": size,
    }


async def measure(slow: int) -> dict[str, Any]:
    """Everything."""
    async with (
        part("farm") as farm,
        part("producer", "--farm", str(farm.port), "--farm-key", farm.public.hex()) as producer,
    ):
        choices = ways(farm, producer)
        found: dict[str, Any] = {"small": await jobs(choices, SMALL)}
        used = farm.processor
        found["large"] = await jobs(choices, LARGE)
        found["farm_processor"] = (farm.processor - used) / (RUNS[LARGE] + 1)
        found["first"] = {name: await first(way) for name, way in choices.items()}
        found["ratio"] = found["large"]["relayed"] / found["large"]["direct"]
        if slow:
            found["slow"] = await disturbed(farm, choices["relayed"], slow * 1_000_000)
    return found


def show(found: dict[str, Any]) -> None:
    """For people."""
    names = {"first": "1 KB, new connection", "small": "1 KB", "large": "10 MB"}
    for name, label in names.items():
        line = "   ".join(f"{way} {s * 1e3:8.2f} ms" for way, s in found[name].items())
        print(f"{label:>20}   {line}")
    print(
        f"10 MB, relayed to direct: {found['ratio']:.2f} (aim {AIM_RATIO}); the farm's own work: "
        f"{found['farm_processor'] * 1e3:.1f} ms of processor"
    )
    if slow := found.get("slow"):
        print(
            f"{slow['bytes'] // 10**6} MB at {RATE // 10**6} MB/s: the farm grew by "
            f"{slow['growth'] / 2**20:.1f} MB (aim {AIM_GROWTH >> 20}); small jobs beside it "
            f"{slow['beside'] / slow['quiet']:.2f} times as long (aim {AIM_DISTURBED:.0f})"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=int, default=200, help="MB a slow reader takes; 0: none")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.slow))
    print(json.dumps(found)) if options.json else show(found)


if __name__ == "__main__":
    main()
