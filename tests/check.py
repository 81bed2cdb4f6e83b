"""Runs every check, cheap ones first: lint, types, floors, then tests by floor.

    python tests/check.py lint     format, lint, types, import floors, known holes in dependencies
    python tests/check.py test     all of that, and every test at a size for a quarter of an hour
    python tests/check.py soak     all of that, and the full counts

With CI=true a floor of tests that could have run on this machine must not have been skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PACKAGES = ("privox_dht", "nodes", "client")
FLOORS = ("unit", "engines", "mesh", "nat")
UNSTEADY = 3  # tests of a floor that may fail and pass alone afterwards; more is no accident
LINT = (
    ("format", "ruff", "format", "--check", "--quiet", "."),
    ("lint", "ruff", "check", "--quiet", "."),
    ("types", "mypy"),
    ("import floors", "lint-imports"),
    ("known holes", "python", "tests/audit.py"),
)


def run(name: str, *command: str) -> tuple[bool, str]:
    """One step; its output is shown as it comes and returned."""
    began = time.monotonic()
    print(f"== {name}", flush=True)
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, env={**os.environ, **path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    output = []
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        output.append(line)
    process.stdout.close()
    good = process.wait() == 0
    print(f"== {name}: {'ok' if good else 'FAILED'} ({time.monotonic() - began:.0f} s)", flush=True)
    return good, "".join(output)


def lint() -> bool:
    """Every step, so that one run shows all there is to mend."""
    return all([run(name, *command)[0] for name, *command in LINT])


def tests(soak: bool) -> bool:
    """Every floor of tests, lowest first."""
    prepare()
    marks = () if soak else ("-m", "not soak")
    good, totals = True, {"passed": 0, "failed": 0, "skipped": 0}
    steps = [
        (f"tests/{floor}", "python", "-m", "pytest", "-q", *marks, f"tests/{floor}")
        for floor in FLOORS
    ]
    if soak:
        steps.append(("tests/image", "/bin/sh", "tests/image.sh"))
    for name, *command in steps:
        passed, output = run(name, *command)
        counts = counted(output, passed)
        if not passed and name != "tests/image" and counts["failed"] <= UNSTEADY:
            passed, counts = alone(name, command, counts, failures(output))
        for word in totals:
            totals[word] += counts[word]
        good &= passed
        if os.environ.get("CI") and counts["skipped"]:
            good &= may_skip(output)
        if not good and not soak:
            break
    print(total_line(totals), flush=True)
    return good


def alone(
    name: str, command: list[str], counts: dict[str, int], failed: list[str]
) -> tuple[bool, dict[str, int]]:
    """The few that failed, run again by themselves: a race that a busy machine loses is told from
    a fault, and named, so that somebody mends it."""
    again, output = run(f"{name}, what failed, alone", *command, "--last-failed")
    if not again or counted(output, again)["passed"] < len(failed):
        return False, counts
    for test in failed:
        print(f"UNSTEADY: failed among others and passed alone: {test}", flush=True)
    return True, {**counts, "passed": counts["passed"] + len(failed), "failed": 0}


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


def total_line(totals: dict[str, int]) -> str:
    return "{passed} passed, {failed} failed, {skipped} skipped".format(**totals)


def prepare() -> None:
    """What tests need beside Python; says so where it cannot be had."""
    scripts = ("tests/nat/install.sh", "tests/engines/install_speech.sh", "tests/mesh/install.sh")
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
        print(f"skipped although it could run here: {line}", flush=True)
    return not bad


def main() -> int:
    what = sys.argv[1] if len(sys.argv) > 1 else "test"
    if what not in ("lint", "test", "soak"):
        print(__doc__)
        return 2
    good = lint()
    if what != "lint" and good:
        good = tests(soak=what == "soak")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
