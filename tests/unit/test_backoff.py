"""The one back-off of the project."""

import random

import pytest

from privox_dht.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.0), (1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (10_000, 10.0)]
)
def test_each_failure_doubles_the_wait_up_to_the_longest(failures: int, seconds: float) -> None:
    assert backoff(failures, 2.0, 10.0) == seconds


def test_jitter_is_drawn_from_the_upper_half() -> None:
    waits = [backoff(2, 2.0, 10.0, random.Random(seed)) for seed in range(200)]
    assert min(waits) >= 2.0
    assert max(waits) <= 4.0
    assert max(waits) - min(waits) > 1.5
