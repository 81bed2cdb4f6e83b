"""What was heard before is not heard again, however the clocks go, in bounded memory."""

import random

import pytest

from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.errors import BadMessage
from privox_dht.membership.replays import ReplayMemory

NOW = 1_760_000_000.0


def refused(memory: ReplayMemory, nonce: bytes, moment: float, now: float) -> str:
    """The reason; empty if it was heard."""
    try:
        memory.admit(nonce, moment, now)
    except BadMessage as exc:
        return exc.reason
    return ""


def nonce_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_message_is_heard_once() -> None:
    memory = ReplayMemory(NOW)
    assert refused(memory, b"one", NOW + 1, NOW + 1) == ""
    for later in (1, 2, 20, 30.9):
        assert refused(memory, b"one", NOW + 1, NOW + later) == "replay"
    assert refused(memory, b"two", NOW + 1, NOW + 2) == ""


@pytest.mark.parametrize(("off", "reason"), [
    (-29, ""), (29, ""), (-31, "stale"), (31, "stale"), (-3600, "stale"), (3600, "stale"),
])  # fmt: skip
def test_clocks_may_differ_by_half_a_minute(off: float, reason: str) -> None:
    memory = ReplayMemory(NOW - 3600)
    assert refused(memory, b"one", NOW + off, NOW) == reason


def test_what_was_sent_before_the_start_is_not_heard() -> None:
    """Else everything recorded in the last half minute could be played to a node that restarts."""
    memory = ReplayMemory(NOW)
    assert refused(memory, b"one", NOW - 0.01, NOW + 1) == "stale"
    assert refused(memory, b"two", NOW + 0.5, NOW + 1) == ""


def test_a_recording_is_refused_at_any_later_time() -> None:
    """A day of replays: whatever is forgotten is too old by then."""
    memory, rng = ReplayMemory(NOW), random.Random(1)
    recorded = []
    for step in range(2000):
        now = NOW + step * 43.2
        moment = now + rng.uniform(-25, 25)
        if moment > NOW:
            assert refused(memory, nonce_of(step), moment, now) == ""
            recorded.append((nonce_of(step), moment))
        for nonce, sent in rng.sample(recorded, min(20, len(recorded))) + recorded[-2:]:
            assert refused(memory, nonce, sent, now) in ("replay", "stale")
        for later in (10, 20, 43):
            for nonce, sent in recorded[-2:]:
                assert refused(memory, nonce, sent, now + later) in ("replay", "stale")
    assert len(memory) < 10


def test_memory_is_bounded_and_what_it_forgets_stays_refused() -> None:
    memory = ReplayMemory(NOW, most=100)
    heard = []
    for number in range(1000):
        moment = NOW + number / 100
        if not refused(memory, nonce_of(number), moment, NOW + 10):
            heard.append((nonce_of(number), moment))
        assert len(memory) <= 100
    assert heard
    for nonce, moment in heard:
        assert refused(memory, nonce, moment, NOW + 10) in ("replay", "stale")


def test_a_clock_that_is_set_back_does_not_make_a_node_deaf() -> None:
    memory = ReplayMemory(NOW)
    assert refused(memory, b"ahead", NOW + 3600, NOW + 3600) == ""
    assert refused(memory, b"now", NOW + 10, NOW + 10) == ""
    assert refused(memory, b"now", NOW + 10, NOW + 11) == "replay"
    assert refused(memory, b"ahead", NOW + 3600, NOW + 11) == "stale"


def test_the_bound_is_one_that_an_ordinary_minute_does_not_reach() -> None:
    assert limits.REPLAY_MEMORY >= 10 * dht_limits.SOURCE_RATE * 2 * limits.CLOCK_SKEW
