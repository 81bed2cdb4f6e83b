"""Under which keys a publisher announces, and what its holders make of it."""

import pytest

from privox_dht.dht import dht_limits
from privox_dht.dht.placement import estimate, is_too_deep, sample_draw, sampled_levels

BASE = b"k" * 20
WHO = [number.to_bytes(32, "little") for number in range(1, 2_001)]


def lots(now: float = 1e9) -> list[float]:
    return [sample_draw(who, BASE, now) for who in WHO]


@pytest.mark.parametrize("producers", [200_000, 1_000_000])
def test_so_many_are_in_a_sample_as_it_takes_however_many_there_are(producers: int) -> None:
    count = producers >> 3 * dht_limits.SHARD_BITS
    share = sum(0 in sampled_levels(lot / 50, count, 3) for lot in lots()) / len(WHO) / 50
    assert share * producers == pytest.approx(dht_limits.SAMPLE, rel=0.5)
    between = sum(1 in sampled_levels(lot, count, 3) for lot in lots()) / len(WHO)
    assert between * producers / 16 == pytest.approx(dht_limits.SAMPLE_BETWEEN, rel=0.6)


def test_where_there_are_few_a_lie_of_a_split_moves_nobody_away_from_the_key() -> None:
    assert all(0 in sampled_levels(lot, 3, 1) for lot in lots())
    assert all(0 in sampled_levels(lot, 0, 3) for lot in lots())


def test_whoever_is_in_a_sample_stays_a_while_and_not_all_leave_at_once() -> None:
    now = lots()
    soon, later = lots(1e9 + 30), lots(1e9 + 2 * dht_limits.SAMPLE_KEPT)
    assert sum(a != b for a, b in zip(now, soon, strict=True)) < len(WHO) / 10
    assert sum(a != b for a, b in zip(now, later, strict=True)) > len(WHO) * 0.99
    assert all(0.0 <= lot < 1.0 for lot in now)


def test_a_shard_that_has_emptied_is_left_for_the_one_above() -> None:
    assert not is_too_deep(0, 0) and is_too_deep(0, 1)
    assert is_too_deep(9, 2) and not is_too_deep(10, 2)


def test_a_minority_that_tells_of_thousands_is_not_believed() -> None:
    assert estimate([]) == 0 and estimate([5]) == 5
    assert estimate([20, 21, 10_000, 9_999]) == 21
    assert estimate([20, 9_999]) == 20
