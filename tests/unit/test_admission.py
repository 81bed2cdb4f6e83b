"""Slots, and whose turn it is when there is none."""

import random
from typing import Any

import pytest

from nodes.admission import NETWORKS_REMEMBERED, Admission, Ticket
from privox_dht import limits
from privox_dht.errors import ConfigError, ProducerBusy
from privox_dht.offer import Offer
from privox_dht.quotas import quota_prefixes

HOME, SITE, OTHER = "20.1.1.1", "2001:db8:1::1", "20.2.2.2"


def offer(host: str = "127.0.0.1", wait: float = 1.0, **more: Any) -> Offer:
    return Offer(quota_prefixes(host), wait, **more)


def test_a_slot_is_held_until_its_job_leaves() -> None:
    admission = Admission(2)
    first, second = admission.enter(offer(), 0), admission.enter(offer(), 0)
    assert first.running and second.running and admission.idle == 0
    assert admission.leave(first, 1) is None
    assert admission.idle == 1
    admission.leave(second, 1)
    assert (admission.idle, admission.taken) == (2, 0)


def test_who_does_not_wait_hears_at_once_that_it_is_busy_and_when_to_ask_again() -> None:
    admission = Admission(1)
    admission.enter(offer(), 0)
    with pytest.raises(ProducerBusy) as caught:
        admission.enter(offer(wait=0), 0)
    assert caught.value.retry_after > 0


def test_who_waits_runs_when_another_leaves() -> None:
    admission = Admission(1)
    running, waiting = admission.enter(offer(), 0), admission.enter(offer(), 0)
    assert not waiting.running
    assert repr(admission) == "<Admission 0 of 1 idle, 1 wait>"
    assert admission.leave(running, 1) is waiting
    assert waiting.running
    assert admission.leave(waiting, 2) is None
    assert admission.idle == 1


def test_who_does_not_wait_any_longer_leaves_the_queue() -> None:
    admission = Admission(1)
    running, waiting = admission.enter(offer(), 0), admission.enter(offer(), 0)
    assert admission.leave(waiting, 1) is None
    assert admission.leave(running, 1) is None
    assert admission.idle == 1


def test_the_queue_is_short_and_one_network_has_only_some_of_its_places() -> None:
    admission = Admission(1)
    admission.enter(offer(), 0)
    for n in range(limits.QUEUE_PLACES_PER_NETWORK):
        admission.enter(offer(f"2001:db8:1:{n}::1"), 0)
    with pytest.raises(ProducerBusy):
        admission.enter(offer("2001:db8:1:ffff::1"), 0)
    for n in range(limits.QUEUE_PLACES - limits.QUEUE_PLACES_PER_NETWORK):
        admission.enter(offer(f"20.{n}.0.1"), 0)
    with pytest.raises(ProducerBusy):
        admission.enter(offer(OTHER), 0)


def test_the_network_with_fewer_slots_is_served_first_whoever_came_first() -> None:
    admission = Admission(2)
    greedy = [admission.enter(offer(HOME), 0) for _ in range(2)]
    again, honest = admission.enter(offer(HOME), 0), admission.enter(offer(OTHER), 1)
    assert admission.leave(greedy[0], 2) is honest
    assert admission.leave(honest, 3) is again


def test_with_one_slot_networks_take_turns() -> None:
    """16 polite connections of one address left somebody else 0 of 3 jobs."""
    admission = Admission(1)
    running: Ticket | None = admission.enter(offer(HOME), 0)
    for _ in range(3):
        admission.enter(offer(HOME), 0)
    honest = admission.enter(offer(OTHER), 1)
    assert running is not None
    assert admission.leave(running, 2) is honest


def test_an_upload_of_a_network_with_more_than_its_share_is_in_the_way() -> None:
    """Four uploads at 2.4 KiB/s held four slots for as long as they liked."""
    admission = Admission(4)
    for now in range(4):
        admission.enter(offer(HOME, uploading=True), now)
    assert admission.to_preempt(5) is None, "nobody waits"
    admission.enter(offer(OTHER), 5)
    ended = admission.to_preempt(5)
    assert ended is not None
    assert ended.since == 3, "the newest, which loses least"


