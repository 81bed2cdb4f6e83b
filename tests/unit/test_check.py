"""The program that runs the tests: what it makes of a test that loses a race, and of a fault."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import check

RACE = """
from pathlib import Path

def test_steady():
    pass

def test_race(tmp_path_factory):
    seen = Path(__file__).with_name("seen")
    if not seen.exists():
        seen.touch()
        raise AssertionError("lost")
"""
FAULT = "def test_fault():\n    raise AssertionError('always')\n"


def ran(folder: Path) -> tuple[bool, dict[str, int]]:
    """What `check` makes of the tests in `folder`."""
    command = ["python", "-m", "pytest", "-q", "-rf", "-c", "/dev/null", "--rootdir", str(folder)]
    command += [str(folder)]
    good, output = check.run("floor", *command)
    counts = check.counted(output, good)
    assert not good
    return check.alone("floor", command, counts, check.failures(output))


def test_a_race_that_is_lost_once_is_named_and_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_it.py").write_text(RACE)
    good, counts = ran(tmp_path)
    assert good
    assert counts == {"passed": 2, "failed": 0, "skipped": 0}
    (named,) = [line for line in capsys.readouterr().out.splitlines() if "UNSTEADY" in line]
    assert named.endswith("test_it.py::test_race")


def test_a_fault_fails_again(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(RACE + FAULT)
    good, counts = ran(tmp_path)
    assert not good
    assert counts["failed"] == 2


def test_failures_are_named_whole_and_each_once() -> None:
    output = "FAILED a.py::t[x y] - Error: no\nERROR b.py::u - X\nERROR b.py::u\n1 failed, 1 error"
    assert check.failures(output) == ["a.py::t[x y]", "b.py::u"]
