"""How addresses are written, and which of them a node may speak to: nothing that reaches its
owner's own network."""

from typing import Any

import pytest

from privox_dht.addresses import (
    holder_of,
    is_contactable,
    is_global,
    is_loopback,
    join_host,
    pack_address,
    parse_neighbours,
    rate_key,
    split_host,
    subnet_of,
    unpack_address,
)
from privox_dht.errors import ConfigError


@pytest.mark.parametrize("ip", ["1.1.1.1", "93.184.216.34", "2a00:1450:4001::1", "2606:4700::1111"])
def test_ordinary_unicast_is_global(ip: str) -> None:
    assert is_global(ip) and is_contactable(ip, private=False)


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0", "10.0.0.1", "100.64.1.1", "127.0.0.1", "169.254.169.254", "172.31.9.9",
        "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.2",
        "203.0.113.5", "224.0.0.1", "239.1.1.1", "255.255.255.255", "::", "::1", "::ffff:1.1.1.1",
        "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001::1", "2001:db8::1", "fc00::1", "fd00::1",
        "fe80::1", "fec0::1", "ff02::1", "5f00::1", "3fff::1", "example.org", "", "1.1.1",
    ],
)  # fmt: skip
def test_what_is_not_global_unicast_is_not_spoken_to_in_a_public_mesh(ip: str) -> None:
    assert not is_contactable(ip, private=False)


@pytest.mark.parametrize("ip", ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "198.18.0.1", "1.1.1.1"])
def test_a_private_mesh_speaks_to_any_machine(ip: str) -> None:
    assert is_contactable(ip, private=True)


@pytest.mark.parametrize("ip", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "host"])
def test_no_mesh_speaks_to_nobody_or_everybody(ip: str) -> None:
    assert not is_contactable(ip, private=True)


@pytest.mark.parametrize(("ip", "port"), [("1.2.3.4", 1), ("::1", 65535), ("2a00::5", 5678)])
def test_an_address_survives_packing(ip: str, port: int) -> None:
    assert unpack_address(pack_address(ip, port)) == (ip, port)


@pytest.mark.parametrize("packed", [b"", b"\1\2\3\4\0\0", b"\1\2\3\4\5", bytes(19)])
def test_what_is_no_address_is_told_as_a_value_error(packed: bytes) -> None:
    with pytest.raises(ValueError):
        unpack_address(packed)


def test_one_owner_is_one_network_and_one_source() -> None:
    assert subnet_of("1.2.3.4") == subnet_of("1.2.3.200") != subnet_of("1.2.4.4")
    assert subnet_of("2a00:1:2:300::1") == subnet_of("2a00:1:2:3ff::9")
    assert subnet_of("2a00:1:2:300::1") != subnet_of("2a00:1:2:400::1")
    assert holder_of("2a00:1:2:3::1") == holder_of("2a00:1:2:3::2") != holder_of("2a00:1:2:4::1")


def test_on_one_machine_every_port_is_another_source() -> None:
    assert is_loopback("127.9.9.9") and is_loopback("::1") and not is_loopback("10.0.0.1")
    assert rate_key(pack_address("127.0.0.1", 1)) != rate_key(pack_address("127.0.0.1", 2))
    assert rate_key(pack_address("1.2.3.4", 1)) == rate_key(pack_address("1.2.3.4", 2))
    assert rate_key(pack_address("::1", 1)) != rate_key(pack_address("::1", 2))
    assert rate_key(pack_address("2a00::1", 1)) == rate_key(pack_address("2a00::2", 2))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("example.org:1", ("example.org", 1)),
        ("example.org", ("example.org", 5678)),
        (" 192.0.2.1:99 ", ("192.0.2.1", 99)),
        ("[2001:db8::1]:99", ("2001:db8::1", 99)),
        ("[2001:db8::1]", ("2001:db8::1", 5678)),
        ("2001:db8::1", ("2001:db8::1", 5678)),
    ],
)
def test_host_and_port_are_read(text: str, address: tuple[str, int]) -> None:
    assert split_host(text, 5678) == address
    assert split_host(join_host(*address), 0) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:-1",
        "host:" + "1" * 5_000,  # more digits than int() takes
        "[::1]x",
        "host:\u0661",
        "5678",
        "http://host:5678",
        "https://host",
        "a:1 b:2",
    ],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="is not host:port"):
        split_host(text, 5678)


def test_a_neighbour_named_twice_is_asked_once() -> None:
    assert parse_neighbours(["a:1", ("a", 1), "b"]) == [("a", 1), ("b", 5678)]


@pytest.mark.parametrize("given", ["a:1,b", "a:1, b,", ["a:1", "b"], [("a", 1), ("b", 5678)]])
def test_neighbours_may_be_one_string_or_several_or_pairs(given: Any) -> None:
    assert parse_neighbours(given) == [("a", 1), ("b", 5678)]


@pytest.mark.parametrize("given", [("host", 5678), [5678], [("host", 0)], [("host", "1")], [None]])
def test_what_is_no_neighbour_is_refused_by_name(given: Any) -> None:
    with pytest.raises(ConfigError, match="is not a neighbour"):
        parse_neighbours(given)
