"""Which share of each module's lines the tests run: `make coverage`.

    python tests/covered.py                  run tests/unit, tests/engines and tests/mesh, then tell
    python tests/covered.py tests/unit/...   run these instead
    python tests/covered.py --more ...       run these too: add them to what was measured last
    python tests/covered.py --again          tell what was measured last

Fails where a module has less than its floor: FLOOR, or what `LOWER` says, with the reason. Programs
that tests start are measured too, as coverage does it, and the engines' workers by
`worker_coverage.py`. A test that fails is named and changes nothing: those that measure time and
memory do so with a tracer in each process.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / ".coverage-data"  # as setup.cfg has it
FLOORS = ("tests/unit", "tests/engines", "tests/mesh")
WORKERS = {"tests/mesh": 6}  # tests at a time: those wait more than they work
FEW_WORKERS = 3
BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")
TRACEBACKS = (
    "--tb=native"  # pytest's own parse the source: CPython 3.11 breaks there under a tracer
)
FLOOR = 90.0  # % of a module's lines
NAMED = 10  # modules named at the end; the table shows all
LARGEST = 1 << 20  # bytes of what a worker tells at once; it is compressed, and much smaller
LOWER: dict[str, tuple[float, str]] = {}  # module: its floor in %, and why


@dataclass(frozen=True, slots=True)
class Module:
    """What was run of one file."""

    name: str
    lines: int
    missed: tuple[int, ...]

    @property
    def share(self) -> float:
        """In %."""
        return 100.0 * (self.lines - len(self.missed)) / self.lines if self.lines else 100.0

    @property
    def floor(self) -> float:
        return LOWER.get(self.name, (FLOOR, ""))[0]


def run(what: Sequence[str], *, more: bool = False) -> None:
    """Run the tests, and gather in DATA what they and all their processes ran; with `more`, beside
    what is there already."""
    if not more:
        shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(exist_ok=True)
    DATA.chmod(0o1777)  # programs that run as another user tell there too
    with told_by_workers() as folder:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, str(ROOT)])}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # as in check.py
        if sys.version_info >= (3, 12):
            env.setdefault("COVERAGE_CORE", "sysmon")  # the interpreter tells it, without a tracer
        for floor, together in groupby(sorted(what), floor_of):
            workers = str(WORKERS.get(floor, FEW_WORKERS))
            coverage("run", "-m", "pytest", "-q", "-m", "not soak and not quiet", TRACEBACKS,
                     "-n", workers, *BY_FILE, *together,
                     env=env)  # fmt: skip
    coverage("combine", "--quiet", *(["--append"] if more else []))


def floor_of(what: str) -> str:
    """Tests of one floor run together; each floor has kits of its own."""
    return "/".join(Path(what).parts[:2])


def coverage(*arguments: str, env: dict[str, str] | None = None) -> None:
    subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT, env=env, check=False)


@contextmanager
def told_by_workers() -> Iterator[str]:
    """A folder for the PYTHONPATH, while what workers tell becomes one more file of DATA."""
    told = CoverageData(str(DATA / ".coverage.workers"))
    with tempfile.TemporaryDirectory(prefix="privox-coverage-") as folder:
        shutil.copy(Path(__file__).parent / "worker_coverage.py", f"{folder}/sitecustomize.py")
        os.chmod(folder, 0o755)  # workers are nobody
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
            ear.bind(f"{folder}/socket")
            os.chmod(f"{folder}/socket", 0o666)
            listening = threading.Thread(target=take, args=(ear, told))
            listening.start()
            try:
                yield folder
            finally:
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                    last.sendto(b"end", f"{folder}/socket")
                listening.join()
    told.write()
    told.close(force=True)


def take(ear: socket.socket, told: CoverageData) -> None:
    """Add what workers tell, until somebody says that it is the end."""
    while (said := ear.recv(LARGEST)) != b"end":
        one = CoverageData(no_disk=True)
        one.loads(said)
        told.update(one)
        one.close(force=True)


def modules() -> list[Module]:
    """Of all our files that have lines to run, those with the smallest share first."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "coverage.json")
        coverage("json", "--ignore-errors", "--quiet", "-o", str(file))
        files = json.loads(file.read_text())["files"]
    found = [
        Module(name, said["summary"]["num_statements"], tuple(said["missing_lines"]))
        for name, said in files.items()
    ]
    return sorted((m for m in found if m.lines), key=lambda module: (module.share, module.name))


def spans(numbers: Sequence[int]) -> str:
    """Lines as a person writes them: 3, 7-9."""
    said: list[list[int]] = []
    for number in numbers:
        if said and number == said[-1][-1] + 1:
            said[-1] = [said[-1][0], number]
        else:
            said.append([number])
    return ", ".join("-".join(map(str, span)) for span in said)


def main() -> int:
    """1 where a module is under its floor."""
    what = sys.argv[1:]
    more = "--more" in what
    if what != ["--again"]:
        run([floor for floor in what if floor != "--more"] or FLOORS, more=more)
    found = modules()
    for module in found:
        print(f"{module.share:6.1f} %  {module.lines:4} lines  {module.name:44}", end="")
        print(f"  not: {spans(module.missed)}" if module.share < FLOOR else "")
    lines, missed = sum(m.lines for m in found), sum(len(m.missed) for m in found)
    print(f"{100 * (lines - missed) / lines:6.1f} %  {lines} lines in {len(found)} modules")
    for name, (floor, why) in LOWER.items():
        print(f"{name} may have {floor:.0f} %: {why}")
    under = [module.name for module in found if module.share < module.floor]
    if under:
        named = ", ".join(under[:NAMED]) + (" ..." if under[NAMED:] else "")
        print(f"{len(under)} modules are under their floor: {named}")
        print("write tests for them, or say why in LOWER")
    return 1 if under else 0


if __name__ == "__main__":
    sys.exit(main())
