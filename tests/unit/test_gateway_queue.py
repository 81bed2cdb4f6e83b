"""Whose turn it is at the gateway."""

from __future__ import annotations

import pytest

from nodes.gateway.queue import JobQueue, Ticket
from privox_dht import limits
from privox_dht.errors import ProducerBusy


def running(queue: JobQueue, client: str = "a", *, room: int = 99, now: float = 0.0) -> Ticket:
    ticket = queue.enter(client, room, now)
    assert queue.start(room, now) == [ticket]
    return ticket


def test_as_many_run_as_there_is_room_for_and_the_others_in_their_order() -> None:
    queue = JobQueue()
    tickets = [queue.enter("a", 2, float(n)) for n in range(5)]
    assert queue.start(2, 5.0) == tickets[:2]
    queue.leave(tickets[0], 6.0)
    assert queue.start(2, 6.0) == [tickets[2]]
    assert (queue.running, queue.waiting) == (2, 2)
    assert queue.start(4, 6.0) == tickets[3:], "somebody joined the mesh"


def test_one_client_with_many_requests_does_not_keep_the_others_waiting() -> None:
    queue = JobQueue()
    first = running(queue, "greedy", room=1)
    many = [queue.enter("greedy", 1, 1.0) for _ in range(10)]
    other = queue.enter("other", 1, 2.0)
    queue.leave(first, 3.0)
    assert queue.start(1, 3.0) == [many[0]], "nobody holds a place: the first one has its turn"
    assert queue.start(2, 3.0) == [other]


def test_whoever_does_not_wait_any_longer_leaves_its_place() -> None:
    queue = JobQueue()
    first, second, third = (queue.enter("a", 1, 0.0) for _ in range(3))
    assert queue.start(1, 0.0) == [first]
    queue.leave(second, 1.0)
    queue.leave(first, 2.0)
    assert queue.start(1, 2.0) == [third]
    queue.leave(third, 3.0)
    assert (queue.running, queue.waiting) == (0, 0)


def test_too_many_are_sent_away_with_the_time_after_which_there_is_a_place() -> None:
    queue = JobQueue(places=3)
    for now in range(100):  # jobs take four seconds
        queue.leave(running(queue, now=4.0 * now), 4.0 * now + 4.0)
    running(queue)
    for _ in range(3):
        queue.enter("a", 1, 0.0)
    with pytest.raises(ProducerBusy, match="3 wait") as caught:
        queue.enter("a", 1, 0.0)
    assert caught.value.retry_after == pytest.approx(16.0, rel=0.01), "four jobs are before it"
    assert queue.busy(4).retry_after == pytest.approx(4.0, rel=0.01), "four at a time"


def test_nobody_is_told_to_come_back_at_once_or_after_more_than_a_minute() -> None:
    queue = JobQueue()
    assert queue.busy(1).retry_after == limits.RETRY_AFTER
    for _ in range(200):
        queue.enter("a", 1, 0.0)
    assert queue.busy(0).retry_after == limits.LONGEST_RETRY_AFTER
