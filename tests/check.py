"""Runs every check, cheap ones first: lint, types, floors, then tests by floor.

    python tests/check.py lint     format, lint, types, import floors, known holes in dependencies
    python tests/check.py test     all of that, and every test but those at full size
    python tests/check.py soak     all of that, and the full counts

`test` has the floors run side by side, and beside them the slow half of lint; then, on a machine
that is quiet again, the tests marked `quiet` and what failed beside the others. A floor is one line
once it is done; of one that failed, everything it said. `soak` measures at length, so its floors
run one after the other.

Ctrl-C ends all of it at once. With CI=true a floor of tests that could have run on this machine
must not have been skipped.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PACKAGES = ("privox_dht", "nodes", "client")
UNSTEADY = 3  # tests of a floor that may fail and pass alone afterwards; more is no accident
GRACE = 5.0  # seconds that a command gets to clean up after Ctrl-C


@dataclass(frozen=True, slots=True)
class Step:
    """One command, of which only its end is of interest."""

    name: str
    command: tuple[str, ...]
    nice: int = 0  # how far it stands back behind what runs beside it


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a step."""

    step: Step
    good: bool
    output: str
    seconds: float

    @property
    def verdict(self) -> str:
        return f"{'ok' if self.good else 'FAILED'} ({self.seconds:.0f} s)"


QUICK_LINT = (
    Step("format", ("ruff", "format", "--check", "--quiet", ".")),
    Step("lint", ("ruff", "check", "--quiet", ".")),
    Step("import floors", ("lint-imports",)),
)
SLOW_LINT = (  # ten seconds each; `test` has them run beside its floors
    Step("types", ("mypy",)),
    Step("known holes", ("python", "tests/audit.py")),
)


def pytest(name: str, marks: str, *options: str) -> Step:
    """A run of tests; what failed last is remembered for each run by itself."""
    cache = ("-o", f"cache_dir=.pytest_cache/{Path(name).name}")
    return Step(name, ("python", "-m", "pytest", "-q", *cache, "-m", marks, *options))


def floor(name: str, marks: str = "", *options: str, nice: int = 0) -> Step:
    return replace(pytest(f"tests/{name}", marks, *options, f"tests/{name}"), nice=nice)


def files_with(mark: str, floor: str) -> list[str]:
    """The files of a floor that use a mark: reading all of them takes pytest several seconds."""
    files = sorted((ROOT / "tests" / floor).glob("test_*.py"))
    return [str(f.relative_to(ROOT)) for f in files if f"mark.{mark}" in f.read_text()]


CHATTER = "[loadfilesched]"  # of pytest-xdist, on each file of each worker
BESIDE = "not soak and not quiet"  # what may run beside other floors
WAITING = ("-n", "6", "--dist", "loadfile", "--no-loadscope-reorder")  # tests wait more than work
LANES = (  # side by side; the two that keep a core busy take turns
    # Unit tests have no deadlines: they take what the others leave.
    (floor("engines", BESIDE), floor("unit", BESIDE, nice=10)),
    (floor("mesh", BESIDE, *WAITING),),
    (floor("nat", BESIDE),),
)


def quiet(name: str, files: Sequence[str]) -> Step:
    return pytest(f"tests/{name}", "quiet and not soak", *files)


QUIET = files_with("quiet", "mesh")
ATTACKS = [file for file in QUIET if "test_attack" in file]
# They wait most of the time: all together take less than half a core.
WAITS = ("attack_jobs", "attack_producers", "shared_slots")
PATIENT = [f"tests/mesh/test_{name}.py" for name in WAITS]
SLOTS = ["tests/mesh/test_attack_slots.py", "tests/mesh/test_dht_node.py"]
BUSY = [file for file in ATTACKS if file not in (*PATIENT, *SLOTS)]
LAST = (  # a core for each of the first two
    (quiet("nat, quiet", files_with("quiet", "nat")), quiet("mesh, quiet attacks", BUSY)),
    (quiet("mesh, quiet", [file for file in QUIET if file not in (*ATTACKS, *SLOTS, *PATIENT)]),),
    (quiet("mesh, quiet waits", PATIENT),),
    (quiet("mesh, quiet slots", SLOTS),),
)
SOAK = (
    *(floor(name) for name in ("unit", "engines", "mesh")),
    floor("nat", "not quiet", "-n", "4", "--dist", "load"),  # stories wait, each in its own lab
    pytest("tests/nat, quiet", "quiet", "tests/nat"),
    floor("browser"),
    Step("tests/image", ("/bin/sh", "tests/image.sh")),
    Step("tests/systemd.sh", ("/bin/sh", "tests/systemd.sh")),
)


