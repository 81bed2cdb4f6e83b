"""Which addresses stand behind names, and where a node listens; name servers say what a test wants.
What the sockets do is in tests/mesh/test_dht_udp_transport.py."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from privox_dht import join_failure
from privox_dht.addresses import Address
from privox_dht.dht import udp_transport
from privox_dht.dht.udp_transport import Resolved, hosts_of, resolve
from privox_dht.dht.wire import FAMILY_4, FAMILY_6
from privox_dht.errors import ConfigError

BOTH = FAMILY_4 | FAMILY_6
NAME = ("node.example", 5678)
FOUR, SIX = ("20.0.0.1", 5678), ("2600::1", 5678)


@pytest.fixture
def no_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no way to anywhere."""
    monkeypatch.setattr(udp_transport, "has_route", lambda ip: False)


def name_server(monkeypatch: pytest.MonkeyPatch, *addresses: str, fails: Any = None) -> None:
    """Every name has these addresses, or fails so."""

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if fails is not None:
            raise fails
        return [(0, socket.SOCK_DGRAM, 0, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.fixture
def silent_name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody answers for 15 s, as long as a resolver tries a few servers."""
    asked = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.wait(15.0) and [])
    yield
    asked.set()


@pytest.mark.usefixtures("no_routes")
@pytest.mark.parametrize(
    ("families", "addresses", "spoken"),
    [
        (FAMILY_4, ["20.0.0.1"], [FOUR]),
        (FAMILY_4, ["2600::1", "20.0.0.1"], [FOUR]),
        (FAMILY_6, ["2600::1", "20.0.0.1"], [SIX]),
        (BOTH, ["2600::1", "20.0.0.1"], [SIX, FOUR]),
        (BOTH, ["fe80::1%eth0", "64:ff9b::1400:1", "20.0.0.1"], [FOUR]),  # not for nodes
    ],
)
async def test_of_a_names_addresses_those_of_our_families_are_spoken_to(
    monkeypatch: pytest.MonkeyPatch, families: int, addresses: list[str], spoken: list[Address]
) -> None:
    name_server(monkeypatch, *addresses)
    assert await resolve([NAME], families) == Resolved({NAME: spoken}, {})


async def test_an_address_of_another_family_is_good_if_there_is_a_way_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp_transport, "has_route", lambda ip: ip == "fd00::1")
    found = await resolve([("fd00::1", 5), ("fd00::2", 5)], FAMILY_4)
    assert found.addresses == [("fd00::1", 5)] and list(found.unknown) == [("fd00::2", 5)]


@pytest.mark.usefixtures("no_routes")
@pytest.mark.parametrize(
    ("addresses", "why"),
    [
        (["2600::1"], "it has IPv6 only, which this machine has not"),
        (["fe80::1%eth0"], join_failure.UNUSABLE),
        (["64:ff9b::1400:1"], join_failure.UNUSABLE),  # NAT64: an IPv4 address in disguise
        ([], join_failure.NO_ADDRESS),
    ],
)
async def test_a_name_without_an_address_that_we_speak_to_is_unknown_and_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, addresses: list[str], why: str
) -> None:
    name_server(monkeypatch, *addresses)
    assert await resolve([NAME], FAMILY_4) == Resolved({}, {NAME: why})


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), join_failure.NO_NAME),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "it cannot be looked up (try again)"),
        (OSError(24, "too many files"), "it cannot be looked up ([Errno 24] too many files)"),
        (UnicodeError("label too long"), join_failure.NO_NAME),
    ],
)
async def test_a_name_that_cannot_be_looked_up_is_no_harm_to_the_others(
    monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    name_server(monkeypatch, fails=error)
    found = await resolve([NAME, FOUR, NAME], FAMILY_4)
    assert found == Resolved({FOUR: [FOUR]}, {NAME: why})


async def test_a_name_that_is_none_is_said_to_be_none() -> None:
    """The codec of names raises an error of its own, before any server is asked."""
    spelled = "x" * 64 + ".example"
    found = await resolve([(spelled, 5)], BOTH)
    assert found.unknown[(spelled, 5)] == join_failure.NO_NAME


@pytest.mark.parametrize(
    "host", ["fe80::1", "fe80::1%eth0", "2600::1%eth0", "0.0.0.0", "::", "ff02::1"]
)
async def test_an_address_that_no_node_has_is_not_asked(host: str) -> None:
    """Each ping of a link-local one with its zone was a traceback in the log, fifty in all."""
    assert await resolve([(host, 5), FOUR], BOTH) == Resolved(
        {FOUR: [FOUR]}, {(host, 5): join_failure.UNUSABLE}
    )


async def test_a_name_server_that_is_silent_leaves_half_of_the_time_for_the_others(
    silent_name_server: None,
) -> None:
    """All of it was gone, and neighbours given by their addresses were not asked."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    found = await resolve([NAME, FOUR], FAMILY_4, deadline=began + 2.0)
    assert found == Resolved({FOUR: [FOUR]}, {NAME: join_failure.NAMESERVER})
    assert 1.0 <= loop.time() - began < 2.0


def test_a_name_server_that_is_silent_does_not_keep_the_program_from_ending(
    silent_name_server: None,
) -> None:
    """A client ended 20 s after its time-out, for the threads of the look-ups were waited for."""
    began = time.monotonic()
    asyncio.run(resolve([NAME], FAMILY_4, deadline=0.0))
    assert time.monotonic() - began < 5.0


async def test_nobody_is_looked_up_at_once() -> None:
    assert await resolve([], BOTH) == Resolved({}, {})


def test_what_became_of_an_address_is_told_by_the_neighbour_it_belongs_to() -> None:
    found = Resolved({NAME: [FOUR, SIX], SIX: [SIX]}, {("gone.example", 5): join_failure.NO_NAME})
    assert found.addresses == [FOUR, SIX]
    assert found.of_each({SIX: join_failure.REFUSED}) == {
        NAME: join_failure.REFUSED, SIX: join_failure.REFUSED,
        ("gone.example", 5): join_failure.NO_NAME,
    }  # fmt: skip


# -- where a node listens --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "bound"),
    [
        (None, {FAMILY_4: "0.0.0.0", FAMILY_6: "::"}),
        ("::", {FAMILY_4: "0.0.0.0", FAMILY_6: "::"}),
        ("127.0.0.1", {FAMILY_4: "127.0.0.1"}),
        ("0.0.0.0", {FAMILY_4: "0.0.0.0"}),
        ("::1", {FAMILY_6: "::1"}),
    ],
)
def test_each_family_has_its_own_address_to_listen_on(
    host: str | None, bound: dict[int, str]
) -> None:
    assert hosts_of(host) == bound


def test_a_host_that_is_none_is_the_owners_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    name_server(monkeypatch, fails=socket.gaierror(socket.EAI_NONAME, "Name not known"))
    with pytest.raises(ConfigError, match=r"^cannot listen on nowhere\.example: Name not known$"):
        hosts_of("nowhere.example")


def test_a_machine_without_ipv6_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refused)
    assert not udp_transport.has_ipv6()
