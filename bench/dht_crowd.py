"""A hundred thousand producers of one service among ten thousand nodes, in virtual time.

    python bench/dht_crowd.py                               the full size: an hour of one processor
    python bench/dht_crowd.py --nodes 1000 --producers 10000

Prints one JSON object: how many a client finds with one look-up, how many one finds who wants all,
what that took, and how many announcements a second came to the node that got most (`sim/crowd.py`).
"""

import argparse
import gc
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.dht_sim import note
from bench.sim.crowd import crowd
from bench.sim.worlds import decode_once, quick_signatures, roomy_caches


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--producers", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    gc.set_threshold(200_000, 50, 100)
    quick_signatures()
    decode_once()
    roomy_caches(options.nodes)
    seen = crowd(options.nodes, options.producers, options.seed, note)
    print(json.dumps(seen.row()))


if __name__ == "__main__":
    main()
