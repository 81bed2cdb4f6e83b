"""The DHT of a private mesh on real sockets: sealed datagrams are as large, and lost as often."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from dht_kit import node_of, record_of
from kit import HOST

from privox_dht import limits
from privox_dht.dht import DhtNode
from privox_dht.dht.udp_transport import UdpTransport
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.records import Direct, Relayed

SECRET = b"a secret of this test"


@asynccontextmanager
async def sealed_mesh(count: int) -> AsyncIterator[list[DhtNode]]:
    """Nodes that have joined one another, each a member of its own."""
    async with AsyncExitStack() as stack:
        nodes: list[DhtNode] = []
        for _ in range(count):
            node = node_of(member=Membership(SECRET, "privox"))
            nodes.append(await stack.enter_async_context(node))
            if len(nodes) > 1:
                await nodes[-1].join([(HOST, nodes[0].port)])
        yield nodes


async def test_where_datagrams_are_lost_what_is_sent_again_is_no_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng, really = random.Random(1), UdpTransport.sendto

    def sendto(self: UdpTransport, data: Any, addr: Any = None) -> None:
        if rng.random() > 0.3:
            really(self, data, addr)

    monkeypatch.setattr(UdpTransport, "sendto", sendto)
    async with sealed_mesh(5) as nodes:
        identity = Identity.generate()
        assert await nodes[1].publish(record_of(identity, nodes[1].mesh)) >= 2
        found = await nodes[4].find("stt", "cpu", fresh=True)
        assert [record.publisher for record in found] == [identity.public]
        dropped = [node.stats()["dropped"] for node in nodes]
        assert not any(counts["replay"] or counts["stranger"] for counts in dropped)
        assert sum(node.stats()["asked"] for node in nodes) > 0


async def test_the_longest_records_of_many_producers_all_arrive_in_whole_datagrams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes, really = [], UdpTransport.sendto

    def sendto(self: UdpTransport, data: Any, addr: Any = None) -> None:
        sizes.append(len(data))
        really(self, data, addr)

    monkeypatch.setattr(UdpTransport, "sendto", sendto)
    async with sealed_mesh(6) as nodes:
        farms = tuple(Relayed(bytes([n]) * 32) for n in (1, 2))
        homes = (Direct("2001:db8::1", 5678), Direct("192.0.2.1", 5678))
        records = [
            record_of(
                Identity.generate(), nodes[0].mesh, routes=(*homes, *farms),
                models=tuple(f"a-model-with-a-long-name-{n:05}" for n in range(8)),
                languages=("en", "de", "fr", "it", "es", "pt"),
            )
            for _ in range(40)
        ]  # fmt: skip
        assert max(len(record.encoded) for record in records) > limits.MAX_RECORD - 40
        await asyncio.gather(*(nodes[0].publish(record) for record in records))
        found = await nodes[4].find("stt", "cpu", want=limits.LIST_WANT, fresh=True)
        assert {r.publisher for r in found} == {r.publisher for r in records}
        assert limits.MAX_DATAGRAM - 200 < max(sizes) <= limits.MAX_DATAGRAM
        assert not any(node.stats()["dropped"] for node in nodes)
