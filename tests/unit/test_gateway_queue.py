"""Whose turn it is at the gateway."""

import heapq
import math
import random

import pytest

from nodes.gateway.queue import MIN_PLACES, RESERVED_FOR, JobQueue, QueuedRequest
from privox_dht import limits
from privox_dht.errors import ProducerBusy


def running(
    queue: JobQueue, client: str = "a", *, capacity: int = 99, now: float = 0.0
) -> QueuedRequest:
    ticket = queue.enter(client, capacity, now)
    assert queue.start(capacity, now) == [ticket]
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
    first = running(queue, "greedy", capacity=1)
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


def test_too_many_are_sent_away_and_told_when_a_place_is_theirs() -> None:
    queue = slow_queue(places=3)
    first = running(queue, capacity=1)
    for _ in range(3):
        queue.enter("a", 1, 0.0)
    told = []
    for client in ("b", "c"):
        with pytest.raises(ProducerBusy, match="3 wait") as caught:
            queue.enter(client, 1, 0.0)
        told.append(caught.value.retry_after)
    assert told == pytest.approx([4.0, 8.0], rel=0.01), "one after the other, as jobs end"
    queue.leave(first, 3.9)
    assert queue.start(1, 3.9)
    with pytest.raises(ProducerBusy):
        queue.enter("early", 1, 4.1)  # there is a place, but it is somebody's
    queue.enter("b", 1, 4.1)
    with pytest.raises(ProducerBusy):
        queue.enter("b", 1, 4.2)


def test_a_place_that_nobody_comes_for_is_anybodys() -> None:
    queue = slow_queue(places=1)
    first = running(queue, capacity=1)
    queue.enter("a", 1, 0.0)
    with pytest.raises(ProducerBusy):
        queue.enter("gone", 1, 0.0)
    queue.leave(first, 4.0)
    assert queue.start(1, 4.0)
    with pytest.raises(ProducerBusy):
        queue.enter("other", 1, 5.0)
    queue.enter("other", 1, 4.1 + RESERVED_FOR)


def test_nobody_is_let_in_to_be_sent_away_after_a_minute() -> None:
    queue = slow_queue(seconds=20.0)
    for _ in range(MIN_PLACES):
        queue.enter("a", 2, 0.0)
    with pytest.raises(ProducerBusy):
        queue.enter("b", 2, 0.0)
    for _ in range(8):
        queue.enter("c", 10, 0.0)  # others have joined, and more is done in a minute
    with pytest.raises(ProducerBusy):
        queue.enter("d", 10, 0.0)


def test_nobody_is_told_to_come_back_at_once_or_after_more_than_a_minute() -> None:
    queue = JobQueue()
    assert queue.busy(99, 0.0, "a").retry_after == limits.RETRY_AFTER
    for _ in range(200):
        last = queue.busy(1, 0.0, "a").retry_after
    assert last == limits.LONGEST_RETRY_AFTER


def test_two_hundred_clients_with_four_requests_each_are_served_or_told_a_time_that_holds() -> None:
    """Five minutes of them against four slots, in virtual time; each asks again once it is served,
    or when it was told to."""
    rng, queue = random.Random(1), JobQueue()
    events = [(rng.uniform(0.0, 2.0), n, "ask") for n in range(800)]
    heapq.heapify(events)
    tickets: dict[QueuedRequest, int] = {}
    holds: dict[int, QueuedRequest] = {}
    asked: dict[int, float] = {}  # since when
    told: set[int] = set()  # that were sent away once, since they were served last
    waits, kept, broken = [], 0, 0
    while events and events[0][0] < 300.0:
        now, n, what = heapq.heappop(events)
        if what == "ask":
            asked.setdefault(n, now)
            try:
                tickets[queue.enter(f"client {n // 4}", 4, now)] = n
                kept += n in told
            except ProducerBusy as exc:
                broken += n in told
                told.add(n)
                heapq.heappush(events, (now + math.ceil(exc.retry_after), n, "ask"))
        else:
            queue.leave(holds.pop(n), now)
            heapq.heappush(events, (now + rng.uniform(0.0, 0.1), n, "ask"))
        for ticket in queue.start(4, now):
            served = tickets.pop(ticket)
            holds[served] = ticket
            waits.append(now - asked.pop(served))
            told.discard(served)
            heapq.heappush(events, (now + rng.uniform(0.15, 0.35), served, "end"))
    steady = sorted(waits[len(waits) // 5 :])
    assert kept > 100 and kept >= 9 * broken, (kept, broken)
    assert steady[-1] <= 3 * steady[len(steady) // 2]


def slow_queue(places: int = 256, seconds: float = 4.0) -> JobQueue:
    """One whose jobs took so long."""
    queue = JobQueue(places=places)
    for now in range(100):
        queue.leave(running(queue, now=seconds * now), seconds * now + seconds)
    return queue
