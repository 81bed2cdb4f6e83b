"""Where a gateway listens, and to whom it answers."""

import pytest

from nodes.gateway.config import GatewayConfig, parse_gateway
from nodes.gateway.same_origin import check_same_origin
from privox_dht.errors import ConfigError, RequestRejected


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:5600", "127.0.0.1", 5600),
        ("127.0.0.1", "127.0.0.1", 5600),
        ("8000", "127.0.0.1", 8000),
        (":8000", "127.0.0.1", 8000),
        ("localhost:0", "127.0.0.1", 0),
        ("::1", "::1", 5600),
        ("[::1]", "::1", 5600),
        ("[::1]:81", "::1", 81),
    ],
)
def test_an_address_a_port_or_both(text: str, host: str, port: int) -> None:
    assert parse_gateway(text) == GatewayConfig(host, port)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("doctor", "give address:port"),
        ("127.0.0.1:http", "give address:port"),
        ("127.0.0.1:65536", "give address:port"),
        ("127.0.0.1:٣", "give address:port"),
        ("0.0.0.0:5600", "give --keys FILE"),
        ("[::]:5600", "or --open to serve everybody"),
    ],
)
def test_anything_else_is_refused_with_what_to_give(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        parse_gateway(text)


@pytest.mark.parametrize(
    "host", [None, "localhost", "LOCALHOST:5600", "127.0.0.1:80", "[::1]:5600"]
)
def test_programs_of_this_machine_are_let_in(host: str | None) -> None:
    check_same_origin(host, None)
    check_same_origin("localhost:5600", "http://localhost:5600")
    check_same_origin("localhost:5600", "https://localhost:5600")  # by TLS, ours or a proxy's


@pytest.mark.parametrize(
    ("host", "origin", "code"),
    [
        ("evil.example", None, "foreign_host"),
        ("127.0.0.1.evil.example:5600", None, "foreign_host"),
        ("localhost.evil.example", None, "foreign_host"),
        ("192.168.1.2:5600", None, "foreign_host"),
        ("", None, "foreign_host"),
        ("127.0.0.1:5600:80", None, "foreign_host"),
        ("localhost:5600", "http://evil.example", "foreign_origin"),
        ("localhost:5600", "http://localhost:3000", "foreign_origin"),
        ("localhost:5600", "null", "foreign_origin"),
        (None, "http://None", "foreign_origin"),
    ],
)
def test_pages_of_the_web_are_not(host: str | None, origin: str | None, code: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        check_same_origin(host, origin)
    assert (caught.value.status, caught.value.code) == (403, code)
