"""What a node's owner is told of where it stands."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from kit import until

from nodes import reachability_report
from nodes.config import NodeConfig
from nodes.reachability_report import ReachabilityReport, clock_advice
from nodes.routes import NetworkState, advice
from nodes.service_spec import parse_service

HOME = NetworkState(5678, observed=("198.51.100.7",), local=("192.168.1.10",), reachable=False)
PARKED = replace(HOME, farms=(b"f" * 32,))
LENDS = NodeConfig(Path("nowhere"), services=(parse_service("tts/cpu/echo"),))


class Owner:
    """A report, what it says from, and what was logged."""

    def __init__(self, config: NodeConfig, log: pytest.LogCaptureFixture) -> None:
        log.set_level(logging.INFO)
        self._log = log
        self.now, self.is_joined = HOME, True
        self.report = ReachabilityReport(config, lambda: self.now, lambda: self.is_joined)

    def heard(self) -> list[str]:
        """What was logged since it was last asked."""
        lines = [record.getMessage() for record in self._log.records]
        self._log.clear()
        return lines


@pytest.fixture
def owner(caplog: pytest.LogCaptureFixture) -> Owner:
    return Owner(LENDS, caplog)


def test_that_udp_is_blocked_is_told_when_it_begins_and_when_it_ends(owner: Owner) -> None:
    owner.report.transport("")
    assert owner.heard() == []
    for _ in range(2):
        owner.report.transport("https://20.1.1.1:5678")
    (told,) = owner.heard()
    assert told.startswith("UDP IS BLOCKED HERE") and "https://20.1.1.1:5678" in told
    assert owner.report.wrong == (told,)
    for _ in range(2):
        owner.report.transport("")
    assert owner.heard() == ["UDP works again"] and not owner.report.wrong


@pytest.mark.parametrize(("ahead", "told"), [(0.0, ""), (-10.0, ""), (3600.0, "+3600 s"),
                                             (-11.0, "-11 s")])  # fmt: skip
def test_a_wrong_clock_is_told_with_what_to_do(ahead: float, told: str) -> None:
    said = clock_advice(ahead)
    assert bool(said) is bool(told) and told in said
    assert not said or "timedatectl" in said


def test_a_clock_is_wrong_until_neighbours_say_that_it_is_right(owner: Owner) -> None:
    owner.report.clock(3600.0)
    owner.report.clock(None)
    assert len(owner.report.wrong) == 1
    owner.report.clock(0.1)
    assert not owner.report.wrong


async def test_a_producer_is_told_that_nobody_can_reach_it_if_it_did_not_park_in_time(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability_report, "PARKING_GRACE", 0.0)
    owner.report.routes(HOME)
    assert not owner.report.wrong, "it may be parked in a moment"
    await until(lambda: owner.report.wrong)
    owner.report.routes(PARKED)
    assert not owner.report.wrong
    owner.report.routes(HOME)
    owner.now = PARKED
    await until(lambda: owner.report._routes_timer is None)
    assert not owner.report.wrong
    owner.report.close()


async def test_that_it_is_for_another_reason_is_told_at_once(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability_report, "PARKING_GRACE", 0.0)
    owner.report.routes(HOME)
    await until(lambda: owner.report.wrong)
    assert "no farm to relay" in owner.report.wrong[0]
    owner.report.routes(replace(HOME, farm_failures=("20.1.1.1:1776 refuses: it has no room",)))
    assert "20.1.1.1:1776 refuses" in owner.report.wrong[0]


async def test_by_a_wrong_clock_it_is_not_told_that_there_is_no_farm(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The farm's record looked expired, and its owner was told to run one."""
    monkeypatch.setattr(reachability_report, "PARKING_GRACE", 0.0)
    owner.report.clock(3600.0)
    owner.report.routes(HOME)
    assert owner.report._routes_timer is None and len(owner.report.wrong) == 1
    owner.report.clock(0.0)
    owner.report.routes(HOME)
    await until(lambda: owner.report.wrong)
    assert "NOBODY CAN REACH" in owner.report.wrong[0]


async def test_a_farm_that_nobody_can_reach_is_told_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner(NodeConfig(Path("nowhere"), farm=True), caplog)
    owner.report.routes(HOME)
    assert "THIS FARM" in owner.report.wrong[0]
    owner.is_joined = False  # nobody is there to say so
    owner.report.routes(HOME)
    assert not owner.report.wrong


async def test_a_node_that_lends_nothing_need_not_be_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner(NodeConfig(Path("nowhere")), caplog)
    owner.report.routes(HOME)
    assert owner.report._routes_timer is None and not owner.report.wrong


async def test_nothing_is_told_by_a_node_that_has_ended(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability_report, "PARKING_GRACE", 0.0)
    owner.report.routes(HOME)
    owner.report.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not owner.report.wrong


def test_what_strangers_see_is_told_when_it_is_something_else(owner: Owner) -> None:
    seen = replace(HOME, seen_by_any=("198.51.100.7",))
    for _ in range(2):
        owner.report.addresses(seen)
    assert len(owner.heard()) == 1
    owner.report.addresses(replace(seen, confirmed=("198.51.100.7",)))
    assert owner.heard() == ["strangers reach us at 198.51.100.7:5678"]


@pytest.mark.parametrize(
    ("farm_failures", "told"),
    [
        ((), "there is no farm to relay for it. Run one"),
        (("no connection to 20.1.1.1:1776: not in time",), "no connection to 20.1.1.1:1776"),
        (("20.1.1.1:1776 refuses: it has no room", "b"), "it has no room; b. Let TCP out"),
    ],
)
def test_why_no_farm_leads_to_a_producer_is_told(farm_failures: tuple[str, ...], told: str) -> None:
    said = advice(replace(HOME, farm_failures=farm_failures))
    assert told in said and "--advertise" in said and "port 5678" in said
