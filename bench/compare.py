"""Two commits side by side: the same benches, in turns, medians with their spread.

    python -m bench.compare 9e86dd6                     jobs and relay, nine runs of each commit
    python -m bench.compare v0.1.0 --runs 3 jobs        one bench, three runs
    python -m bench.compare 9e86dd6 --json              one JSON object

The older commit is checked out into a temporary folder and runs with this environment's
dependencies and its own bench. Runs take turns, so that whatever else the machine does hits both
alike. A figure is worse when its median is larger by more than `--most` (1.1) times.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BENCHES = ("jobs", "relay")
ARGUMENTS = {  # what one run leaves out, since there are many
    "jobs": ["--long", "1"],  # a minute of speech takes a minute
    "relay": ["--slow", "0"],  # the slow reader takes 200 s, and measures memory
}
PEERS = (".peer", ".plain")  # ends of the names of figures that are not ours


@dataclass
class Figure:
    """One number of a bench, over all runs of both commits."""

    name: str
    before: list[float] = field(default_factory=list)
    now: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Median now over median before."""
        before = statistics.median(self.before)
        return statistics.median(self.now) / before if before else float("inf")

    def is_worse(self, most: float) -> bool:
        """Whether it is ours and its median grew by more than `most` times."""
        return self.ratio > most and not self.name.endswith(PEERS)


def figures_of(found: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a bench's JSON, by its path; a row of a list goes by its `what`."""
    if isinstance(found, bool):
        return
    if isinstance(found, (int, float)):
        yield name, float(found)
    elif isinstance(found, dict):
        for key, value in found.items():
            if key not in ("what", "unit", "machine", "aim"):
                yield from figures_of(value, f"{name}.{key}".strip("."))
    elif isinstance(found, list):
        for place, value in enumerate(found):
            row = value.get("what", place) if isinstance(value, dict) else place
            yield from figures_of(value, f"{name}[{row}]")


def run(bench: str, folder: Path) -> dict[str, float]:
    """One run of the bench that stands in `folder`.

    Raises:
        SystemExit: it failed; its own words are on stderr.
    """
    command = [sys.executable, "-m", f"bench.{bench}", "--json", *ARGUMENTS.get(bench, [])]
    path = {"PYTHONPATH": str(folder)}  # before the installed one, also in programs it starts
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **path}, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"bench.{bench} failed in {folder}")
    return dict(figures_of(json.loads(done.stdout.splitlines()[-1])))


@contextlib.contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The tree of `commit` in a temporary folder.

    Raises:
        SystemExit: there is no such commit.
    """
    with tempfile.TemporaryDirectory(prefix="privox-compare-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
        if archive.returncode:
            raise SystemExit(f"git knows no commit {commit}: {archive.stderr.decode().strip()}")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        yield Path(folder)


def compare(commit: str, benches: list[str], runs: int) -> list[Figure]:
    """Every figure that both commits have."""
    figures: dict[str, Figure] = {}
    with checkout(commit) as older:
        for turn in range(runs):
            for bench in benches:
                sides = {"before": run(bench, older), "now": run(bench, ROOT)}
                for name in sides["before"].keys() & sides["now"].keys():
                    figure = figures.setdefault(f"{bench}: {name}", Figure(f"{bench}: {name}"))
                    figure.before.append(sides["before"][name])
                    figure.now.append(sides["now"][name])
            print(f"run {turn + 1} of {runs}", file=sys.stderr, flush=True)
    return sorted(figures.values(), key=lambda figure: figure.name)


def show(figures: list[Figure], commit: str, most: float) -> None:
    """For people."""
    width = max(len(figure.name) for figure in figures)
    print(f"{'':{width}}  {commit:>30}  {'now':>30}  now/before")
    for figure in figures:
        sides = (
            f"{statistics.median(side):.4g} ({min(side):.4g} to {max(side):.4g})"
            for side in (figure.before, figure.now)
        )
        worse = "  WORSE" if figure.is_worse(most) else ""
        before, now = sides
        print(f"{figure.name:{width}}  {before:>30}  {now:>30}  {figure.ratio:.3f}{worse}")


def options(words: list[str] | None = None) -> argparse.Namespace:
    """What the command line says; benches may stand behind `--runs 3`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("commit", help="the older one")
    parser.add_argument("benches", nargs="*", default=list(BENCHES))
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument(
        "--most", type=float, default=1.1, help="ratio from which a figure is worse"
    )
    parser.add_argument("--json", action="store_true")
    return parser.parse_intermixed_args(words)


def main() -> int:
    """0, or 1 when a figure got worse by more than `--most` times."""
    given = options()
    figures = compare(given.commit, given.benches, given.runs)
    if given.json:
        rows = [{**vars(figure), "ratio": figure.ratio} for figure in figures]
        print(json.dumps({"commit": given.commit, "figures": rows}))
    else:
        show(figures, given.commit, given.most)
    return int(any(figure.is_worse(given.most) for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
