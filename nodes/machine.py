"""The state of the machine: its time, its battery, and the load by other programs.

battery     Linux: /sys/class/power_supply, without the batteries of mice and keyboards;
            elsewhere: psutil
load        psutil: all processors' busy time, less that of this node and its child processes
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from nodes.lending_hours import Local

POWER_SUPPLIES = Path("/sys/class/power_supply")  # Linux
PLUGS = ("Mains", "USB")  # types of supplies that are plugged in
PLUGGED_IN = ("1", "2")  # at a fixed voltage, at one that is negotiated (USB PD)


def on_battery(supplies: Path = POWER_SUPPLIES) -> bool:
    """Whether this machine runs on battery now."""
    try:
        kinds = [(_word(supply / "type"), supply) for supply in sorted(supplies.iterdir())]
    except OSError:  # not Linux, or a Linux that does not list its supplies
        return _psutil_on_battery()
    if any(kind in PLUGS and _word(supply / "online") in PLUGGED_IN for kind, supply in kinds):
        return False
    return any(
        kind == "Battery"
        and _word(supply / "scope") != "Device"  # a mouse's
        and _word(supply / "status") == "Discharging"
        for kind, supply in kinds
    )


def _psutil_on_battery() -> bool:
    try:
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    except OSError:  # in some containers and virtual machines
        return False
    return battery is not None and battery.power_plugged is False


def _word(file: Path) -> str:
    try:
        return file.read_text("ascii", "replace").strip()
    except OSError:  # there is no such file, or the supply was unplugged just now
        return ""


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds of processor time since some moment."""

    all: float  # of all programs
    own: float  # of this node's processes
    at: float  # seconds of wall time


def cpu_times() -> CpuTimes:
    """The processor times until now."""
    times = psutil.cpu_times()
    busy = (
        times.user + times.system + sum(getattr(times, n, 0.0) for n in ("nice", "irq", "softirq"))
    )
    me = psutil.Process()
    own = _used(me)
    for process in me.children(recursive=True):
        try:
            own += _used(process)
        except psutil.Error:  # it has just ended: its parent's times include it from now on
            continue
    return CpuTimes(busy, own, time.monotonic())


def _used(process: psutil.Process) -> float:
    """Processor time of a process, and of its children that have ended."""
    times = process.cpu_times()
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended)


class OtherPrograms:
    """Measures the share of the processors that other programs use.

    Args:
        read: returns the times until now.
        cores: how many the machine has.
    """

    def __init__(
        self, read: Callable[[], CpuTimes] = cpu_times, cores: int = os.cpu_count() or 1
    ) -> None:
        self._read, self._cores = read, cores
        self._last = read()

    def share(self) -> tuple[float, float]:
        """The share since the last call, 0 to 1, and the seconds since then."""
        before, now = self._last, self._read()
        self._last = now
        seconds = now.at - before.at
        if seconds <= 0:
            return 0.0, 0.0
        others = (now.all - before.all) - max(0.0, now.own - before.own)
        return min(1.0, max(0.0, others / (self._cores * seconds))), seconds


def local_time(now: float) -> datetime:
    """Local time."""
    return datetime.fromtimestamp(now, UTC).astimezone()


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine, as far as a lender needs it."""

    clock: Callable[[], float] = time.time  # seconds since the epoch
    local: Local = local_time
    on_battery: Callable[[], bool] = on_battery
    cpu_times: Callable[[], CpuTimes] = cpu_times