def test_work_that_has_begun_is_in_nobodys_way() -> None:
    admission = Admission(2)
    for _ in range(2):
        admission.enter(offer(HOME), 0)
    admission.enter(offer(OTHER), 9)
    assert admission.to_preempt(9) is None


def test_a_slow_upload_is_in_the_way_of_who_waits_and_a_fair_one_is_not() -> None:
    admission = Admission(1)
    ticket = admission.enter(offer(HOME, uploading=True), 0)
    admission.enter(offer(OTHER), 0)
    assert admission.to_preempt(limits.CONTENDED_UPLOAD_GRACE) is None
    ticket.offer.received = 9 * limits.CONTENDED_UPLOAD_RATE
    assert admission.to_preempt(9) is None
    assert admission.to_preempt(10) is ticket


def test_two_who_share_fairly_are_not_in_each_others_way() -> None:
    admission = Admission(2)
    for host in (HOME, SITE):
        admission.enter(offer(host, uploading=True), 0).offer.received = 1 << 20
    admission.enter(offer(OTHER), 1)
    assert admission.to_preempt(1) is None


def test_a_closed_admission_lets_nothing_new_begin_and_what_runs_end() -> None:
    admission = Admission(2)
    running = admission.enter(offer(), 0)
    admission.close()
    with pytest.raises(ProducerBusy):
        admission.enter(offer(), 0)
    admission.leave(running, 1)
    assert (admission.taken, admission.idle) == (0, 0)
    assert repr(admission) == "<Admission 0 of 2 idle, closed>"


def test_the_mesh_hears_of_every_change() -> None:
    seen: list[int] = []
    admission = Admission(1, lambda: seen.append(admission.idle))
    admission.leave(admission.enter(offer(), 0), 1)
    assert seen == [0, 1]


def short(host: str = OTHER, wait: float = 0.0) -> Offer:
    return offer(host, wait, body=limits.SHORT_JOB_BODY)


def test_a_short_job_has_a_place_beside_the_slots() -> None:
    admission = Admission(1)
    long_one = admission.enter(offer(HOME), 0)
    beside = admission.enter(short(), 1)
    assert beside.running and beside.offer.extra_slot and not long_one.offer.extra_slot
    assert (admission.idle, admission.taken) == (0, 1), "it takes no slot"
    with pytest.raises(ProducerBusy):
        admission.enter(short(SITE), 1)
    admission.leave(beside, 2)
    assert admission.enter(short(SITE), 2).running


def test_while_a_slot_is_free_a_short_job_takes_it() -> None:
    ticket = Admission(1).enter(short(), 0)
    assert not ticket.offer.extra_slot
    ticket.offer.check_length(3600)


@pytest.mark.parametrize("body", [None, limits.SHORT_JOB_BODY + 1])
def test_a_body_that_is_large_or_of_unknown_size_is_no_short_job(body: int | None) -> None:
    admission = Admission(1)
    admission.enter(offer(HOME), 0)
    with pytest.raises(ProducerBusy):
        admission.enter(offer(OTHER, 0, body=body), 0)


def test_a_small_body_that_holds_more_sound_is_told_busy_and_waits_like_others_for_a_while() -> (
    None
):
    """Five minutes of Opus are no larger than ten seconds of WAV."""
    admission = Admission(1)
    admission.enter(offer(HOME), 0)
    beside = admission.enter(short(), 0)
    beside.offer.check_length(limits.SHORT_JOB_SECONDS)
    with pytest.raises(ProducerBusy, match="at most 10 s; this one has 300 s"):
        beside.offer.check_length(300)
    admission.leave(beside, 1)
    again = admission.enter(short(wait=1), 1.1)
    assert not again.running, "or it would never get a slot"
    assert admission.enter(short(SITE), 1.1).running
    assert not admission.closed


