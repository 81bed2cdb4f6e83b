"""What `make coverage` makes of the lines that were not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from coverage import CoverageData

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import covered
from covered import Module


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((), ""), ((3,), "3"), ((3, 4), "3-4"), ((3, 4, 5, 9), "3-5, 9"), ((1, 3, 5), "1, 3, 5")],
)
def test_lines_that_follow_one_another_are_said_as_one_span(
    numbers: tuple[int, ...], said: str
) -> None:
    assert covered.spans(numbers) == said


def test_a_module_has_the_share_of_its_lines_that_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Module("a.py", 8, (2, 3)).share == 75.0
    assert Module("empty.py", 0, ()).share == 100.0
    assert Module("a.py", 8, ()).floor == covered.FLOOR
    monkeypatch.setitem(covered.LOWER, "a.py", (50.0, "the rest needs a GPU"))
    assert Module("a.py", 8, ()).floor == 50.0


def test_each_floor_is_run_once_with_its_own_number_of_workers_and_every_user_may_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program had run that became another user was lost, and its test failed."""
    data, runs = tmp_path / "data", []

    def noted(*arguments: str, env: dict[str, str] | None = None) -> None:
        if arguments[0] == "run":
            runs.append((arguments[arguments.index("-n") + 1], arguments[-1]))
            assert data.stat().st_mode & 0o7777 == 0o1777
            assert env is not None and str(covered.ROOT) in env["PYTHONPATH"]

    monkeypatch.setattr(covered, "DATA", data)
    monkeypatch.setattr(covered, "coverage", noted)
    covered.run(["tests/unit", "tests/mesh/test_a.py", "tests/mesh/test_b.py"])
    assert runs == [("6", "tests/mesh/test_b.py"), ("3", "tests/unit")]


WORKER = """
import os, signal
from privox_dht import backoff

signal.raise_signal(signal.SIGALRM)  # it tells of itself
if copy := os.fork():
    os.waitpid(copy, 0)
else:
    backoff.backoff(0, 1.0, 60.0, None)
    backoff.backoff(3, 1.0, 60.0, None)
os._exit(0)
"""


WAITING = """
import signal, sys, time
from privox_dht import backoff

signal.setitimer(signal.ITIMER_REAL, 0)
signal.raise_signal(signal.SIGALRM)  # it tells of itself
began = time.process_time()
for _ in range(2_000):
    signal.raise_signal(signal.SIGALRM)
print(time.process_time() - began)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)  # the next alarm comes while this one tells
for number in range(2_000):
    backoff.backoff(number % 8, 1.0, 60.0, None)
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def run_worker(folder: str, program: str) -> str:
    """What a worker prints that runs this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    env = {**kept, "PYTHONPATH": f"{folder}:{covered.ROOT}", "PRIVOX_WORKER_PARENT": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=env, check=True, stdout=subprocess.PIPE, timeout=50
    )
    return ran.stdout.decode()


def test_a_worker_that_waits_is_not_kept_busy_and_one_that_works_does_not_wait_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dozens of idle ones took a whole processor between them. One that was told to tell while it
    told hung until its test gave it up."""
    monkeypatch.setattr(covered, "DATA", tmp_path)
    with covered.told_by_workers() as folder:
        assert float(run_worker(folder, WAITING)) < 0.5  # 0.1 s; it was 10 s


@pytest.mark.skipif(sys.platform != "linux", reason="workers copy themselves on Linux only")
def test_what_a_copy_of_a_worker_runs_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy ran fewer lines than the worker had told before, and so it told none."""
    monkeypatch.setattr(covered, "DATA", tmp_path)
    with covered.told_by_workers() as folder:
        run_worker(folder, WORKER)
    told = CoverageData(str(tmp_path / ".coverage.workers"))
    told.read()
    file = covered.ROOT / "privox_dht/backoff.py"
    returns = [n for n, line in enumerate(file.read_text().splitlines(), 1) if " return " in line]
    lines = told.lines(str(file)) or ()
    told.close()
    assert returns and set(returns) <= set(lines)
