"""The owner's terms kept: what is counted, kept over restarts, and told to the owner alone."""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nodes import lender as lender_module
from nodes import pause
from nodes.lender import LENDING_FILE, TRANSFER_FILE, Lender, LendingState, read_lending_state
from nodes.lending import LendingTerms, Pause
from nodes.lending_hours import parse_hours
from nodes.machine import CpuTimes, Machine, local_time
from privox_dht import limits
from privox_dht.errors import ProducerBusy
from privox_dht.http.request_limits import RequestLimits
from privox_dht.offer import Offer
from privox_dht.quotas import quota_prefixes
from privox_dht.speech import STT, TTS

HOME, OTHER = quota_prefixes("20.1.1.1"), quota_prefixes("20.2.2.2")
SMALL = RequestLimits(upload=1000, json=1000)


@dataclass
class World:
    """A clock, a battery, and what the lender said last."""

    folder: Path
    now: float = 1_795_000_000.0
    battery: bool = False
    lent: list[tuple[int, float]] = field(default_factory=list)

    def lender(self, **terms: Any) -> Lender:
        """A node that starts."""
        machine = Machine(clock=lambda: self.now, on_battery=lambda: self.battery)
        made = Lender(LendingTerms(**terms), 2, self.folder, SMALL, machine=machine)
        self.look(made)
        return made

    def look(self, lender: Lender) -> None:
        """What it lends now."""
        self.lent.append(lender.look())

    @property
    def slots(self) -> int:
        return self.lent[-1][0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def job(lender: Lender, service: str, received: int, sent: int, **more: Any) -> None:
    """One, from its slot to its end."""
    offer = Offer(**more)
    lender.check(offer)
    with lender.counting(service, offer):
        offer.received, offer.sent = received, sent


def test_what_jobs_carried_is_known_after_a_restart(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWER", 100)
    lender = world.lender(transfer=5000)
    job(lender, STT, 900, 100)
    job(lender, STT, 2000, 0)
    lender.close()
    assert list(json.loads((world.folder / TRANSFER_FILE).read_text()).values()) == [3000]
    again = world.lender(transfer=5000)
    assert world.slots == 2
    job(again, STT, 1990, 10)
    world.look(again)
    assert world.slots == 0
    world.now += 32 * 86_400
    world.look(again)
    assert world.slots == 2, "the next month"


def test_a_broken_account_begins_anew(world: World) -> None:
    (world.folder / TRANSFER_FILE).write_text("{broken")
    lender = world.lender(transfer=10**12)
    job(lender, STT, 1, 1)
    lender.close()
    assert list(json.loads((world.folder / TRANSFER_FILE).read_text()).values()) == [2]


def test_nothing_begins_that_could_pass_the_cap_by_two_jobs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWER", 100)
    lender = world.lender(transfer=1500)
    with ExitStack() as running:
        running.enter_context(lender.counting(STT, Offer(body=900)))
        world.look(lender)
        assert world.slots == 2
        running.enter_context(lender.counting(STT, Offer()))  # of any length up to the bound
        world.look(lender)
        assert world.lent[-1] == (0, limits.RETRY_AFTER)
    world.look(lender)
    assert world.slots == 2


def test_the_owners_own_jobs_are_not_counted(world: World) -> None:
    lender = world.lender(transfer=10**9, address_seconds=10)
    job(lender, TTS, 5, 5, own=True, seconds=1000.0, prefixes=HOME)
    job(lender, TTS, 0, 0, prefixes=HOME)
    lender.close()
    assert sum(json.loads((world.folder / TRANSFER_FILE).read_text()).values()) == 0


def test_a_network_that_has_brought_its_hour_is_told_when_to_come_back(world: World) -> None:
    lender = world.lender(address_seconds=60)
    job(lender, STT, 0, 0, prefixes=HOME, seconds=90.0)
    with pytest.raises(ProducerBusy) as told:
        lender.check(Offer(HOME))
    lender.check(Offer(OTHER))
    lender.check(Offer(()))
    world.now += told.value.retry_after
    lender.check(Offer(HOME))


def test_the_battery_and_the_pause_are_looked_at_when_it_starts(world: World) -> None:
    world.battery = True
    world.lender()
    assert world.lent == [(0, limits.NOT_LENT_RETRY)]
    world.lender(on_battery=True)
    assert world.slots == 2
    pause.write(world.folder, Pause(world.now + 90))
    world.lender(on_battery=True)
    assert world.lent[-1] == (0, 90.0)


def test_a_pause_that_is_over_is_forgotten(world: World) -> None:
    pause.write(world.folder, Pause(world.now - 1))
    world.lender()
    assert world.slots == 2
    assert pause.read(world.folder) is None


@pytest.mark.parametrize("text", ["", "[]", '{"until": "x"}', "{}", "\xff"])
def test_a_pause_that_nobody_understands_has_no_end(tmp_path: Path, text: str) -> None:
    (tmp_path / pause.PAUSE_FILE).write_text(text)
    assert pause.read(tmp_path) == Pause()


def test_the_owner_is_told_why_and_others_are_not(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "privox.node")
    lender = world.lender(hours=parse_hours(["00:00-24:00"]))
    assert read_lending_state(world.folder) == LendingState(2, 2)
    assert not caplog.records, "that it lends is no news"
    world.battery = True
    lender.refresh()
    world.look(lender)
    world.look(lender)
    state = read_lending_state(world.folder)
    assert state is not None and not state.slots and "battery" in state.why
    assert str(state) == "does not lend: on battery (--on-battery lends then, too)"
    assert len(caplog.records) == 1
    assert (world.folder / LENDING_FILE).stat().st_mode & 0o077 == 0
    lender.close()
    assert read_lending_state(world.folder) is None


def test_the_time_until_which_it_does_not_lend_is_told_as_people_say_it(world: World) -> None:
    now = time.time()
    soon, later = now + 3600, now + 3 * 86_400
    for until, words in ((soon, f"{local_time(soon):%H:%M}"), (later, f"{local_time(later):%a}")):
        assert f", until {words}" in str(LendingState(0, 2, "paused", until))


def test_a_folder_that_takes_no_file_ends_nothing(
    world: World, small_files: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The disk is full: the node lends all the same, and says so."""
    caplog.set_level(logging.WARNING, "privox.node")
    with small_files():
        lender = world.lender(transfer=10**12)
        job(lender, STT, 1, 1)
        lender.save()
    assert "cannot write" in caplog.text
    lender.close()
    assert sum(json.loads((world.folder / TRANSFER_FILE).read_text()).values()) == 2


async def test_while_others_work_less_is_lent_and_all_when_they_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop itself, at a hundred times its pace; each look is about five seconds of load."""
    monkeypatch.setattr(lender_module, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(lender_module, "LOAD_EVERY", 0.0)
    cores, busy, told = os.cpu_count() or 1, [1.0], [CpuTimes(0.0, 0.0, 0.0)]

    def read() -> CpuTimes:
        last = told[-1]
        told.append(CpuTimes(last.all + 5 * cores * busy[0], last.own, last.at + 5))
        return told[-1]

    machine = Machine(clock=lambda: world.now, on_battery=lambda: False, cpu_times=read)
    lender = Lender(LendingTerms(give_way=True), 2, world.folder, SMALL, machine=machine)
    world.look(lender)
    assert world.slots == 2
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            lender.run(lambda slots, retry_after: world.lent.append((slots, retry_after)))
        )
        while world.slots:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        state = read_lending_state(world.folder)
        assert state is not None and "other programs keep this machine busy" in state.why
        busy[0] = 0.0
        while world.slots < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.cancel()
