"""Runs every bench, one after the other: `python -m bench`; with `--json` one object a line."""

import subprocess
import sys

BENCHES = (
    "jobs", "jobs_at_once", "relay", "relay_lines", "relay_repark", "dht_sim", "dht_udp",
    "loop_lag", "words_right", "scatter", "private", "gateway",
)  # fmt: skip


def main() -> int:
    """The number of benches that failed."""
    failed = 0
    for bench in BENCHES:
        print(f"-- bench.{bench}", file=sys.stderr, flush=True)
        failed += (
            subprocess.run([sys.executable, "-m", f"bench.{bench}", *sys.argv[1:]]).returncode != 0
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
