"""How long an answer takes."""

import pytest

from privox_dht.dht import dht_limits
from privox_dht.dht.rtt import RttEstimator


def test_the_soft_timeout_follows_what_was_measured_within_its_bounds() -> None:
    trip = RttEstimator()
    for _ in range(200):
        trip.note(0.05)
    assert trip.retransmit_timeout() == dht_limits.SOFT_LEAST
    for _ in range(200):
        trip.note(5.0)
    assert trip.retransmit_timeout() == dht_limits.SOFT_MOST
    assert trip.retransmit_timeout(known=0.2) == pytest.approx(0.3)
