"""Which farms a producer parks at, and when it tries again. No socket, no clock."""

import random

from privox_dht.relay import FarmAddress, relay_limits
from privox_dht.relay.producer.farm_selection import FarmSelector

A, B, C, D = (FarmAddress(bytes([n]) * 32, f"203.0.113.{n}", 1776) for n in range(4))


def rounds(want: int = 2) -> FarmSelector:
    return FarmSelector(want, random.Random(1))


def test_a_producer_parks_at_two_farms_of_those_it_knows() -> None:
    plan = rounds().plan([A, B, C, D], [], 0.0)
    assert len(set(plan.dial)) == 2 and plan.wait is None
    assert rounds().plan([A, B, C, D], plan.dial, 0.0).dial == ()


def test_producers_spread_over_the_farms() -> None:
    chosen = {farm for n in range(50) for farm in FarmSelector(2, random.Random(n)).plan(
        [A, B, C, D], [], 0.0
    ).dial}  # fmt: skip
    assert chosen == {A, B, C, D}


def test_two_farms_on_one_machine_die_together_so_another_machine_is_preferred() -> None:
    twin = FarmAddress(bytes([9]) * 32, A.host, 1777)
    for n in range(20):
        plan = FarmSelector(2, random.Random(n)).plan([A, twin, B], [], 0.0)
        assert len({farm.host for farm in plan.dial}) == 2
    assert set(rounds().plan([A, twin], [], 0.0).dial) == {A, twin}


def test_a_lost_farm_is_replaced_within_half_a_second_and_not_by_itself() -> None:
    some = rounds()
    some.parked()
    some.lost(A, 10.0)
    waiting = some.plan([A, B, C], [B], 10.0)
    assert waiting.dial == () and waiting.wait is not None
    assert 0 < waiting.wait <= relay_limits.PRODUCER_ROUND
    assert some.plan([A, B, C], [B], 10.0 + relay_limits.PRODUCER_ROUND).dial == (C,)


def test_every_farm_is_tried_once_a_round_and_only_a_whole_failed_round_backs_off() -> None:
    some, known, now, pauses = rounds(), [A, B, C], 0.0, []
    for _ in range(6):
        tried: list[FarmAddress] = []
        while (plan := some.plan(known, [], now)).dial:
            for farm in plan.dial:
                tried.append(farm)
                some.failed(farm, now)
        assert sorted(tried) == known
        assert plan.wait is not None
        pauses.append(plan.wait)
        now += plan.wait
    first, most = relay_limits.PRODUCER_BACKOFF
    for n, pause in enumerate(pauses):
        assert min(most, first * 2**n) / 2 <= pause <= min(most, first * 2**n)


def test_after_a_farm_has_taken_us_the_back_off_starts_again() -> None:
    some = rounds()
    for _ in range(5):
        some.failed(A, 0.0)
        assert some.plan([A], [], 1e9).dial == ()
        some._resume = 0.0
    some.parked()
    some.failed(A, 0.0)
    wait = some.plan([A], [], 0.0).wait
    assert wait is not None and wait <= relay_limits.PRODUCER_BACKOFF[0]


def test_a_farm_that_sent_us_away_is_left_alone_for_as_long_as_it_said() -> None:
    some = rounds()
    some.failed(A, 0.0, wait=300.0)
    some.plan([A, B], [B], 0.0)
    assert some.plan([A, B], [B], 299.0).dial == ()
    assert some.plan([A, B], [B], 400.0).dial == (A,)


def test_with_too_few_farms_we_look_for_more_but_not_in_haste() -> None:
    some = rounds()
    plan = some.plan([A], [A], 0.0)
    assert plan.dial == () and plan.wait is not None
    assert relay_limits.PRODUCER_SEARCH_AGAIN / 2 <= plan.wait <= relay_limits.PRODUCER_SEARCH_AGAIN
    assert not some.refresh_due([A], 0.0)
    assert some.refresh_due([A], plan.wait)


def test_which_farms_there_are_is_asked_once_a_round_and_after_a_loss() -> None:
    some = rounds(1)
    assert [some.refresh_due([], 0.0), some.refresh_due([], 0.0)] == [True, False]
    some.failed(A, 0.0)
    assert some.plan([A, B], [], 0.0).dial == (B,)
    assert not some.refresh_due([], 0.0), "the round goes on with what is known"
    assert not some.refresh_due([B], 5.0), "nothing is missing"
    some.lost(B, 5.0)
    assert not some.refresh_due([], 5.0), "not before the pause is over"
    assert some.refresh_due([], 5.0 + relay_limits.PRODUCER_ROUND)


def test_a_farm_with_two_doors_is_one_farm_and_the_second_door_is_tried_when_the_first_fails() -> (
    None
):
    """Parked at both, a producer superseded itself, and left the farm alone for an hour."""
    six = FarmAddress(A.public, "2600::1", 1776)
    for n in range(20):
        assert len(FarmSelector(2, random.Random(n)).plan([A, six], [], 0.0).dial) == 1
    some = rounds()
    (first,) = some.plan([A, six], [], 0.0).dial
    some.failed(first, 0.0)
    assert set(some.plan([A, six], [], 0.0).dial) == {A, six} - {first}
    assert some.plan([A, six], [A], 0.0).dial == ()


def test_where_there_is_no_farm_yet_one_is_looked_for_soon_and_then_more_seldom() -> None:
    some, now, waits = rounds(), 0.0, []
    for _ in range(8):
        wait = some.plan([], [], now).wait
        assert wait is not None
        waits.append(wait)
        now += wait
    assert waits[0] <= relay_limits.PRODUCER_SEARCH_FIRST
    assert relay_limits.PRODUCER_SEARCH_AGAIN / 2 <= waits[-1] <= relay_limits.PRODUCER_SEARCH_AGAIN
