"""What nodes say to one another while nobody wants anything, in virtual time.

    python bench/dht_rest.py                    200 nodes, from a minute after joining, for an hour
    python bench/dht_rest.py --nodes 1000 --hours 2

Prints one JSON object: datagrams a second that each node sends, and bytes. A contact that is silent
for ten minutes is pinged, and a bucket that no look-up passed for an hour is walked to: a shorter
time shows neither.
"""

import argparse
import asyncio
import gc
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.dht_sim import Run, note
from bench.sim.virtual import Air, run
from bench.sim.worlds import Ours, quick_signatures, roomy_caches

SETTLE = 60.0  # seconds after joining


def rest(nodes: int, hours: float, seed: int = 3) -> dict[str, float]:
    """Datagrams and bytes a second that a node sends at rest."""
    air = Air(seed)

    async def main() -> dict[str, float]:
        one = Run(Ours(seed), air, nodes, 0, seed)
        await one.build()
        note(f"{nodes} nodes joined")
        await asyncio.sleep(SETTLE)
        sent, octets = air.sent, air.bytes
        await asyncio.sleep(hours * 3600)
        seconds = hours * 3600 * nodes
        sizes = sorted(one.world.contacts(node) for node in one.nodes)
        seen = {
            "nodes": nodes,
            "hours": hours,
            "contacts": sizes[len(sizes) // 2],
            "datagrams": round((air.sent - sent) / seconds, 3),
            "bytes": round((air.bytes - octets) / seconds, 1),
        }
        await one.stop()
        return seen

    result: dict[str, float] = run(air, main)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.set_threshold(200_000, 50, 100)
    quick_signatures()
    roomy_caches(options.nodes)
    print(json.dumps(rest(options.nodes, options.hours, options.seed)))


if __name__ == "__main__":
    main()
