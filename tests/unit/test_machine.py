"""What a machine says of its battery and its load."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nodes.machine import CpuTimes, OtherPrograms, cpu_times, on_battery

AC = {"type": "Mains", "online": "1"}
OFF = {"type": "Mains", "online": "0"}
CELL = {"type": "Battery", "scope": "System", "status": "Discharging"}
FULL = {"type": "Battery", "status": "Full"}
MOUSE = {"type": "Battery", "scope": "Device", "status": "Discharging"}
PORT = {"type": "USB", "online": "0"}


@pytest.mark.parametrize(
    ("supplies", "expected"),
    [
        ({}, False),
        ({"AC": AC, "BAT0": FULL}, False),
        ({"AC": OFF, "BAT0": CELL}, True),
        ({"AC": AC, "BAT0": CELL}, False),
        ({"BAT0": CELL}, True),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"hidpp_battery_0": MOUSE}, False),  # psutil takes this desktop for a laptop on battery
        ({"AC": OFF, "BAT0": FULL, "BAT1": CELL}, True),
        ({"ucsi-source-psy-1": {**PORT, "online": "1"}, "BAT0": CELL}, False),
        ({"ucsi-source-psy-1": {**PORT, "online": "2"}, "BAT0": CELL}, False),
        ({"ucsi-source-psy-1": PORT, "BAT0": CELL}, True),
        ({"strange": {}}, False),
    ],
)
def test_a_machine_is_on_battery_or_not(
    tmp_path: Path, supplies: dict[str, dict[str, str]], expected: bool
) -> None:
    for name, files in supplies.items():
        (tmp_path / name).mkdir()
        for file, word in files.items():
            (tmp_path / name / file).write_text(f"{word}\n")
    assert on_battery(tmp_path) is expected


def test_where_the_system_lists_no_supplies_psutil_is_asked(tmp_path: Path) -> None:
    assert on_battery(tmp_path / "none") in (True, False)


def test_a_machine_that_tells_nothing_of_its_supplies_is_not_on_battery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_there() -> None:  # psutil, in a container without /sys/class/power_supply
        raise FileNotFoundError

    monkeypatch.setattr(psutil, "sensors_battery", nothing_there, raising=False)
    assert on_battery(tmp_path / "none") is False


def test_what_others_use_is_what_all_use_less_our_own() -> None:
    told = iter([CpuTimes(100, 10, 0), CpuTimes(106, 12, 1), CpuTimes(109, 15, 2),
                 CpuTimes(110, 5, 3), CpuTimes(200, 5, 4), CpuTimes(200, 5, 4)])  # fmt: skip
    others = OtherPrograms(lambda: next(told), cores=8)
    assert others.share() == (0.5, 1)
    assert others.share() == (0.0, 1)
    assert others.share() == (0.125, 1), "a worker that ended unseen takes nothing back"
    assert others.share() == (1.0, 1)
    assert others.share() == (0.0, 0.0), "no time has passed"


def test_a_child_that_works_counts_as_ours_while_it_runs_and_when_it_has_ended() -> None:
    before = cpu_times()
    code = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        running = cpu_times()
        child.communicate(b"\n")
    ended = cpu_times()
    assert running.own - before.own >= 0.45
    assert ended.own >= running.own - 0.05
    assert ended.all - before.all >= 0.4