class Commands:
    """Runs steps, also side by side, each in a session of its own, so that all can be ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def run(self, step: Step, shown: bool = False) -> Result:
        """One step; with `shown`, its output is shown as it comes."""
        began, output = time.monotonic(), []
        process = self._start(step)
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if line.startswith(CHATTER):
                    continue
                output.append(line)
                if shown:
                    say(line.rstrip("\n"))
        good = process.wait() == 0 and not broke_off(step, "".join(output))
        with self._lock:
            self._running.discard(process)
        return Result(step, good, "".join(output), time.monotonic() - began)

    def _start(self, step: Step) -> subprocess.Popen[str]:
        env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # what is imported often is compiled once
        behind = ("nice", "-n", str(step.nice)) if step.nice else ()
        with self._lock:
            if self._ended:
                raise KeyboardInterrupt
            process = subprocess.Popen(
                [*behind, str(BIN / step.command[0]), *step.command[1:]], cwd=ROOT,
                env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        return process

    def beside(self, lanes: Iterable[Sequence[Step]]) -> list[Result]:
        """The steps of each lane in turn, the lanes side by side; each is told of when it is done.
        A step that fails ends nothing, so that one run shows all there is to mend."""
        lanes = [list(lane) for lane in lanes]

        def travel(lane: list[Step]) -> list[Result]:
            results = []
            for step in lane:
                results.append(self.run(step))
                if not self._ended:
                    tell(results[-1])
            return results

        with ThreadPoolExecutor(len(lanes)) as pool:
            try:
                return [result for results in pool.map(travel, lanes) for result in results]
            except BaseException:
                self.end()
                raise

    def end(self) -> None:
        """End whatever runs, with all that it started, and let nothing begin any more."""
        with self._lock:
            self._ended = True
            running = list(self._running)
        for number, grace in ((signal.SIGINT, GRACE), (signal.SIGKILL, GRACE)):
            deadline = time.monotonic() + grace
            for process in running:
                try:
                    os.killpg(process.pid, number)  # it leads a session, and so a group
                except ProcessLookupError:
                    continue
            for process in running:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue


def say(text: str) -> None:
    """A line, or several that belong together, of whoever runs beside others."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(result: Result) -> None:
    """How a step ended, in a line; everything it said if it failed."""
    lines, counts = [], counted(result.output, result.good)
    if not result.good:
        lines = [f"== {result.step.name} said:", result.output.rstrip()]
    elif counts["skipped"]:
        lines = [line for line in result.output.splitlines() if line.startswith("SKIPPED")]
    how_many = f"{total_line(counts)}, " if "pytest" in result.step.command else ""
    say("\n".join([*lines, f"== {result.step.name}: {how_many}{result.verdict}"]))


def lint(commands: Commands, steps: Iterable[Step]) -> bool:
    """Every step, so that one run shows all there is to mend."""
    return all(result.good for result in commands.beside([step] for step in steps))


def tests(commands: Commands) -> bool:
    """The slow half of lint, and every test but those of soak: side by side what can be, then by
    itself what cannot, and what failed beside others."""
    prepare()
    say(f"== side by side: {' | '.join(', '.join(s.name for s in lane) for lane in LANES)}")
    results = [*commands.beside((*LANES, SLOW_LINT)), *commands.beside(LAST)]
    return summed_up([again(commands, result) for result in results])


