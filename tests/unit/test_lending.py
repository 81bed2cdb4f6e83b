"""What a machine lends: by its hours, its battery, its load, what it carried, and its owner."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.lending import (
    GiveWay,
    LendingPolicy,
    LendingTerms,
    Pause,
    RunningTransfer,
    Transfer,
    parse_months,
    why_refused,
)
from nodes.lending_hours import parse_hours
from privox_dht import limits

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 22, 12, tzinfo=BERLIN).timestamp()
HOUR = 3600.0
GB = 10**9
LONG = (pytest.mark.soak, pytest.mark.timeout(600))


def berlin(now: float) -> datetime:
    return datetime.fromtimestamp(now, BERLIN)


def lending(
    terms: LendingTerms, slots: int = 4, months: dict[str, int] | None = None
) -> LendingPolicy:
    return LendingPolicy(terms, slots, berlin, Transfer(terms.transfer, berlin, months or {}))


def test_all_is_lent_where_the_owner_says_nothing() -> None:
    decision = lending(LendingTerms()).decide(NOON, False, None)
    assert (decision.slots, decision.why, decision.until) == (4, "", None)


def test_nothing_is_lent_outside_the_hours_and_it_is_said_until_when() -> None:
    nightly = lending(LendingTerms(hours=parse_hours(["22:00-07:00"])))
    decision = nightly.decide(NOON, False, None)
    assert decision.slots == 0 and decision.until == NOON + 10 * HOUR
    assert "outside --lend-hours 22:00-07:00" in decision.why
    assert decision.retry_after(NOON) == limits.NOT_LENT_RETRY_MAX
    assert decision.retry_after(NOON + 10 * HOUR - 90) == 90
    assert nightly.decide(NOON + 10 * HOUR, False, None).slots == 4
    assert nightly.decide(NOON + 10 * HOUR - 0.001, False, None).slots == 0


def test_a_pause_that_ends_outside_the_hours_lasts_until_they_begin() -> None:
    nightly = lending(LendingTerms(hours=parse_hours(["22:00-07:00"])))
    for seconds, until in ((HOUR, 10 * HOUR), (11 * HOUR, 11 * HOUR), (20 * HOUR, 34 * HOUR)):
        decision = nightly.decide(NOON, False, Pause(NOON + seconds))
        assert decision.until == NOON + until, seconds
    assert nightly.decide(NOON, False, Pause()).until is None


def test_a_pause_ends_by_itself_or_by_its_owner() -> None:
    always = lending(LendingTerms())
    assert always.decide(NOON, False, Pause(NOON + 60)).slots == 0
    assert always.decide(NOON + 60, False, Pause(NOON + 60)).slots == 4
    forever = always.decide(NOON + 1e9, False, Pause())
    assert forever.slots == 0 and "paused" in forever.why
    assert forever.retry_after(NOON) == limits.NOT_LENT_RETRY


def test_nothing_is_lent_on_battery_unless_the_owner_wants_that() -> None:
    assert lending(LendingTerms()).decide(NOON, True, None).slots == 0
    assert lending(LendingTerms(on_battery=True)).decide(NOON, True, None).slots == 4


def test_all_reasons_are_told_together() -> None:
    terms = LendingTerms(hours=parse_hours(["22:00-07:00"]), transfer=GB)
    decision = lending(terms, months={"2026-11": GB}).decide(NOON, True, Pause())
    for word in ("paused", "--lend-hours", "battery", "--transfer"):
        assert word in decision.why


# -- transfer -----------------------------------------------------------------------------------


def test_a_month_that_is_used_up_ends_lending_until_the_next_one_begins() -> None:
    spent = lending(LendingTerms(transfer=GB), months={"2026-11": GB})
    decision = spent.decide(NOON, False, None)
    assert decision.slots == 0
    assert decision.until == datetime(2026, 12, 1, tzinfo=BERLIN).timestamp()
    assert spent.decide(decision.until, False, None).slots == 4
    assert spent.decide(decision.until - 1, False, None).slots == 0


def test_what_runs_may_use_up_the_month_and_then_nothing_else_begins() -> None:
    transfer = Transfer(1000, berlin)
    assert transfer.has_room(NOON)
    first = transfer.begin(600, NOON)
    assert transfer.has_room(NOON)
    second = transfer.begin(600, NOON)
    assert not transfer.has_room(NOON)
    transfer.end(first, 10)
    assert transfer.has_room(NOON) and transfer.used(NOON) == 10
    transfer.end(second, 600)
    assert transfer.used(NOON) == 610


def test_a_clock_that_is_wrong_for_a_while_loses_no_month() -> None:
    """A machine without a clock of its own starts in 1970 and learns the time later."""
    transfer = Transfer(1000, berlin, {"2026-11": 999})
    transfer.end(transfer.begin(1, 0.0), 5)
    assert transfer.used(NOON) == 999
    for n in range(100):
        transfer.end(transfer.begin(1, NOON - n * 40 * 24 * HOUR), 1)
    assert len(transfer.months) <= 6


@pytest.mark.parametrize(
    ("kept", "known"),
    [
        ({"2026-11": 5}, {"2026-11": 5}),
        ({"2026-11": -5, "2026-12": 1.5, "2027-01": True, "a": None}, {}),
        ([], {}),
        ("x", {}),
        (None, {}),
    ],
)
def test_of_what_was_kept_only_that_counts_which_makes_sense(
    kept: object, known: dict[str, int]
) -> None:
    assert parse_months(kept) == known


def test_a_month_ends_at_midnight_by_the_clock_on_the_wall() -> None:
    for month in range(1, 13):
        now = datetime(2026, month, 11, 3, 7, 9, tzinfo=BERLIN)
        following = datetime(2026 + month // 12, month % 12 + 1, 1, tzinfo=BERLIN)
        assert Transfer(1, berlin).month_end(now.timestamp()) == following.timestamp()


# -- the owner at work --------------------------------------------------------------------------


def settled(slots: int, others: float, share: float = 1.0) -> int:
    way = GiveWay(slots, share)
    for _ in range(100):
        way.note(others, 5.0)
    return way.lent


def test_the_busier_the_owner_the_fewer_slots() -> None:
    assert [settled(1, others) for others in (0.0, 0.45, 0.55, 1.0)] == [1, 1, 0, 0]
    assert [settled(4, others) for others in (0.1, 0.3, 0.5, 0.7, 0.9)] == [4, 3, 2, 1, 0]
    assert settled(1, 0.7, share=0.25) == 1, "a quarter of the machine is still free"
    assert settled(1, 0.95, share=0.25) == 0


def test_it_gives_way_within_seconds_and_comes_back_after_a_minute() -> None:
    way = GiveWay(1)
    way.note(1.0, 5.0)
    assert way.lent == 1, "a program that starts is no work"
    way.note(1.0, 5.0)
    assert way.lent == 0
    for _ in range(200):
        way.note(1.0, 5.0)
    back = 0
    while way.lent == 0:
        way.note(0.0, 5.0)
        back += 5
    assert 45 <= back <= 120, back


def test_a_load_around_the_border_does_not_have_it_come_and_go() -> None:
    way, rng, changes = GiveWay(4), random.Random(1), 0
    for _ in range(3600):
        before = way.lent
        way.note(min(1.0, max(0.0, rng.gauss(0.4, 0.08))), 5.0)
        changes += way.lent != before
    assert changes <= 10, changes


@given(
    slots=st.integers(1, 16),
    share=st.floats(0.05, 1.0),
    loads=st.lists(st.floats(0.0, 1.0), max_size=50),
)
def test_whatever_the_load_no_more_is_lent_than_there_is(
    slots: int, share: float, loads: list[float]
) -> None:
    way = GiveWay(slots, share)
    for load in loads:
        way.note(load, 5.0)
        assert 0 <= way.lent <= slots
    for _ in range(200):
        way.note(0.0, 5.0)
    assert way.lent == slots


# -- a year -------------------------------------------------------------------------------------


def forbidden(wall: datetime) -> bool:
    """Whether the owner of `test_a_year...` lends nothing then, said without our code."""
    minute = f"{wall:%H:%M}"
    weekend = wall.weekday() >= 5
    yesterday = (wall - timedelta(days=1)).weekday() if wall else 0
    if weekend and "10:00" <= minute < "18:00":
        return False
    if minute >= "22:00":
        return wall.weekday() >= 5  # nights that begin on a Saturday or a Sunday
    if minute < "07:00":
        return yesterday >= 5
    return True


def times(rng: random.Random, count: int) -> Iterator[float]:
    """A year of clocks that now and then jump, and stand for a week where they are changed."""
    start = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    step = 366 * 24 * HOUR / count
    for n in range(count):
        now = start + n * step + rng.random() * step
        if rng.random() < 0.01:
            now += rng.choice((-1, 1)) * rng.random() * 30 * 24 * HOUR  # set wrongly, once
        yield now
    for change in ("2026-03-29 01:00", "2026-10-25 01:00"):  # the hours around both, in UTC
        around = datetime.fromisoformat(change).replace(tzinfo=UTC).timestamp()
        yield from (around + n * 7.0 for n in range(-1000, 1000))


@pytest.mark.parametrize(
    ("seed", "count"),
    [(1, 20_000), *(pytest.param(n, 200_000, marks=LONG) for n in range(2, 6))],
)
def test_a_year_in_which_no_job_begins_in_a_forbidden_minute_nor_above_the_cap(
    seed: int, count: int
) -> None:
    """Clocks that change and jump, batteries, load, pauses, restarts; jobs that run for hours."""
    rng = random.Random(seed)
    hours = parse_hours(["mon-fri 22:00-07:00", "sat-sun 10:00-18:00"])
    terms = LendingTerms(hours=hours, transfer=20 * GB, give_way=True)
    largest, slots = GB // 2, 3
    transfer = Transfer(terms.transfer, berlin)
    lender = LendingPolicy(terms, slots, berlin, transfer)
    battery, pause, others, begun = False, None, 0.2, 0
    running: list[tuple[float, RunningTransfer, int]] = []
    brought: dict[str, list[int]] = {}  # bytes of each job, by the month in which it began

    for now in times(rng, count):
        battery ^= rng.random() < 0.02
        others = min(1.0, max(0.0, others + rng.gauss(0, 0.1)))
        lender.note_load(others, rng.uniform(1, 60))
        if rng.random() < 0.01:
            pause = None if pause else Pause(rng.choice((None, now + rng.random() * 1e5)))
        if rng.random() < 0.002:  # it crashes and starts again: what ran is gone
            transfer = Transfer(terms.transfer, berlin, parse_months(dict(transfer.months)))
            lender, running = LendingPolicy(terms, slots, berlin, transfer), []
        for ended in [job for job in running if job[0] <= now or rng.random() < 0.3]:
            running.remove(ended)
            transfer.end(ended[1], ended[2])
            brought.setdefault(ended[1].month, []).append(ended[2])
        for _ in range(rng.randrange(3)):
            decision = lender.decide(now, battery, pause)
            wall = berlin(now)
            if len(running) < decision.slots:
                assert not forbidden(wall), wall
                assert not battery and (pause is None or not pause.is_active(now))
                most = rng.randrange(1, largest)
                job = transfer.begin(most, now)
                running.append((now + rng.random() * 4 * HOUR, job, rng.randrange(most)))
                begun += 1
            elif decision.slots == 0 and decision.until is not None:
                assert decision.until > now
                said = lender.decide(decision.until, False, None)
                later = not transfer.is_spent(decision.until) and transfer.has_room(decision.until)
                assert said.slots or not later or said.until is None, (wall, decision)
                assert not forbidden(berlin(decision.until)), (wall, decision)
    assert begun > 500, "it lends in its hours, too"
    for month, sizes in brought.items():
        assert sum(sizes) < terms.transfer + largest, month  # type: ignore[operator]
    assert any(sum(sizes) > 19 * GB for sizes in brought.values()), "the cap was never met"


# -- whom ---------------------------------------------------------------------------------------


def test_some_are_allowed_or_denied_by_the_key_that_they_prove() -> None:
    friend, other = "f" * 52, "o" * 52
    anybody, friends = LendingTerms(), LendingTerms(allow_peers=frozenset({friend}))
    without = LendingTerms(deny_peers=frozenset({other}))
    may = [[not why_refused(terms, peer) for peer in (friend, other, "")]
           for terms in (anybody, friends, without)]  # fmt: skip
    assert may == [[True, True, True], [True, False, False], [True, False, True]]
    assert "--identify" in why_refused(friends, "")
    both = LendingTerms(allow_peers=frozenset({friend}), deny_peers=frozenset({friend}))
    assert why_refused(both, friend)
