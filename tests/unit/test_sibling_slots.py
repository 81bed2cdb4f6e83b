"""Jobs of one client that keep out of each other's way."""

from contextlib import ExitStack

from privox_dht.dispatch.sibling_slots import GROW_AFTER, SiblingSlots
from privox_dht.limits import BACKOFF_FIRST
from privox_dht.records import Record


def record(name: bytes = b"a", *, slots: int = 4, idle: int = 2) -> Record:
    return Record(name * 32, b"m" * 8, "stt", backend="cpu", engine="e", slots=slots, idle=idle)


def test_so_many_jobs_as_there_were_idle_slots() -> None:
    slots, one = SiblingSlots(), record()
    with ExitStack() as stack:
        assert stack.enter_context(slots.hold(one, 0.0))
        assert stack.enter_context(slots.hold(one, 0.0))
        busy = record(idle=0)
        assert not stack.enter_context(slots.hold(busy, 0.0))
        assert repr(slots) == "<SiblingSlots 2 held at 1 producers>"
    assert slots.free(record(), 0.0) == 2


def test_one_that_said_it_was_busy_is_asked_all_the_same_by_one_job() -> None:
    """The record is a hint."""
    slots = SiblingSlots()
    assert slots.free(record(idle=0), 0.0) == 1


def test_a_slot_that_became_idle_is_used_but_not_a_moment_after_it_was_refused() -> None:
    slots = SiblingSlots()
    with slots.hold(record(idle=1), 0.0):
        assert slots.free(record(idle=1), 1.0) == 1
        with slots.hold(record(idle=1), 1.0):
            slots.record_busy(record(idle=1), 1.0)
        assert slots.free(record(idle=3), 1.0 + GROW_AFTER / 2) == 0
        assert slots.free(record(idle=3), 1.1 + GROW_AFTER) == 1


def test_never_more_than_all_its_slots() -> None:
    slots, one = SiblingSlots(), record(slots=1, idle=1)
    with slots.hold(one, 0.0):
        assert slots.free(one, 0.0) == 0


def test_one_that_brought_nothing_rests_longer_each_time() -> None:
    slots, one = SiblingSlots(), record()
    assert slots.free(one, 0.0)
    slots.back_off(one.peer_id, 0.0)
    assert slots.free(one, BACKOFF_FIRST - 1) == 0
    assert slots.free(one, BACKOFF_FIRST + 1)
    slots.back_off(one.peer_id, 100.0)
    assert slots.free(one, 100.0 + BACKOFF_FIRST + 1) == 0
    assert slots.free(record(b"b"), 100.0)
