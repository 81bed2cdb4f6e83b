"""The program that runs the tests: what it makes of floors side by side, of a test that loses a
race, of a fault, and of Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
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
MEETING = """
import sys, time
from pathlib import Path

mine, other = map(Path, sys.argv[1:])
mine.touch()
deadline = time.monotonic() + 20
while not other.exists():
    if time.monotonic() > deadline:
        sys.exit("nobody came")
    time.sleep(0.01)
"""


@pytest.fixture(autouse=True)
def plain_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plugins that are installed, which take a second to load, and without what this
    run was told."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)


def ran(folder: Path, *options: str) -> tuple[check.Result, check.Counts]:
    """What `check` makes of the tests in `folder`, of which some fail."""
    command = ["python", "-m", "pytest", "-q", "-rf", "-c", "/dev/null", "--rootdir", str(folder)]
    command += ["-p", "xdist.plugin"]  # of the plugins that are installed only this one
    commands = check.Commands()
    result = commands.run(check.Step("floor", (*command, *options, str(folder))))
    assert not result.good
    return check.again(commands, result)


def test_a_race_that_is_lost_once_is_named_and_fails_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_it.py").write_text(RACE)
    result, counts = ran(tmp_path, "-n", "1", "--dist", "loadfile")
    assert counts == {"passed": 2, "failed": 0, "skipped": 0}
    assert check.summed_up([(result, counts)])
    (named,) = [line for line in capsys.readouterr().out.splitlines() if "UNSTEADY" in line]
    assert named.endswith("test_it.py::test_race")


def test_a_fault_fails_again(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(RACE + FAULT)
    result, counts = ran(tmp_path)
    assert counts["failed"] == 2
    assert not check.summed_up([(result, counts)])


def test_a_run_that_a_test_ends_with_0_has_failed(tmp_path: Path) -> None:
    """A node in the tests' own process ended it: "0 passed", and everything counted as well."""
    (tmp_path / "test_it.py").write_text("import os\ndef test_end():\n    os._exit(0)\n")
    result, counts = ran(tmp_path)
    assert counts["failed"] == 1 and not check.summed_up([(result, counts)])


def test_failures_are_named_whole_and_each_once() -> None:
    output = "FAILED a.py::t[x y] - Error: no\nERROR b.py::u - X\nERROR b.py::u\n1 failed, 1 error"
    assert check.failures(output) == ["a.py::t[x y]", "b.py::u"]


def test_lanes_run_side_by_side_and_a_step_is_a_line_unless_it_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    lanes = (
        (
            check.Step("one", ("python", "-c", MEETING, one, two)),
            check.Step("bad", ("python", "-c", "print('the reason'); raise SystemExit(1)")),
        ),
        (check.Step("two", ("python", "-c", MEETING, two, one)),),
    )
    results = check.Commands().beside(lanes)
    assert {result.step.name: result.good for result in results} == {
        "one": True, "bad": False, "two": True
    }  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert sorted(line.partition(" (")[0] for line in said) == [
        "== bad said:", "== bad: FAILED", "== one: ok", "== two: ok", "the reason",
    ]  # fmt: skip
    assert said.index("the reason") == said.index("== bad said:") + 1


def test_a_step_that_stands_back_runs_behind_the_others() -> None:
    said = check.Step("nice", ("python", "-c", "import os; print(os.nice(0))"), nice=7)
    at = int(check.Commands().run(said).output) - os.nice(0)
    assert at == min(7, 19 - os.nice(0))


def test_a_floor_tells_how_many_passed_and_what_was_skipped(
    capsys: pytest.CaptureFixture[str],
) -> None:
    floor = check.floor("nat")
    output = "..s\nSKIPPED [1] a.py: no root\n2 passed, 1 skipped in 3.10s\n"
    check.tell(check.Result(floor, True, output, 3.1))
    assert capsys.readouterr().out.splitlines() == [
        "SKIPPED [1] a.py: no root",
        "== tests/nat: 2 passed, 0 failed, 1 skipped, ok (3 s)",
    ]


def test_every_test_but_those_of_soak_is_in_one_step() -> None:
    steps = [step for lane in check.LANES for step in lane]
    floors = {path.parent.name for path in (check.ROOT / "tests").glob("*/test_*.py")}
    floors -= {"browser", "image"}  # of which all is for the soak
    assert sorted(step.command[-1] for step in steps) == sorted(f"tests/{name}" for name in floors)
    for step in steps:
        assert "not soak and not quiet" in step.command
    last = [word for lane in check.LAST for step in lane for word in step.command]
    assert "quiet and not soak" in last
    for path in (check.ROOT / "tests").glob("*/test_*.py"):
        quiet = "mark.quiet" in path.read_text() and path.name != Path(__file__).name
        assert last.count(str(path.relative_to(check.ROOT))) == quiet, path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_every_floor_and_what_it_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    holds = textwrap.dedent(f"""
        import subprocess, sys
        from pathlib import Path
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        Path({str(tmp_path)!r}, sys.argv[1]).write_text(str(child.pid))
        child.wait()
    """)
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(check.ROOT / "tests")!r})
        import check
        step = lambda name: check.Step(name, ("python", "-c", {holds!r}, name))
        lanes = [[step("one"), step("next")], [step("two")]]
        check.lint = lambda commands, steps: commands.beside(lanes)
        sys.argv[1:] = ["lint"]
        sys.exit(check.main())
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = [psutil.Process(int(_text_of(tmp_path / name))) for name in ("one", "two")]
    process.send_signal(number)
    said, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert said.splitlines() == ["ended"] and not errors
    assert not psutil.wait_procs(children, timeout=1)[1]
    assert not (tmp_path / "next").exists()


def _text_of(path: Path) -> str:
    """What is in a file, once it is there."""
    deadline = time.monotonic() + 20
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return path.read_text()


def test_whose_tests_go_to_any_worker_share_nothing() -> None:
    """A mesh that a file's tests share would be built again by each worker."""
    text = (check.ROOT / "tests/mesh/conftest.py").read_text()
    alone = re.findall(r'"(test_\w+\.py)",', text.partition("ALONE = {")[2].partition("}")[0])
    assert len(alone) > 5
    for name in alone:
        assert 'scope="' not in (check.ROOT / "tests/mesh" / name).read_text(), name


def test_the_files_that_are_begun_first_are_there() -> None:
    text = (check.ROOT / "tests/mesh/conftest.py").read_text()
    named = set(re.findall(r'"(test_\w+\.py)",', text))
    assert named <= {path.name for path in (check.ROOT / "tests/mesh").glob("test_*.py")}
