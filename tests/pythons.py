"""The unit and engine tests on every supported Python of this machine, and on the oldest of what
our bounds allow; and of the mesh what depends on how a Python begins and ends.

    python tests/pythons.py

    found         on the PATH and in pyenv's folder; of each minor version the newest
    this one      runs with the lowest version of each dependency (`make test` has the newest)
    the others    run with the newest
    not found     is said, by name: there it is not verified
    failed        a few that failed run once more, alone, when nothing else does; each is named

Each has its own virtual environment under .venv-pythons, filled from wheels alone: what needs a
compiler fails here. With CI=true at least one Python beside this one must have been found.
"""

import configparser
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from check import ROOT, UNSTEADY, Step, broke_off, counted, failures, total_line
from packaging.requirements import Requirement
from packaging.version import Version

FOLDER = ROOT / ".venv-pythons"
FLOORS = ("tests/unit", "tests/engines", "tests/mesh/test_sync.py", "tests/mesh/test_processes.py")
EXTRAS = "all,test"  # what is installed beside the package itself
AT_ONCE = 2  # runs side by side: each test process keeps about one core busy
ASK = "import sys, venv, ensurepip; print('.'.join(map(str, sys.version_info[:3])))"
MINE = f"{sys.version_info[0]}.{sys.version_info[1]}"
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
OLDEST, NEWEST = "oldest", "newest"


@dataclass(frozen=True, slots=True)
class Run:
    """One Python with one end of the bounds."""

    minor: str  # "3.12"
    python: str  # the program
    end: str  # OLDEST or NEWEST
    failed: list[str] = field(default_factory=list, compare=False)  # the tests that did

    def __str__(self) -> str:
        return f"Python {self.minor}, {self.end} dependencies"

    @property
    def venv(self) -> Path:
        return FOLDER / f"{self.minor}-{self.end}"


def supported() -> list[str]:
    """The minor versions that setup.cfg names."""
    named = [line.rpartition(":: ")[2] for line in SETUP["metadata"]["classifiers"].split("\n")]
    return [version for version in named if version.startswith("3.")]


def found(minor: str) -> str:
    """The newest program of this minor version on the machine; "" where there is none."""
    name = f"python{minor}"
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    beside = [str(path) for path in pyenv.glob(f"{minor}*/bin/{name}")]
    on_path = shutil.which(name, path=path_without_ours())
    versions = {}
    for program in [*beside, *([on_path] if on_path else [])]:
        asked = subprocess.run([program, "-c", ASK], capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.startswith(f"{minor}."):
            versions[program] = Version(asked.stdout.strip())
    return max(versions, key=lambda program: versions[program], default="")


def path_without_ours() -> str:
    """The PATH less the environment that runs this: what the machine itself has."""
    ours = str(Path(sys.executable).parent)
    parts = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(part for part in parts if part != ours)


def lowest(minor: str) -> list[str]:
    """Every dependency at the lower end of its bounds, as pip's constraints."""
    extras = SETUP["options.extras_require"]
    texts = [SETUP["options"]["install_requires"]]
    texts += [extras[name] for name in extras if name not in ("test", "dev")]
    lines = [line for text in texts for line in text.split("\n") if line]
    asked = [Requirement(line) for line in lines if not line.startswith("privox-dht[")]
    here = [r for r in asked if r.marker is None or r.marker.evaluate({"python_version": minor})]
    return sorted(
        f"{r.name}=={bound.version}"
        for r in here
        for bound in r.specifier
        if bound.operator == ">="
    )


def install(run: Run) -> None:
    """Fill the environment of `run`, unless it is there already.

    Raises:
        subprocess.CalledProcessError: something has no wheel, or cannot be had.
    """
    constraints = lowest(run.minor) if run.end == OLDEST else []
    state = f"{run.python} {constraints} {(ROOT / 'setup.cfg').read_text()}"
    stamp, now = run.venv / "installed", hashlib.sha256(state.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == now:
        return
    shutil.rmtree(run.venv, ignore_errors=True)
    quietly(run.python, "-m", "venv", str(run.venv))
    (run.venv / "constraints.txt").write_text("\n".join(constraints))
    quietly(
        str(run.venv / "bin/python"), "-m", "pip", "install", "--quiet",
        "--disable-pip-version-check", "--only-binary", ":all:",
        "--constraint", str(run.venv / "constraints.txt"), "--editable", f"{ROOT}[{EXTRAS}]",
    )  # fmt: skip
    stamp.write_text(now)


def quietly(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)


def tests(run: Run, installing: threading.Lock) -> dict[str, int]:
    """Install and run; what passed, failed and was skipped."""
    began = time.monotonic()
    try:
        with installing:  # pip writes about the package into this folder
            install(run)
    except subprocess.CalledProcessError as exc:
        print(f"== {run}: CANNOT BE INSTALLED\n{exc.stdout}{exc.stderr}", flush=True)
        return {"passed": 0, "failed": 1, "skipped": 0}
    ran = pytest(run)
    counts = counted(ran.stdout, ran.returncode == 0)
    if ran.returncode:
        print(ran.stdout)
    verdict = "FAILED" if ran.returncode else "ok"
    took = time.monotonic() - began
    print(f"== {run}: {verdict}, {counts['passed']} passed ({took:.0f} s)", flush=True)
    run.failed.extend(failures(ran.stdout))
    return counts


def pytest(run: Run, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{run.venv / 'bin'}{os.pathsep}{path_without_ours()}"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # as in check.py
    cache = f"cache_dir={run.venv / 'pytest_cache'}"
    command = (str(run.venv / "bin/python"), "-m", "pytest", "-q", "-m", "not soak", "-o", cache,
               *options, *FLOORS)  # fmt: skip
    ran = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    )
    ran.returncode = ran.returncode or int(broke_off(Step(str(run), command), ran.stdout))
    return ran


def again(run: Run, counts: dict[str, int]) -> dict[str, int]:
    """The few that failed, once more by themselves, as check.py does it."""
    failed = run.failed
    if not failed or counts["failed"] > UNSTEADY:
        return counts
    print(f"== {run}: what failed, alone", flush=True)
    second = pytest(run, "--last-failed")
    print(second.stdout, flush=True)
    passed = counted(second.stdout, second.returncode == 0)["passed"]
    if second.returncode or passed < len(failed):
        return counts
    for test in failed:
        print(f"UNSTEADY: failed among others and passed alone: {test}", flush=True)
    return {**counts, "passed": counts["passed"] + len(failed), "failed": 0}


def main() -> int:
    programs = {minor: found(minor) for minor in supported()}
    programs[MINE] = programs.get(MINE) or sys.executable
    runs = [
        Run(minor, python, OLDEST if minor == MINE else NEWEST)
        for minor, python in programs.items()
        if python
    ]
    for run in runs:
        print(f"== {run}: {run.python}", flush=True)
    for minor in [minor for minor, python in programs.items() if not python]:
        print(f"== Python {minor}: not found here, so NOT VERIFIED", flush=True)
    installing = threading.Lock()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda run: tests(run, installing), runs))
    results = [again(run, counts) for run, counts in zip(runs, results, strict=True)]
    totals = {word: sum(counts[word] for counts in results) for word in results[0]}
    alone = len(runs) < 2
    if alone:
        print(f"no Python beside {MINE} was found; pyenv or the system's packages have others")
    print(total_line(totals), flush=True)
    return 1 if totals["failed"] or (alone and os.environ.get("CI")) else 0


if __name__ == "__main__":
    sys.exit(main())
