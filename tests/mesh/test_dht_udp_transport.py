"""The UDP socket on the loop, with real datagrams."""

import asyncio
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kit import HOST

from privox_dht import limits
from privox_dht.dht import udp_transport

IP_RECVERR = 11  # of Linux; Python has no name for it


class Ear:
    """Keeps what it hears; `heard` is set once that is so many."""

    def __init__(self, most: int) -> None:
        self.said: list[bytes] = []
        self.transport: Any = None
        self.lost = 0
        self.errors: asyncio.Queue[Exception] = asyncio.Queue()
        self.heard = asyncio.Event()
        self.most = most

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost += 1

    def error_received(self, exc: Exception) -> None:
        self.errors.put_nowait(exc)

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        self.said.append(data)
        if len(self.said) >= self.most:
            self.heard.set()


@pytest.fixture
def mouth() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        yield sock


async def test_a_burst_arrives_whole_in_order_and_others_have_their_turn(
    mouth: socket.socket,
) -> None:
    ear, turns = Ear(100), 0
    _, port = udp_transport.open_udp(lambda: ear, HOST, 0)
    for number in range(100):  # all wait in the kernel before the loop looks
        mouth.sendto(b"%d" % number, (HOST, port))
    while not ear.heard.is_set():
        before = len(ear.said)
        await asyncio.sleep(0)
        turns += 1
        assert len(ear.said) - before <= udp_transport.READS_AT_ONCE
    assert ear.said == [b"%d" % number for number in range(100)]
    assert turns >= 100 / udp_transport.READS_AT_ONCE
    ear.transport.close()


async def test_what_is_too_long_is_read_as_too_long_and_no_longer(mouth: socket.socket) -> None:
    ear = Ear(2)
    _, port = udp_transport.open_udp(lambda: ear, HOST, 0)
    mouth.sendto(bytes(limits.MAX_DATAGRAM), (HOST, port))
    mouth.sendto(bytes(20_000), (HOST, port))
    await asyncio.wait_for(ear.heard.wait(), 5)
    assert [len(data) for data in ear.said] == [limits.MAX_DATAGRAM, limits.MAX_DATAGRAM + 1]
    ear.transport.close()


async def test_a_socket_closed_amid_a_burst_hears_and_says_no_more(mouth: socket.socket) -> None:
    ear = Ear(1)
    _, port = udp_transport.open_udp(lambda: ear, HOST, 0)
    heard = ear.datagram_received

    def close_at_once(data: bytes, address: tuple[Any, ...]) -> None:
        heard(data, address)
        ear.transport.close()

    ear.datagram_received = close_at_once  # type: ignore[method-assign]
    for _ in range(3):
        mouth.sendto(b"hello", (HOST, port))
    await asyncio.wait_for(ear.heard.wait(), 5)
    assert ear.said == [b"hello"] and ear.lost == 1
    assert ear.transport.is_closing()
    ear.transport.sendto(b"too late", (HOST, port))
    ear.transport.close()
    assert ear.lost == 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((HOST, port))  # nothing holds the port


async def test_an_address_that_cannot_be_sent_to_is_said_to_the_sender() -> None:
    ear = Ear(1)
    _, _ = udp_transport.open_udp(lambda: ear, HOST, 0)
    with pytest.raises(OSError):
        ear.transport.sendto(bytes(70_000), (HOST, 9))
    ear.transport.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when it is asked to")
async def test_what_did_not_arrive_is_told_and_what_comes_next_is_heard(
    mouth: socket.socket,
) -> None:
    """Some systems tell it unasked of a socket that is connected to nobody: it must not end it."""
    ear = Ear(1)
    _, port = udp_transport.open_udp(lambda: ear, HOST, 0)
    ear.transport._socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    mouth.bind((HOST, 0))
    nobody = mouth.getsockname()
    mouth.close()
    ear.transport.sendto(b"hello?", nobody)
    assert isinstance(await asyncio.wait_for(ear.errors.get(), 5), ConnectionRefusedError)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"hello", (HOST, port))
        await asyncio.wait_for(ear.heard.wait(), 5)
    assert ear.said == [b"hello"] and not ear.transport.is_closing()
    ear.transport.close()


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    ear = Ear(1)
    _, port = udp_transport.open_udp(lambda: ear, HOST, 0)
    with pytest.raises(OSError):
        udp_transport.open_udp(lambda: Ear(1), HOST, port)
    ear.transport.close()
