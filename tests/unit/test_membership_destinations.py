"""Whom a message is for."""

import pytest

from privox_dht.errors import BadMessage
from privox_dht.membership.destinations import OwnAddresses, is_of_this_machine
from privox_dht.membership.members import BY_ADDRESS, check_destination, to_address, to_node

OURS, THEIRS = b"o" * 32, b"t" * 32


def own(*seen: str, ports: tuple[int, ...] = (5678,)) -> OwnAddresses:
    addresses = OwnAddresses()
    addresses.observed = lambda: seen
    addresses.ports.update(ports)
    return addresses


def is_for_us(destination: bytes, addresses: OwnAddresses) -> bool:
    try:
        check_destination(destination, OURS, addresses)
    except BadMessage as exc:
        assert exc.reason == "elsewhere"
        return False
    return True


def test_a_key_names_one_node() -> None:
    assert is_for_us(to_node(OURS), own())
    assert not is_for_us(to_node(THEIRS), own())


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_an_address_of_this_machine_needs_our_port(ip: str) -> None:
    assert is_for_us(to_address((ip, 5678)), own())
    assert not is_for_us(to_address((ip, 5679)), own())


def test_an_address_in_front_of_our_nat_is_ours_if_others_see_us_there() -> None:
    seen = own("198.18.0.7")
    assert is_for_us(to_address(("198.18.0.7", 40000)), seen)  # its port is the router's affair
    assert not is_for_us(to_address(("198.18.0.8", 5678)), seen)


def test_an_address_of_a_kind_that_nobody_told_us_of_may_be_ours() -> None:
    """A first node behind a forwarded port does not know the router's address."""
    assert is_for_us(to_address(("8.8.8.8", 5678)), own())
    assert is_for_us(to_address(("8.8.8.8", 5678)), own("198.18.0.7"))
    assert is_for_us(to_address(("2600::1", 5678)), own("8.8.4.4"))
    assert not is_for_us(to_address(("8.8.8.8", 5678)), own("8.8.4.4"))


@pytest.mark.parametrize("where", [bytes(32), b"\x7f\0\0\1".ljust(32, b"\0"), b"x" * 32])
def test_what_is_no_address_is_not_ours(where: bytes) -> None:
    assert not is_for_us(bytes([BY_ADDRESS]) + where, own("2001:db8::1", "8.8.8.8"))


def test_what_our_owner_publishes_is_ours() -> None:
    ours = own("8.8.4.4")
    ours.published = frozenset({"8.8.8.8"})
    assert is_for_us(to_address(("8.8.8.8", 443)), ours)


def test_addresses_of_this_machine_are_told_from_others() -> None:
    assert is_of_this_machine("127.0.0.1") and not is_of_this_machine("192.0.2.1")
