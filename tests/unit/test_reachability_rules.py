"""When a node checks its reachability again, and what follows from the results."""

import pytest

from nodes.reachability_rules import (
    CheckSchedule,
    DialBackResults,
    at_farm_port,
    describe,
    has_closed,
    has_new_address,
    has_slept,
    with_dial_backs,
)
from nodes.routes import NetworkState, farm_advice, routes
from privox_dht.dht import Reachability
from privox_dht.dht.wire import FAMILY_4, FAMILY_6
from privox_dht.records import Direct

OLD, NEW, SIX = ("20.1.1.1", 5678), ("20.2.2.2", 5678), ("2600::1", 5678)
OPEN = Reachability(FAMILY_4, True, True, (NEW,), witnesses=2)
OPEN_6 = Reachability(FAMILY_6, True, True, (SIX,), witnesses=2)
BY_ONE = Reachability(FAMILY_4, True, True, (NEW,), witnesses=1)
DISPUTED = Reachability(FAMILY_4, True, True, (OLD, NEW), witnesses=2)
SHUT = Reachability(FAMILY_4, False, False, (NEW,), witnesses=2)
UNKNOWN, UNKNOWN_6 = Reachability(FAMILY_4), Reachability(FAMILY_6)
HERE = NetworkState(5678, observed=("20.2.2.2",))


@pytest.mark.parametrize(
    ("found", "seen", "seconds"),
    [
        ([OPEN], ["20.2.2.2"], 120.0),
        ([SHUT], ["20.2.2.2"], 120.0),
        ([BY_ONE], ["20.2.2.2"], 30.0),
        ([DISPUTED], ["20.1.1.1", "20.2.2.2"], 30.0),
        ([DISPUTED, OPEN_6], ["20.1.1.1", "2600::1"], 30.0),
        ([BY_ONE, OPEN_6], ["20.2.2.2", "2600::1"], 120.0),
        ([BY_ONE, UNKNOWN_6], ["20.2.2.2"], 30.0),  # where nobody sees us there is nobody to try
        ([BY_ONE, UNKNOWN_6], ["20.2.2.2", "2600::1"], 1.0),
        ([UNKNOWN], [], 1.0),
        ([], [], 1.0),
    ],
)
def test_the_less_is_known_the_sooner_the_next_check(
    found: list[Reachability], seen: list[str], seconds: float
) -> None:
    """A first node that was restarted published its IPv4 door alone for half a minute: who has IPv6
    alone found nobody to relay."""
    assert CheckSchedule().after(found, seen) == seconds


