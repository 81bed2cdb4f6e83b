"""What the relay asks of the operating system, read back from real sockets."""

import asyncio
import os
import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from kit import HOST, until
from relay_kit import at, farm_of, get, parked, post, relayed, serving

from privox_dht import tcp_dial
from privox_dht.errors import ConfigError
from privox_dht.identity import Identity
from privox_dht.relay import Farm, FarmLimits, relay_limits, tcp
from privox_dht.relay.farm.protocols import ControlProtocol, SpliceProtocol

FARM = Identity.generate()
FEW_FILES = 256
UNACKED = round(1000 * relay_limits.UNACKED)  # milliseconds
USER_TIMEOUT = getattr(socket, "TCP_USER_TIMEOUT", None)


def timeouts(farm: Farm) -> Counter[tuple[str, int]]:
    """(what a connection of the farm is, its TCP_USER_TIMEOUT in ms), counted."""
    assert USER_TIMEOUT is not None
    found: Counter[tuple[str, int]] = Counter()
    for transport in farm._driver._transports:
        protocol: Any = transport.get_protocol()
        kind = "control" if isinstance(protocol, ControlProtocol) else "door"
        if isinstance(protocol, SpliceProtocol):
            kind = "call" if protocol._call else "parked"
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        found[kind, sock.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT)] += 1
    return found


@pytest.mark.skipif(USER_TIMEOUT is None, reason="the system has no TCP_USER_TIMEOUT")
async def test_what_is_parked_may_die_of_silence_and_a_call_may_not() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        assert timeouts(farm) == {("control", UNACKED): 1, ("parked", UNACKED): 3}
        job = asyncio.ensure_future(get(relayed(farm, served, "/forever")))
        await served.began.wait()
        await until(lambda: farm.stats()["parked"] == 3)
        assert timeouts(farm) == {("control", UNACKED): 1, ("parked", UNACKED): 3, ("call", 0): 2}
        job.cancel()
        await served.left.wait()


async def test_bytes_that_a_reader_has_not_taken_are_counted_wherever_they_wait() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socket(), socket.socket()
    ours.bind((HOST, 0))
    ours.listen()
    theirs.setblocking(False)
    await loop.sock_connect(theirs, ours.getsockname())
    accepted, _ = ours.accept()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=accepted)
    assert tcp.unacknowledged_bytes(transport) == 0
    transport.write(bytes(20_000_000))
    waiting = tcp.unacknowledged_bytes(transport)
    assert transport.get_write_buffer_size() < waiting <= 20_000_000
    left = 20_000_000
    while left:
        left -= len(await loop.sock_recv(theirs, 2**20))
    await until(lambda: tcp.unacknowledged_bytes(transport) == 0)
    transport.abort()
    for sock in (ours, theirs):
        sock.close()


@contextmanager
def silent() -> Iterator[int]:
    """A port whose backlog is full: nobody accepts there, and nobody is refused."""
    with socket.socket() as full, ExitStack() as held:
        full.bind((HOST, 0))
        full.listen(0)
        for _ in range(4):
            sock = held.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield full.getsockname()[1]


async def test_a_farm_that_nobody_answers_for_is_given_up_in_time() -> None:
    with silent() as port, pytest.raises(TimeoutError):
        await tcp.dial(HOST, port, 0.2)


async def test_an_address_that_is_silent_keeps_no_other_address_of_its_host_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with farm_of(FARM) as farm:
        with silent() as port:
            ports = [(HOST, port), (HOST, farm.port)]

            async def both(host: str, port: int) -> list[Any]:
                return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", where) for where in ports]

            monkeypatch.setattr(tcp_dial, "_addresses", both)
            with await tcp.dial("a.host", 1, 2) as sock:
                assert sock.getpeername()[1] == farm.port


async def test_a_farm_may_be_given_by_name() -> None:
    async with farm_of(FARM) as farm:
        (await tcp.dial("localhost", farm.port, 5)).close()
    with pytest.raises(socket.gaierror):
        await tcp.dial("no-such-host.invalid", 1, 5)


async def test_of_a_connection_that_is_gone_what_waits_here_is_all_that_is_known() -> None:
    async with farm_of(FARM) as farm:
        transport, _ = await asyncio.get_running_loop().create_connection(
            asyncio.Protocol, HOST, farm.port
        )
        transport.abort()
        sock = transport.get_extra_info("socket")
        await until(lambda: sock.fileno() < 0)
        assert tcp.unacknowledged_bytes(transport) == 0
        assert tcp.send(transport, b"too late") == 0
    with open(os.devnull) as no_socket:
        there: Any = SimpleNamespace(
            get_write_buffer_size=lambda: 7, get_extra_info=lambda name: no_socket
        )
        assert tcp.unacknowledged_bytes(there) == 7, "the system tells nothing of it"


@pytest.fixture
def few_files() -> Iterator[int]:
    """What this process may open, while it may open few; the limit that it may ask for."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = relay_limits.FARM_FILES
    wanted = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, FEW_FILES), hard))
    yield wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_farm_asks_for_as_many_files_as_it_may_open(few_files: int) -> None:
    budget = tcp.file_budget()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_files
    assert 100 < budget < few_files - relay_limits.FARM_FILE_RESERVE


def test_a_farm_that_is_given_no_more_files_makes_do_with_few(
    few_files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*limits: Any) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", refused)
    assert tcp.file_budget() <= max(0, FEW_FILES - relay_limits.FARM_FILE_RESERVE)


def test_where_the_system_knows_no_bound_a_farm_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endless = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda which: endless)
    assert 100 < tcp.file_budget() < relay_limits.FARM_FILES


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_a_farm_serves_on_ipv6_too() -> None:
    try:
        farm = Farm(FARM, host="::1", port=0, terms=FarmLimits(producers_per_address=1))
        await farm.__aenter__()
    except ConfigError:
        pytest.skip("no IPv6 on loopback here")
    try:
        async with serving() as served:
            parking = at(served, farm, FARM, host="::1")
            async with parking:
                await parking.parked(5)
                call = {**relayed(farm, served, "/count"), "proxy": f"http://[::1]:{farm.port}"}
                assert (await post(call))["bytes"] == 4
    finally:
        await farm.__aexit__(None, None, None)
