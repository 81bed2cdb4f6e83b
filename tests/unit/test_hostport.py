import pytest

from privox_dht.errors import ConfigError
from privox_dht.hostport import join_host, parse_neighbours, split_host


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
def test_host_and_port_are_read(text, address):
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
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(ConfigError, match="is not host:port"):
        split_host(text, 5678)


def test_a_neighbour_named_twice_is_asked_once():
    assert parse_neighbours(["a:1", ("a", 1), "b"]) == [("a", 1), ("b", 5678)]


@pytest.mark.parametrize("given", ["a:1,b", "a:1, b,", ["a:1", "b"], [("a", 1), ("b", 5678)]])
def test_neighbours_may_be_one_string_or_several_or_pairs(given):
    assert parse_neighbours(given) == [("a", 1), ("b", 5678)]


@pytest.mark.parametrize("given", [("host", 5678), [5678], [("host", 0)], [("host", "1")], [None]])
def test_what_is_no_neighbour_is_refused_by_name(given):
    with pytest.raises(ConfigError, match="is not a neighbour"):
        parse_neighbours(given)