def test_checks_that_find_nothing_become_seldom_and_begin_anew_once_something_was_found() -> None:
    schedule = CheckSchedule()
    assert [schedule.after([UNKNOWN], []) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    schedule.after([OPEN], [])
    assert schedule.after([UNKNOWN], []) == 1.0


def test_a_stranger_who_sees_us_elsewhere_again_and_again_causes_no_check_each_time() -> None:
    """Whoever dials back does so six times at once: then nobody did any more, and the route that
    he could not take away by lying was taken back."""
    schedule, now, checks = CheckSchedule(), 100.0, 0
    while now < 160.0:
        now = schedule.after_new_address(now) + 0.1
        checks += 1
    assert checks == 11, "five at once, five when half a minute is over, and so on"
    assert schedule.after_new_address(500.0) == 500.0


@pytest.mark.parametrize(
    ("found", "seen", "news"),
    [
        ([], [], True),  # the first stranger has come
        ([UNKNOWN], ["20.2.2.2"], True),
        ([OPEN], ["20.2.2.2"], False),
        ([OPEN], ["20.2.2.2", "20.1.1.1"], True),
        ([SHUT], ["20.2.2.2"], False),
        ([SHUT, OPEN_6], ["20.2.2.2", "2600::1"], False),
        ([OPEN, UNKNOWN_6], ["20.2.2.2", "2600::1"], True),
        ([DISPUTED], ["20.1.1.1", "20.2.2.2"], False),
        ([OPEN], [], False),
    ],
)
def test_only_an_address_that_was_not_called_is_news(
    found: list[Reachability], seen: list[str], news: bool
) -> None:
    """A node that started was dialled seven times within half a second: each neighbour that saw it
    for the first time, during a check, was one more reason to check."""
    assert has_new_address(found, seen) is news


def test_only_a_pause_that_was_much_longer_than_meant_was_a_sleep() -> None:
    assert not has_slept(3.0) and not has_slept(12.9)
    assert has_slept(13.1)


def test_a_family_that_was_open_and_is_not_found_so_is_noticed() -> None:
    assert has_closed([OPEN], [SHUT]) and has_closed([OPEN, OPEN_6], [OPEN, UNKNOWN_6])
    assert not has_closed([OPEN], [DISPUTED]), "only at another address"
    assert not has_closed([SHUT], [SHUT]) and not has_closed([], [SHUT])


def test_where_nobody_can_say_what_was_open_is_believed_for_a_minute() -> None:
    """With every third datagram lost, a node that strangers reached was told every few seconds
    that nobody can reach it, and took its routes back."""
    results = DialBackResults()
    results.update([OPEN, UNKNOWN_6], 0.0)
    assert results.effective == [OPEN, UNKNOWN_6]
    results.update([UNKNOWN, OPEN_6], 50.0)
    assert results.effective == [OPEN, OPEN_6] and results.latest == [UNKNOWN, OPEN_6]
    results.update([UNKNOWN, UNKNOWN_6], 61.0)
    assert results.effective == [UNKNOWN, OPEN_6], "IPv4 was found open a minute ago"
    results.update([UNKNOWN, UNKNOWN_6], 62.0)
    assert results.effective == [UNKNOWN, OPEN_6]


def test_what_a_first_node_publishes_holds_until_somebody_has_tried() -> None:
    """A first node lost its IPv4 route for half a minute when only IPv6 was tried in time."""
    results = DialBackResults()
    results.assume([("20.1.2.3", 5678), ("192.168.1.2", 5678), ("2600::1", 5678)], 3600.0)
    results.update([UNKNOWN, UNKNOWN_6], 3601.0)
    assert [reach.addresses for reach in results.effective] == [
        (("20.1.2.3", 5678),), (("2600::1", 5678),)
    ]  # fmt: skip
    results.update([UNKNOWN, OPEN_6], 3602.0)
    assert results.effective[0].is_open and results.effective[1] == OPEN_6
    results.update([SHUT, OPEN_6], 3603.0)
    results.update([UNKNOWN, OPEN_6], 3604.0)
    assert results.effective == [UNKNOWN, OPEN_6]


def test_what_a_first_node_assumes_of_itself_is_believed_for_a_minute() -> None:
    results = DialBackResults()
    results.assume([("20.1.2.3", 5678)], 3600.0)
    results.update([UNKNOWN], 3660.0)
    assert results.effective[0].is_open
    results.update([UNKNOWN], 3661.0)
    assert results.effective == [UNKNOWN]


def test_what_is_private_is_not_assumed_to_be_reached() -> None:
    results = DialBackResults()
    results.assume([("192.168.1.2", 5678), ("fd00::1", 5678)], 0.0)
    results.update([UNKNOWN, UNKNOWN_6], 1.0)
    assert results.effective == [UNKNOWN, UNKNOWN_6]


def test_what_is_shut_or_open_elsewhere_is_believed_at_once() -> None:
    results = DialBackResults()
    results.update([OPEN], 0.0)
    results.update([DISPUTED], 1.0)
    assert results.effective == [DISPUTED]
    results.update([SHUT], 2.0)
    results.update([UNKNOWN], 3.0)
    assert results.effective == [UNKNOWN]


def test_while_two_called_different_addresses_both_are_published() -> None:
    """Nothing was, so that one liar of two, or one who still saw the old address, took a producer's
    direct route away."""
    both = with_dial_backs(HERE, [DISPUTED, OPEN_6])
    assert both.confirmed == ("20.1.1.1", "2600::1", "20.2.2.2"), "each family first"
    assert routes(both) == tuple(Direct(ip, 5678) for ip in both.confirmed)
    assert "strangers reach us at 20.1.1.1:5678, [2600::1]:5678, 20.2.2.2:5678" in describe(both)


@pytest.mark.parametrize(
    ("found", "called", "shut"),
    [([OPEN], ("20.2.2.2",), ""), ([SHUT], (), "4"), ([UNKNOWN], (), "")],
)
def test_only_where_both_came_through_we_can_be_called(
    found: list[Reachability], called: tuple[str, ...], shut: str
) -> None:
    state = with_dial_backs(HERE, found)
    assert (state.confirmed, state.shut) == (called, shut)


@pytest.mark.parametrize(
    ("node", "found", "reachable", "published"),
    [
        ([OPEN], None, True, True),  # nobody is to be asked: as the node
        ([OPEN], [OPEN], True, True),
        ([OPEN], [SHUT], False, False),  # its port alone is shut
        ([OPEN], [UNKNOWN], False, False),  # not found out yet
        ([], [], True, True),  # nobody could call the node either, and it is believed all the same
    ],
)
def test_a_farm_is_published_where_its_own_port_can_be_called(
    node: list[Reachability],
    found: list[Reachability] | None,
    reachable: bool,
    published: bool,
) -> None:
    farm = at_farm_port(with_dial_backs(HERE, node), 1776, found)
    assert farm.reachable is reachable and farm.job_port == 1776
    assert bool(routes(farm)) is published


SHUT_6 = Reachability(FAMILY_6, True, False, (SIX,), witnesses=2)


@pytest.mark.parametrize(
    ("found", "published"),
    [
        ([], ["20.2.2.2", "2600::1"]),  # nobody was asked yet
        ([UNKNOWN, UNKNOWN_6], ["20.2.2.2", "2600::1"]),
        ([OPEN, OPEN_6], ["20.2.2.2", "2600::1"]),
        ([OPEN, SHUT_6], ["20.2.2.2"]),
        ([SHUT, UNKNOWN_6], ["2600::1"]),
        ([SHUT, SHUT_6], []),
    ],
)
def test_a_farm_that_its_owner_wants_is_published_until_its_port_is_found_to_be_shut(
    found: list[Reachability], published: list[str]
) -> None:
    """Its firewall let 5678 in and not 1776: it was published, producers dialled it in vain, and
    its owner never heard of that."""
    node = with_dial_backs(HERE, [OPEN, OPEN_6])
    farm = at_farm_port(node, 1776, found, requested=True)
    assert routes(farm) == tuple(Direct(ip, 1776) for ip in published)
    advice = farm_advice(node, farm)
    assert ("TCP port 1776" in advice) is (not published)


def test_how_strangers_see_us_is_said() -> None:
    assert (
        describe(NetworkState(5678)) == "strangers see us at nowhere yet; nobody could try to call"
    )
    shut = with_dial_backs(HERE, [SHUT])
    assert describe(shut) == "strangers see us at 20.2.2.2:5678; their calls do not come through"
