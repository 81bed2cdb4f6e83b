"""An hour of sound that fills again, for a name or for the networks of an address."""

import pytest

from nodes.sound_quota import NetworkSoundQuota, SoundQuota
from privox_dht.quotas import quota_prefixes

HOURLY = 3600


def test_somebody_has_an_hour_of_sound_and_so_much_again_in_each_hour() -> None:
    quota = SoundQuota()
    assert quota.wait("anna", HOURLY, 0.0) == 0
    quota.charge("anna", HOURLY, 3000.0, 0.0)
    assert quota.left("anna", HOURLY, 0.0) == 600
    assert quota.left("anna", HOURLY, 300.0) == 900
    quota.charge("anna", HOURLY, 4500.0, 300.0)  # begun while there was something left
    assert quota.left("anna", HOURLY, 300.0) == -3600
    wait = quota.wait("anna", HOURLY, 300.0)
    assert wait == pytest.approx(3601, abs=2)
    assert quota.wait("anna", HOURLY, 300.0 + wait) == 0
    assert quota.left("anna", HOURLY, 1e9) == 3600, "no more than an hour's is saved up"


def test_two_names_do_not_share() -> None:
    quota = SoundQuota()
    quota.charge("anna", HOURLY, 9999.0, 0.0)
    assert quota.wait("ben", 60, 0.0) == 0
    quota.charge("ben", 60, 61.0, 0.0)
    assert quota.wait("ben", 60, 0.0) == pytest.approx(120, abs=2)


def test_only_so_many_are_remembered_and_the_thriftiest_are_forgotten() -> None:
    quota = SoundQuota(most=2)
    for name, seconds in (("greedy", 50.0), ("modest", 1.0), ("middling", 20.0)):
        quota.charge(name, 60, seconds, 0.0)
    assert len(quota) == 2
    assert quota.left("greedy", 60, 0.0) == 10
    assert quota.left("modest", 60, 0.0) == 60


@pytest.mark.parametrize(
    ("spent", "asks", "may"),
    [
        ("20.1.1.1", "20.1.1.1", False),
        ("20.1.1.1", "20.1.1.2", True),  # another home, perhaps, of the same /24
        ("2001:db8:1:1::1", "2001:db8:1:1::2", False),
        ("2001:db8:1:1::1", "2001:db8:1:2::1", False),  # the same home's /56
        ("2001:db8:1:1::1", "2001:db8:1:1000::1", True),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_an_address_that_has_spent_its_hour_waits(spent: str, asks: str, may: bool) -> None:
    quota = NetworkSoundQuota(600)
    quota.charge(quota_prefixes(spent), 900.0, 0.0)
    wait = quota.wait(quota_prefixes(asks), 0.0)
    assert (wait == 0) == may, wait
    assert quota.wait(quota_prefixes(asks), wait) == 0


def test_many_addresses_of_one_network_have_four_times_what_one_has() -> None:
    quota = NetworkSoundQuota(600)
    for n in range(4):
        quota.charge(quota_prefixes(f"20.1.1.{n}"), 600.0, 0.0)
    assert quota.wait(quota_prefixes("20.1.1.9"), 0.0) > 0
    assert quota.wait(quota_prefixes("20.1.2.9"), 0.0) == 0


def test_who_is_called_through_a_farm_is_told_apart_by_its_tags() -> None:
    quota = NetworkSoundQuota(600)
    quota.charge(("a by farm:1776", "b by farm:1776"), 600.0, 0.0)
    assert quota.wait(("a by farm:1776", "b by farm:1776"), 0.0) > 0
    assert quota.wait(("c by farm:1776", "b by farm:1776"), 0.0) == 0
    assert quota.wait(("- by farm:1776",), 0.0) == 0
