"""Which networks an address counts for, and how many may come from each, and how often."""

import pytest

from privox_dht import limits
from privox_dht.quotas import Prefixes, RateLimiter, SharedQuota, quota_prefixes, source_network
from privox_dht.relay import relay_limits


@pytest.mark.parametrize(
    ("host", "counts_for"),
    [
        ("127.0.0.9", ()),
        ("::1", ()),
        ("198.51.100.7", ("198.51.100.7/32", "198.51.100.0/24")),
        ("::ffff:198.51.100.7", ("198.51.100.7/32", "198.51.100.0/24")),
        (
            "2001:db8:1:2ff:3:4:5:6",
            ("2001:db8:1:2ff::/64", "2001:db8:1:200::/56", "2001:db8:1::/48"),
        ),
        ("fe80::1%eth0", ("fe80::/64", "fe80::/56", "fe80::/48")),
    ],
)
def test_an_address_counts_for_the_networks_around_it(host: str, counts_for: Prefixes) -> None:
    assert quota_prefixes(host) == counts_for


@pytest.mark.parametrize(
    ("host", "home"),
    [
        ("127.0.0.1", "127.0.0.1:5678"),
        ("10.1.2.3", "10.1.2.3"),
        ("8.8.4.4", "8.8.4.0/24"),
        ("::ffff:8.8.4.4", "8.8.4.0/24"),  # Python 3.11 calls every mapped address private
        ("2a00:1450:4001::5", "2a00:1450:4001::/48"),
    ],
)
def test_one_owner_has_one_voice(host: str, home: str) -> None:
    assert source_network(host, 5678) == home


def test_nobody_may_come_beyond_the_total() -> None:
    quota = SharedQuota(3, 3)
    came = [quota.acquire(quota_prefixes(f"198.51.{n}.1")) for n in range(5)]
    assert came == [True] * 3 + [False] * 2
    quota.release(quota_prefixes("198.51.0.1"))
    assert quota.acquire(quota_prefixes("198.51.9.1"))
    assert repr(quota) == "<SharedQuota 3 in use, 2 refused>"


def test_one_address_has_its_share_and_leaves_the_rest_to_others() -> None:
    quota = SharedQuota(10, 2)
    one, other = quota_prefixes("198.51.100.1"), quota_prefixes("198.51.100.2")
    assert [quota.acquire(one) for _ in range(4)] == [True, True, False, False]
    assert quota.acquire(other)
    quota.release(one)
    assert quota.acquire(one)


@pytest.mark.parametrize(("step", "share"), [(1, 64), (1 << 8, 128)], ids=["one /56", "one /48"])
def test_a_household_with_many_networks_has_the_share_of_one(step: int, share: int) -> None:
    """512 connections from eight /64 of one household left no place for anybody else."""
    quota = SharedQuota(limits.MAX_CONNECTIONS, limits.MAX_CONNECTIONS_PER_ADDRESS)
    networks = [quota_prefixes(f"2001:db8:1:{n * step:x}::1") for n in range(8)]
    let_in = sum(quota.acquire(network) for network in networks for _ in range(64))
    assert let_in == share
    assert quota.acquire(quota_prefixes("2001:db8:2::1"))


def test_this_very_machine_has_no_share_but_the_total() -> None:
    quota = SharedQuota(5, 1)
    assert [quota.acquire(()) for _ in range(6)] == [True] * 5 + [False]


def test_networks_that_left_are_forgotten() -> None:
    quota = SharedQuota(10_000, 1)
    for n in range(1000):
        prefixes = quota_prefixes(f"198.51.{n % 250}.{n // 250}")
        quota.acquire(prefixes)
        quota.release(prefixes)
    assert repr(quota) == "<SharedQuota 0 in use, 0 refused>"
    assert not quota._taken


def test_a_home_with_both_families_cannot_claim_every_line_of_a_producer() -> None:
    assert (
        relay_limits.FARM_LINES_PER_ADDRESS * 3 < relay_limits.FARM_LINES
    )  # IPv4 once, a /48 twice


def test_a_source_gets_its_burst_and_then_its_rate() -> None:
    rates = RateLimiter(10.0, 5.0)
    assert [rates.try_acquire(b"a", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert rates.try_acquire(b"b", 0.0)
    assert rates.try_acquire(b"a", 0.1) and not rates.try_acquire(b"a", 0.1)
    assert sum(rates.try_acquire(b"a", 100.0) for _ in range(9)) == 5


def test_a_turn_comes_back_when_its_time_is_over_and_no_sooner() -> None:
    rates = RateLimiter(1 / 60, 1.0)
    began = 1_760_000_000.0
    assert rates.try_acquire(b"a", began)
    assert rates.is_exhausted(b"a", began + 59) and not rates.try_acquire(b"a", began + 59)
    assert not rates.is_exhausted(b"a", began + 60) and rates.try_acquire(b"a", began + 60)


def test_sources_are_forgotten_beyond_the_limit() -> None:
    rates = RateLimiter(1.0, 1.0, sources=100)
    for n in range(10_000):
        rates.try_acquire(n.to_bytes(4, "big"), 0.0)
    assert len(rates) == 100