def soak(commands: Commands) -> bool:
    """Every test at full size, one floor after the other."""
    prepare()
    results = []
    for step in SOAK:
        say(f"== {step.name}")
        result = commands.run(step, shown=True)
        say(f"== {step.name}: {result.verdict}")
        results.append(again(commands, result))
    return summed_up(results)


Counts = dict[str, int]


def summed_up(results: Iterable[tuple[Result, Counts]]) -> bool:
    """Whether all went well; the last line says how many tests passed, failed and were skipped."""
    good, totals = True, {"passed": 0, "failed": 0, "skipped": 0}
    for result, counts in results:
        good &= not counts["failed"]
        if os.environ.get("CI") and counts["skipped"]:
            good &= may_skip(result.output)
        for word in totals:
            totals[word] += counts[word]
    say(total_line(totals))
    return good


def again(commands: Commands, result: Result) -> tuple[Result, Counts]:
    """The few that failed, run again by themselves: a race that a busy machine loses is told from
    a fault, and named, so that somebody mends it."""
    counts = counted(result.output, result.good)
    failed = failures(result.output)
    many = counts["failed"] > UNSTEADY or not failed
    if result.good or many or "pytest" not in result.step.command:
        return result, counts
    say(f"== {result.step.name}: what failed, alone")
    command = (*result.step.command, "-n", "0", "--last-failed")
    second = commands.run(Step(result.step.name, command), shown=True)
    if not second.good or counted(second.output, second.good)["passed"] < len(failed):
        return result, counts
    for test in failed:
        say(f"UNSTEADY: failed among others and passed alone: {test}")
    return result, {**counts, "passed": counts["passed"] + len(failed), "failed": 0}


def failures(output: str) -> list[str]:
    """The tests that a run of pytest names at its end, each once."""
    named = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)
    return list(dict.fromkeys(named))


def counted(output: str, good: bool) -> dict[str, int]:
    """What pytest's last line says: passed, failed (errors too), skipped. A run that ended badly
    without saying how counts as one that failed."""
    closing = output.strip().splitlines()[-1] if output.strip() else ""
    found = {
        word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", closing)
    }
    failed = found.get("failed", 0) + found.get("error", 0)
    failed = failed or (0 if good else 1)
    return {"passed": found.get("passed", 0), "failed": failed, "skipped": found.get("skipped", 0)}


def broke_off(step: Step, output: str) -> bool:
    """Whether a run of tests ended without its closing line, if with 0: a test that ends its
    process takes all that come after it along."""
    closing = output.strip().splitlines()[-1] if output.strip() else ""
    return "pytest" in step.command and not re.search(r"\d+ (passed|skipped|deselected)", closing)


def total_line(totals: dict[str, int]) -> str:
    return "{passed} passed, {failed} failed, {skipped} skipped".format(**totals)


def prepare() -> None:
    """What tests need beside Python; says so where it cannot be had."""
    scripts = ("tests/nat/install.sh", "tests/engines/install_speech.sh",
               "tests/engines/install_wyoming.sh", "tests/mesh/install.sh")  # fmt: skip
    for script in scripts:
        subprocess.run(["sh", str(ROOT / script)], check=False)


def may_skip(output: str) -> bool:
    """Whether every skip in this output is for a reason that lies in the machine."""
    bad = [
        line
        for line in output.splitlines()
        if line.startswith("SKIPPED") and "cannot be had here:" not in line
    ]
    for line in bad:
        say(f"skipped although it could run here: {line}")
    return not bad


def main() -> int:
    what = sys.argv[1] if len(sys.argv) > 1 else "test"
    if what not in ("lint", "test", "soak"):
        print(__doc__)
        return 2
    commands = Commands()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    try:
        good = lint(commands, QUICK_LINT if what == "test" else (*QUICK_LINT, *SLOW_LINT))
        if good and what != "lint":
            good = tests(commands) if what == "test" else soak(commands)
    except KeyboardInterrupt:
        commands.end()
        say("ended")
        return 130
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
