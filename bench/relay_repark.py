"""How long a farm's producers cannot be called after it dies: seconds until each is parked again.

    python -m bench.relay_repark [--producers 2000] [--farms 3] [--json]

Every producer is at one of the farms and knows all of them. One farm is killed; the time is from
then until each of its producers has a line parked elsewhere. All producers are one process.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.relay_parts import HOST, part
from privox_dht.identity import Identity
from privox_dht.relay import FarmAddress, FarmPool

SETTLE = 120.0  # seconds that all of it may take at most


async def measure(count: int, farms: int) -> dict[str, float]:
    """Park everybody at the first farm, kill it, and look when each is parked elsewhere."""
    context = Identity.generate().server_context()  # nobody is called here
    back: list[float] = []
    everybody = asyncio.Event()
    async with AsyncExitStack() as stack:
        parts = [await stack.enter_async_context(part("farm")) for _ in range(farms)]
        places = [FarmAddress(p.public, HOST, p.port) for p in parts]
        known = places[:1]

        async def ask() -> list[FarmAddress]:
            return list(known)

        def changed(parkings: FarmPool) -> None:
            if killed and parkings.parked_at:
                back.append(time.perf_counter() - killed[0])
                if len(back) == count:
                    everybody.set()

        killed: list[float] = []
        began = time.perf_counter()
        crowd = [
            await stack.enter_async_context(
                FarmPool(
                    Identity.generate(),
                    ask,
                    server_context=context,
                    connection=asyncio.Protocol,
                    on_change=changed,
                    want=1,
                    rng=random.Random(n),
                )
            )
            for n in range(count)
        ]
        async with asyncio.timeout(SETTLE):
            for parkings in crowd:
                await parkings.parked(SETTLE)
            first = time.perf_counter() - began
            known[:] = places[1:]
            killed.append(time.perf_counter())
            parts[0].process.kill()
            await everybody.wait()
        farm = max(p.processor for p in parts[1:])
    back.sort()
    return {
        "producers": count,
        "farms": farms - 1,
        "first_time": first,
        "median": back[len(back) // 2],
        "p99": back[len(back) * 99 // 100],
        "last": back[-1],
        "farm_processor": farm,
        "crowd_processor": time.process_time(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--producers", type=int, default=2000)
    parser.add_argument("--farms", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.producers, options.farms))
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['producers']} producers, {found['farms']} farms left: parked again after "
        f"{found['median']:.2f} s (median), {found['p99']:.2f} s (99 %), "
        f"{found['last']:.2f} s (the last); all parked at once at the start: "
        f"{found['first_time']:.2f} s\n"
        f"processor time: {found['farm_processor']:.2f} s of a farm, start-up included; "
        f"{found['crowd_processor']:.2f} s of the process that plays all producers"
    )


if __name__ == "__main__":
    main()
