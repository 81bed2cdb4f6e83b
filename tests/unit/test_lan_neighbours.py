"""Announcements in the local network: which are believed, and whom they have us ask."""

import ipaddress
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privox_dht import limits
from privox_dht.lan_neighbours import LanNeighbours, properties

MESH = b"ourmesh!"
HERE = [ipaddress.ip_interface(text) for text in ("192.168.1.7/24", "fd00:1::7/64", "8.8.4.7/24")]
SAID: dict[bytes, bytes | None] = {
    name.encode(): value.encode() for name, value in properties(MESH).items()
}


def neighbours() -> LanNeighbours:
    return LanNeighbours(MESH, HERE, own_port=5678)


def picked(addresses: list[str], port: int | None = 5678, said: object = SAID) -> list[str]:
    some = neighbours()
    some.add("a", said, addresses, port)  # type: ignore[arg-type]
    return sorted(ip for ip, _ in some.pick(random.Random(1)))


def test_what_a_node_says_of_itself_is_what_is_looked_for_and_tells_no_tag() -> None:
    assert picked(["192.168.1.9"]) == ["192.168.1.9"]
    assert MESH.hex() not in properties(MESH)["mesh"]


@pytest.mark.parametrize(
    ("address", "believed"),
    [
        ("192.168.1.9", True),
        ("fd00:1::9", True),
        ("192.168.2.9", False),  # private, and of another network
        ("10.0.0.1", False),
        ("8.8.4.9", False),  # ours, and not private
        ("1.1.1.1", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("169.254.1.1", False),
        ("fe80::9", False),  # nobody knows on which interface
        ("::ffff:192.168.1.9", False),
        ("192.168.1.0", False),
        ("192.168.1.255", False),
        ("224.0.0.251", False),
        ("0.0.0.0", False),
        ("fd00:2::9", False),
        ("router.local", False),
        ("", False),
    ],
)
def test_only_a_private_address_of_our_own_network_is_tried(address: str, believed: bool) -> None:
    assert bool(picked([address])) == believed


@pytest.mark.parametrize("port", [None, 0, 22, 53, 1023, 65536, -5])
def test_no_port_of_another_service_is_tried(port: int | None) -> None:
    assert picked(["192.168.1.9"], port) == []


@pytest.mark.parametrize(
    "said", [{}, {b"mesh": None}, {b"mesh": b""}, {b"mesh": b"x" * 300}, {b"MESH": MESH}]
)
def test_nodes_of_other_meshes_are_not_tried(said: dict[bytes, bytes | None]) -> None:
    assert picked(["192.168.1.9"], said=said) == []


def test_a_node_does_not_find_itself_but_another_on_the_same_machine() -> None:
    assert picked(["192.168.1.7"], 5678) == []
    assert picked(["192.168.1.7"], 5679) == ["192.168.1.7"]


def test_what_is_announced_no_more_or_anew_counts_once() -> None:
    some = neighbours()
    assert some.add("a", SAID, ["192.168.1.9"], 5678)
    assert some.add("a", SAID, ["192.168.1.10"], 5679)
    assert some.pick(random.Random(1)) == [("192.168.1.10", 5679)]
    some.remove("a")
    some.remove("a")
    assert some.pick(random.Random(1)) == [] and len(some) == 0


def test_a_thousand_announcements_of_one_machine_crowd_nobody_out() -> None:
    some = neighbours()
    for n in range(1000):
        some.add(f"evil {n}", SAID, ["192.168.1.66"], 1024 + n)
    assert len(some) == limits.LAN_KNOWN_PER_ADDRESS
    assert some.add("good", SAID, ["192.168.1.9"], 5678)
    assert ("192.168.1.9", 5678) in some.pick(random.Random(1))


def test_a_thousand_announcements_of_many_addresses_cost_few_dials_at_a_time() -> None:
    """Whoever announces all addresses of a network delays us, and hides nobody for ever."""
    some, rng = neighbours(), random.Random(1)
    for n in range(5000):
        some.add(f"evil {n}", SAID, [f"192.168.1.{n % 253 + 1}", f"fd00:1::{n:x}"], 6000)
    assert len(some) <= limits.LAN_KNOWN
    found = neighbours()
    for n in range(1000):
        found.add(f"evil {n}", SAID, [f"192.168.1.{n % 240 + 10}"], 6000)
    found.add("good", SAID, ["192.168.1.9"], 5678)
    tries = [found.pick(rng) for _ in range(100)]
    assert all(len(one) <= limits.LAN_DIALS for one in tries)
    assert all(len({ip for ip, _ in one}) == len(one) for one in tries)
    assert any(("192.168.1.9", 5678) in one for one in tries)


@given(
    addresses=st.lists(st.text(max_size=50) | st.ip_addresses().map(str), max_size=20),
    port=st.none() | st.integers(-(2**40), 2**40),
    said=st.dictionaries(st.binary(max_size=10), st.none() | st.binary(max_size=30), max_size=3),
    ours=st.booleans(),
)
def test_whatever_is_announced_only_near_addresses_are_tried(
    addresses: list[str], port: int | None, said: dict[bytes, bytes | None], ours: bool
) -> None:
    some = neighbours()
    some.add("a", {**said, **SAID} if ours else said, addresses, port)
    for ip, at in some.pick(random.Random(1)):
        assert any(ipaddress.ip_address(ip) in link.network for link in HERE[:2])
        assert 1024 <= at < 65536