def test_short_jobs_wait_for_the_place_beside_the_slots_in_turn() -> None:
    admission = Admission(1)
    admission.enter(offer(HOME), 0)
    beside = admission.enter(short(), 0)
    large = admission.enter(offer(SITE), 0)
    waiting = admission.enter(short(wait=1), 0)
    assert admission.leave(beside, 1) is waiting
    assert waiting.running and waiting.offer.extra_slot and not large.running


def test_a_slow_upload_in_the_place_beside_the_slots_is_in_the_way() -> None:
    admission = Admission(1)
    admission.enter(offer(HOME), 0)
    slow = offer(SITE, 0, body=1000, uploading=True)
    beside = admission.enter(slow, 0)
    admission.enter(short(wait=1), 0)
    assert admission.to_preempt(2) is beside


def test_who_ended_a_job_and_comes_back_at_once_stands_back_for_those_turned_away() -> None:
    """Somebody who sends piece after piece got every slot, since he knew first that it was free."""
    admission = Admission(1)
    running = admission.enter(offer(HOME, 0), 0)
    with pytest.raises(ProducerBusy):
        admission.enter(offer(OTHER, 0), 1.0)
    admission.leave(running, 1.1)
    with pytest.raises(ProducerBusy):
        admission.enter(offer(HOME, 0), 1.2)
    other = admission.enter(offer(OTHER, 0), 1.9)
    assert other.running
    admission.leave(other, 2.0)
    with pytest.raises(ProducerBusy):
        admission.enter(offer(OTHER, 0), 2.1)
    assert admission.enter(offer(HOME, 0), 2.15).running


def test_nobody_stands_back_for_one_who_does_not_come_back_or_has_had_more() -> None:
    admission = Admission(2)
    running = admission.enter(offer(HOME, 0), 0)
    others = [admission.enter(offer(OTHER, 0), 0)]
    with pytest.raises(ProducerBusy):
        admission.enter(offer(OTHER, 0), 0.5)
    admission.leave(running, 0.6)
    again = admission.enter(offer(HOME, 0), 0.7)
    assert again.running, "the other one has a slot"
    with pytest.raises(ProducerBusy):
        admission.enter(offer(SITE, 0), 0.8)
    admission.leave(again, 0.9)
    with pytest.raises(ProducerBusy):
        admission.enter(offer(HOME, 0), 1.0)
    assert admission.enter(offer(HOME, 0), 1.8).running, "a second is over"
    assert others[0].running


@pytest.mark.parametrize("slots", [0, -1, 256])
def test_impossible_numbers_of_slots_are_refused(slots: int) -> None:
    with pytest.raises(ConfigError, match="between 1 and 255"):
        Admission(slots)


def test_slots_are_neither_lost_nor_doubled_and_nothing_of_strangers_is_left() -> None:
    rng, admission = random.Random(7), Admission(3)
    here: list[Ticket] = []
    for step in range(20_000):
        if here and rng.random() < 0.5:
            ticket = here.pop(rng.randrange(len(here)))
            following = admission.leave(ticket, step)
            assert following is None or following in here
        else:
            try:
                host = f"20.{rng.randrange(200)}.{rng.randrange(200)}.1"
                here.append(admission.enter(offer(host, rng.choice([0, 1])), step))
            except ProducerBusy:
                assert admission.idle == 0
        assert admission.taken == sum(ticket.running for ticket in here) <= 3
        assert admission.idle == 0 or all(ticket.running for ticket in here)
    for ticket in sorted(here, key=lambda ticket: ticket.running):
        admission.leave(ticket, 0)
    assert not admission._held
    assert len(admission._served) <= NETWORKS_REMEMBERED


def test_plain_sound_that_is_let_in_beside_by_its_bytes_is_never_found_too_long() -> None:
    """Pieces of a film were, and their network's commands had to wait at all producers."""
    assert limits.SHORT_JOB_SECONDS >= limits.SHORT_JOB_BODY / (16_000 * 2)
