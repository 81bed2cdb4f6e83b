"""Which piece is asked for twice."""

import pytest

from privox_dht.scatter.plan import KNOWN, Plan


def seasoned(pieces: int = 40, pace: float = 0.05) -> Plan:
    """Enough pieces are done to know what one takes."""
    plan = Plan()
    plan.cut = pieces
    for number in range(KNOWN):
        ticket = plan.ask(number, 20.0)
        plan.dialled(ticket, "peer", 0.0)
        plan.done(ticket, 20.0 * pace)
    return plan


def test_a_piece_lags_after_three_times_what_its_peers_take() -> None:
    plan = seasoned(pace=0.1)
    ticket = plan.ask(9, 20.0)
    plan.dialled(ticket, "slow", 100.0)
    assert plan.next_look(100.0) == pytest.approx(6.0)
    assert plan.lagging(105.9) is None
    assert plan.lagging(106.1) == ticket


def test_nothing_lags_before_three_pieces_are_done() -> None:
    plan = Plan()
    plan.cut = 40
    ticket = plan.ask(0, 20.0)
    plan.dialled(ticket, "a", 0.0)
    assert plan.lagging(1000.0) is None
    assert plan.next_look(0.0) is None


def test_the_next_producer_has_its_own_time() -> None:
    plan = seasoned(pace=0.1)
    ticket = plan.ask(9, 20.0)
    plan.dialled(ticket, "dead", 100.0)
    plan.dialled(ticket, "next", 105.0)
    assert plan.lagging(110.0) is None
    plan.waits(ticket)
    assert plan.lagging(1000.0) is None
    assert plan.waiting == 1


def test_a_piece_that_was_asked_for_twice_is_not_asked_for_again() -> None:
    plan = seasoned()
    ticket = plan.ask(9, 20.0)
    plan.dialled(ticket, "slow", 0.0)
    second = plan.ask_twice(ticket)
    plan.dialled(second, "other", 10.0)
    assert plan.lagging(1000.0) is None
    assert plan.at_work == 2


@pytest.mark.parametrize(("pieces", "twice"), [(1, 1), (19, 1), (20, 2), (100, 10)])
def test_at_most_one_piece_in_ten_is_asked_for_twice(pieces: int, twice: int) -> None:
    plan = seasoned(pieces)
    for number in range(20):
        plan.dialled(plan.ask(number, 20.0), f"peer{number}", 0.0)
    asked = 0
    while (ticket := plan.lagging(1000.0)) is not None:
        plan.ask_twice(ticket)
        asked += 1
    assert asked == twice


def test_who_lags_most_comes_first() -> None:
    plan = seasoned()
    late = plan.ask(8, 20.0)
    plan.dialled(late, "b", 50.0)
    later = plan.ask(9, 20.0)
    plan.dialled(later, "a", 0.0)
    assert plan.lagging(100.0) == later
