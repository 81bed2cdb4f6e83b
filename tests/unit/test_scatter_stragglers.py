"""Which piece is asked for twice."""

import pytest

from privox_dht.scatter.stragglers import MIN_DONE, Stragglers


def seasoned(pieces: int = 40, pace: float = 0.05) -> Stragglers:
    """Enough pieces are done to know what one takes."""
    tracker = Stragglers()
    tracker.pieces = pieces
    for _ in range(MIN_DONE):
        ticket = tracker.start(20.0)
        tracker.dialled(ticket, "peer", 0.0)
        tracker.done(ticket, 20.0 * pace)
    return tracker


def test_a_piece_lags_after_three_times_what_its_peers_take() -> None:
    tracker = seasoned(pace=0.1)
    ticket = tracker.start(20.0)
    tracker.dialled(ticket, "slow", 100.0)
    assert tracker.next_check(100.0) == pytest.approx(6.0)
    assert tracker.worst(105.9) is None
    assert tracker.worst(106.1) == ticket


def test_nothing_lags_before_three_pieces_are_done() -> None:
    tracker = Stragglers()
    tracker.pieces = 40
    ticket = tracker.start(20.0)
    tracker.dialled(ticket, "a", 0.0)
    assert tracker.worst(1000.0) is None
    assert tracker.next_check(0.0) is None


def test_the_next_producer_has_its_own_time() -> None:
    tracker = seasoned(pace=0.1)
    ticket = tracker.start(20.0)
    tracker.dialled(ticket, "dead", 100.0)
    tracker.dialled(ticket, "next", 105.0)
    assert tracker.worst(110.0) is None
    tracker.waits(ticket)
    assert tracker.worst(1000.0) is None
    assert tracker.waiting == 1


def test_a_piece_that_was_asked_for_twice_is_not_asked_for_again() -> None:
    tracker = seasoned()
    ticket = tracker.start(20.0)
    tracker.dialled(ticket, "slow", 0.0)
    second = tracker.duplicate(ticket)
    tracker.dialled(second, "other", 10.0)
    assert tracker.worst(1000.0) is None
    assert tracker.at_work == 2


@pytest.mark.parametrize(("pieces", "twice"), [(1, 1), (19, 1), (20, 2), (100, 10)])
def test_at_most_one_piece_in_ten_is_asked_for_twice(pieces: int, twice: int) -> None:
    tracker = seasoned(pieces)
    for number in range(20):
        tracker.dialled(tracker.start(20.0), f"peer{number}", 0.0)
    asked = 0
    while (ticket := tracker.worst(1000.0)) is not None:
        tracker.duplicate(ticket)
        asked += 1
    assert asked == twice


def test_who_lags_most_comes_first() -> None:
    tracker = seasoned()
    late = tracker.start(20.0)
    tracker.dialled(late, "b", 50.0)
    later = tracker.start(20.0)
    tracker.dialled(later, "a", 0.0)
    assert tracker.worst(100.0) == later
