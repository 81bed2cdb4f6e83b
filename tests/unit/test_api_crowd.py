"""How many may stand at the gate, and whom a connection counts for; no sockets here."""

from __future__ import annotations

import pytest

from privox_dht.api.listener import OURS, Crowd, address_of


def test_nobody_is_let_in_beyond_the_total() -> None:
    crowd = Crowd(3, 3)
    assert [crowd.enter(f"198.51.100.{n}") for n in range(5)] == [True] * 3 + [False] * 2
    crowd.leave("198.51.100.0")
    assert crowd.enter("198.51.100.9")
    assert repr(crowd) == "<Crowd 3 standing, 2 refused>"


def test_one_address_gets_its_share_and_leaves_the_rest_to_others() -> None:
    crowd = Crowd(10, 2)
    assert [crowd.enter("a") for _ in range(4)] == [True, True, False, False]
    assert crowd.enter("b")
    crowd.leave("a")
    assert crowd.enter("a")


def test_this_very_machine_has_no_share_but_the_total() -> None:
    crowd = Crowd(5, 1)
    assert [crowd.enter(OURS) for _ in range(6)] == [True] * 5 + [False]


def test_addresses_that_left_are_forgotten() -> None:
    crowd = Crowd(10_000, 1)
    for n in range(1000):
        crowd.enter(str(n))
        crowd.leave(str(n))
    assert repr(crowd) == "<Crowd 0 standing, 0 refused>"
    assert not crowd._standing


@pytest.mark.parametrize(
    ("host", "counts_for"),
    [
        ("127.0.0.9", OURS),
        ("::1", OURS),
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_connection_counts_for_an_address_or_a_network(host: str, counts_for: str) -> None:
    assert address_of(host) == counts_for
