"""Nodes of one local network find each other by multicast DNS; here on loopback, where nobody else
hears, and in tests/nat in a network of its own."""

import asyncio
import errno
import functools
import random
import socket
import struct
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from kit import HOST

from nodes.config import NodeConfig
from nodes.node import Node
from privox_dht import Mesh, limits
from privox_dht.errors import ConfigError

lan = pytest.importorskip("privox_dht.lan")
from zeroconf import (  # type: ignore[attr-defined]  # noqa: E402
    DNSAddress,
    DNSOutgoing,
    DNSPointer,
    DNSService,
    DNSText,
)

GROUP = ("224.0.0.251", 5353)
RESPONSE, IN, PTR, TXT, SRV, A = 0x8400, 1, 12, 16, 33, 1
WITHIN = 20.0  # seconds
MESH = b"somemesh"


def sender() -> socket.socket:
    """Whoever sends on loopback as nodes do."""
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    out.bind((HOST, 5353))
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
    out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    return out


def announcement(name: str, address: str, port: int, mesh: bytes) -> list[bytes]:
    """The datagrams of one node that announces itself."""
    full, server = f"{name}.{lan.SERVICE}", f"{name}.local."
    text = f"mesh={lan.properties(mesh)['mesh']}".encode()
    out = DNSOutgoing(RESPONSE)
    for record in (
        DNSPointer(lan.SERVICE, PTR, IN, 120, full),
        DNSService(full, SRV, IN, 120, 0, 0, port, server),
        DNSText(full, TXT, IN, 120, bytes([len(text)]) + text),
        DNSAddress(server, A, IN, 120, socket.inet_aton(address)),
    ):
        out.add_answer_at_time(record, 0)
    return out.packets()


async def until_known(some: object, address: tuple[str, int]) -> None:
    async with asyncio.timeout(WITHIN):
        while address not in some.neighbours():  # type: ignore[attr-defined]  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_one_that_announces_itself_is_found_until_it_has_gone() -> None:
    async with lan.Lan(MESH, HOST) as looking, lan.Lan(b"othermsh", HOST) as elsewhere:
        said = lan.properties(MESH)
        async with lan.announced(lan.SERVICE, "privox-test", 5999, HOST, said):
            await until_known(looking, (HOST, 5999))
            assert elsewhere.neighbours() == []
        async with asyncio.timeout(WITHIN):
            while looking.neighbours():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_a_guest_finds_somebody_at_once_or_gives_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lan, "Lan", functools.partial(lan.Lan, host=HOST))
    assert await lan.find(MESH, within=0.05) == []
    async with lan.announced(lan.SERVICE, "privox-test", 5998, HOST, lan.properties(MESH)):
        assert await lan.find(MESH, within=WITHIN) == [(HOST, 5998)]


async def test_where_nothing_can_be_announced_it_is_said_and_the_node_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_multicast(host: str | None) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(lan, "_zeroconf", no_multicast)
    async with lan.announced(lan.SERVICE, "privox-test", 5997, HOST):
        pass
    assert "cannot announce privox-test in the local network: No such device" in caplog.text


async def test_what_a_hostile_machine_announces_costs_little_and_hides_nobody() -> None:
    """A thousand nodes, addresses of others, and what is no DNS at all."""
    rng, evil, good = random.Random(1), "127.0.0.66", "127.0.0.9"
    others = ("8.8.8.8", "10.9.8.7", "192.168.77.1", "224.0.0.1", "0.0.0.0", "127.255.255.255")
    async with lan.Lan(MESH, HOST) as looking:
        with sender() as out:
            for n in range(1000):
                address = evil if n % 2 else others[n % len(others)]
                for packet in announcement(f"evil-{n}", address, 1024 + n, MESH):
                    out.sendto(packet, GROUP)
                    broken = bytearray(packet)
                    for _ in range(8):
                        broken[rng.randrange(len(broken))] = rng.randrange(256)
                    out.sendto(broken, GROUP)
                    out.sendto(packet[: rng.randrange(len(packet))], GROUP)
                out.sendto(rng.randbytes(rng.randrange(1400)), GROUP)
                if n % 20 == 0:
                    await asyncio.sleep(0.001)  # or the system drops what nobody has read
            out.sendto(struct.pack("!6H", 0, RESPONSE, 0, 0xFFFF, 0xFFFF, 0xFFFF), GROUP)
            [packet] = announcement("good", good, 5678, MESH)
            async with asyncio.timeout(WITHIN):
                while (good, 5678) not in looking.neighbours():
                    out.sendto(packet, GROUP)  # as nodes do, again and again
                    await asyncio.sleep(0.05)
        dialled = {ip for _ in range(100) for ip, _ in looking.neighbours()}
        assert all(ip.startswith("127.") for ip in dialled), "nobody's outside this network"
        of_evil = [port for _ in range(100) for ip, port in looking.neighbours() if ip == evil]
        assert len(set(of_evil)) <= limits.LAN_KNOWN_PER_ADDRESS
        assert len(looking.neighbours()) <= limits.LAN_DIALS


async def test_two_nodes_join_each_other_whichever_was_first(tmp_path: Path) -> None:
    async def started(name: str, network: str = "ours") -> Node:
        config = NodeConfig(tmp_path / name, port=0, host=HOST, lan=True, network=network)
        return await stack.enter_async_context(Node(config))

    async with AsyncExitStack() as stack:
        first, stranger = await started("first"), await started("stranger", "theirs")
        second = await started("second")
        async with asyncio.timeout(WITHIN):
            await asyncio.gather(
                first.reachability.joined.wait(), second.reachability.joined.wait()
            )
        assert [port for _, port in first.dht.contacts()] == [second.dht.port]
        assert stranger.dht.contacts() == []


async def test_neighbours_and_the_local_network_are_two_ways_to_join() -> None:
    with pytest.raises(ConfigError, match="not both"):
        async with Mesh.join(["host:5678"], lan=True):
            pass
