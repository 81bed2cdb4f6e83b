"""What becomes of a request that nobody answers, and when."""

import pytest

from privox_dht.dht import dht_limits
from privox_dht.dht.pending_request import LATE, LOST, RESEND, PendingRequest


def moments(soft: float, resend: tuple[float, ...], hard: float) -> list[tuple[float, int]]:
    """All that becomes of a request until it is lost."""
    request = PendingRequest(("20.0.0.1", 5), b"", lambda body: body, lambda answer: None)
    request.soft, request.resend, request.hard = soft, resend, hard
    some: list[tuple[float, int]] = []
    while not some or some[-1][1] != LOST:
        some.append((request.next_moment(), request.pass_moment()))
    return some


@pytest.mark.parametrize(
    ("soft", "resend", "hard", "expected"),
    [
        (0.0, (), 2.5, [(2.5, LOST)]),
        (0.0, (0.3, 0.7), 2.5, [(0.3, RESEND), (0.7, RESEND), (2.5, LOST)]),
        (0.1, (0.3, 0.7), 2.5, [(0.1, LATE), (0.3, RESEND), (0.7, RESEND), (2.5, LOST)]),
        (0.5, (0.3, 0.7), 2.5, [(0.3, RESEND), (0.5, LATE), (0.7, RESEND), (2.5, LOST)]),
        (1.0, (0.3, 0.7), 2.5, [(0.3, RESEND), (0.7, RESEND), (1.0, LATE), (2.5, LOST)]),
        (0.3, (0.3,), 2.5, [(0.3, LATE), (0.3, RESEND), (2.5, LOST)]),
        (1.0, (), 1.0, [(1.0, LATE), (1.0, LOST)]),
    ],
)
def test_a_silent_request_is_late_once_sent_again_in_turn_and_lost_at_the_end(
    soft: float, resend: tuple[float, ...], hard: float, expected: list[tuple[float, int]]
) -> None:
    assert moments(soft, resend, hard) == expected


@pytest.mark.parametrize("soft", [dht_limits.SOFT_LEAST, dht_limits.SOFT_MOST])
def test_with_our_limits_its_place_is_free_long_before_it_is_lost(soft: float) -> None:
    some = moments(soft, dht_limits.RESEND, dht_limits.HARD_TIMEOUT)
    assert [when for when, _ in some] == sorted(when for when, _ in some)
    assert [what for _, what in some].count(LATE) == 1
    assert [what for _, what in some].count(RESEND) == len(dht_limits.RESEND)
    assert some[-1] == (dht_limits.HARD_TIMEOUT, LOST)
