"""What every bench shares: medians, a table, `--json`."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass
class Row:
    """One comparison: ours and the peer's, in the same unit, and what was hoped for."""

    what: str
    ours: float
    peer: float
    unit: str
    aim: float | None = None  # the ratio ours / peer should be at most this

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.peer else float("inf")


def options(about: str, **flags: object) -> argparse.Namespace:
    """`--json`, and numbers that a bench lets one change."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    for name, default in flags.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that one go takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def medians(
    rounds: int, *works: Callable[[], Awaitable[object]], warm: int = 3
) -> list[float]:
    """The median seconds of each, taken in turns, so that a busy machine disturbs all alike."""
    times: list[list[float]] = [[] for _ in works]
    for round_ in range(rounds + warm):
        for seconds, work in zip(times, works, strict=True):
            taken = await timed(work)
            if round_ >= warm:
                seconds.append(taken)
    return [statistics.median(seconds) for seconds in times]


def show(title: str, rows: list[Row], as_json: bool) -> None:
    """A table, or one object."""
    if as_json:
        machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
        print(json.dumps({"bench": title, "machine": machine, "rows": [
            {**vars(row), "ratio": round(row.ratio, 3)} for row in rows]}))  # fmt: skip
        return
    print(title)
    width = max(len(row.what) for row in rows)
    print(f"  {'':{width}}  {'ours':>10}  {'peer':>10}  {'ratio':>7}  {'aim':>6}")
    for row in rows:
        aim = f"{row.aim:g}" if row.aim else ""
        ours, peer = (f"{value:>7.4g} {row.unit:<2}" for value in (row.ours, row.peer))
        print(f"  {row.what:{width}}  {ours}  {peer}  {row.ratio:>7.3f}  {aim:>6}")
