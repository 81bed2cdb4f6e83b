"""What a secret costs: a private mesh beside a public one of the same nodes, in turns.

    python bench/private.py [--nodes 40] [--rounds 9] [--finds 60] [--json]

All nodes run in one process on loopback, so the processor time of both ends is counted. Ours is the
private mesh, the peer the public one: the same keys, the same chance, the same records.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.measure import Row, medians, options, show
from nodes.codecs import Codecs
from nodes.producer import Producer
from privox_dht.dht import DhtNode
from privox_dht.dht.udp_transport import UdpTransport
from privox_dht.http.pinned_tls import Endpoint
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.membership.tls import server_context
from privox_dht.records import Direct, Record, sign
from privox_dht.relay import Farm, FarmAddress, FarmPool
from privox_dht.speech_api.client import SpeechClient
from privox_dht.speech_api.speech_server import SpeechServer

HOST = "127.0.0.1"
SECRET, NAME = b"a secret of this bench", "bench"
PAUSE = 1.0  # seconds after joining, in which what was begun ends


class World:
    """One mesh: a DHT, a server that can be called, and one that is parked at a farm."""

    def __init__(self, private: bool) -> None:
        self._private = private
        self.nodes: list[DhtNode] = []
        self.rng = random.Random(7)
        self._asker = self.member()

    def member(self) -> Membership | None:
        return Membership(SECRET, NAME) if self._private else None

    @asynccontextmanager
    async def running(self, count: int) -> AsyncIterator[World]:
        async with AsyncExitStack() as stack:
            self.identities = [Identity(bytes([n, n >> 8] * 16)) for n in range(count)]
            for number, identity in enumerate(self.identities):
                node = DhtNode(
                    identity, network=NAME, host=HOST, rng=random.Random(number),
                    member=self.member(),
                )  # fmt: skip
                self.nodes.append(await stack.enter_async_context(node))
                if number:
                    await node.join([(HOST, self.nodes[0].port)])
            await self._serve(stack)
            await asyncio.sleep(PAUSE)
            yield self

    async def _serve(self, stack: AsyncExitStack) -> None:
        identity, member = self.identities[0], self.member()
        context = server_context(identity, member)
        server = await stack.enter_async_context(
            SpeechServer(Producer([], 1, Codecs(1)), host=HOST, tls=context)
        )
        farm_member = self.member()
        farm = await stack.enter_async_context(
            Farm(self.identities[1], host=HOST, port=0, private=True, member=farm_member)
        )

        async def known() -> list[FarmAddress]:
            return [FarmAddress(self.identities[1].public, HOST, farm.port)]

        parked = await stack.enter_async_context(FarmPool(
            identity, known, server_context=context, connection=server.connection,
            on_change=lambda pool: None, want=1, member=member,
        ))  # fmt: skip
        await parked.parked(5)
        self.direct = Endpoint(f"https://{HOST}:{server.port}", identity.public)
        self.relayed = Endpoint(
            f"https://{identity.peer_id}.privox",
            identity.public,
            proxy=f"http://{HOST}:{farm.port}",
        )
        self.kept = await stack.enter_async_context(self.client())

    def client(self) -> SpeechClient:
        return SpeechClient(allow=lambda ip: True, member=self._asker)

    @property
    def sent(self) -> int:
        return sum(node.stats()["sent"] for node in self.nodes)

    async def publish(self) -> None:
        """A record of each node."""
        now = int(time.time())
        for node, identity in zip(self.nodes, self.identities, strict=True):
            await node.publish(sign(identity, Record(
                identity.public, node.mesh, "stt", backend="cpu", engine="echo",
                routes=(Direct("192.0.2.1", 5678),), slots=1, idle=1,
                sequence=int(time.time() * 1000), issued=now, expires=now + 120,
            )))  # fmt: skip

    async def find(self, times: int) -> None:
        for _ in range(times):
            await self.rng.choice(self.nodes).find("stt", "cpu", want=8, fresh=True)

    async def once(self, endpoint: Endpoint) -> None:
        """A short question on a connection of its own."""
        async with self.client() as client:
            await client.status(endpoint)

    async def again(self) -> None:
        """A short question on a connection that stands."""
        await self.kept.status(self.direct)


async def find_costs(worlds: list[World], rounds: int, finds: int) -> list[tuple[float, ...]]:
    """Of each world, per look-up: datagrams, bytes, milliseconds of processor time."""
    costs: list[list[tuple[float, ...]]] = [[] for _ in worlds]
    really, counted = UdpTransport.sendto, [0]

    def sendto(self: UdpTransport, data: Any, addr: Any = None) -> None:
        counted[0] += len(data)
        really(self, data, addr)

    UdpTransport.sendto = sendto  # type: ignore[method-assign]
    try:
        for _ in range(rounds):
            for world, found in zip(worlds, costs, strict=True):
                sent, size, began = world.sent, counted[0], time.process_time()
                await world.find(finds)
                used = time.process_time() - began
                found.append(
                    ((world.sent - sent) / finds, (counted[0] - size) / finds, used * 1e3 / finds)
                )
    finally:
        UdpTransport.sendto = really  # type: ignore[method-assign]
    return [tuple(statistics.median(column) for column in zip(*found, strict=True))
            for found in costs]  # fmt: skip


async def measure(nodes: int, rounds: int, finds: int) -> list[Row]:
    private, public = World(private=True), World(private=False)
    async with private.running(nodes), public.running(nodes):
        worlds = [private, public]
        published = await medians(rounds, *(world.publish for world in worlds), warm=1)
        ours, peer = await find_costs(worlds, rounds, finds)
        direct = await medians(rounds * 5, *(lambda w=world: w.once(w.direct) for world in worlds))
        again = await medians(rounds * 5, *(world.again for world in worlds))
        relayed = await medians(
            rounds * 5, *(lambda w=world: w.once(w.relayed) for world in worlds)
        )
        assert not any(node.stats()["dropped"] for world in worlds for node in world.nodes)
    return [
        Row("datagrams of a look-up", ours[0], peer[0], "", 1.02),
        Row("bytes of a look-up", ours[1] / 1e3, peer[1] / 1e3, "kB"),
        Row("processor time of a look-up, both ends", ours[2], peer[2], "ms"),
        took(f"{nodes} publications", published),
        took("a question on a new connection", direct),
        took("a question on one that stands", again, 1.05),
        took("the same through a farm, new", relayed),
    ]


def took(what: str, seconds: list[float], aim: float | None = None) -> Row:
    """A row of two medians."""
    ours, peer = seconds
    return Row(what, ours * 1e3, peer * 1e3, "ms", aim)


def main() -> None:
    chosen = options(str(__doc__), nodes=40, rounds=9, finds=60)
    rows = asyncio.run(measure(chosen.nodes, chosen.rounds, chosen.finds))
    show("a private mesh beside a public one", rows, chosen.json)


if __name__ == "__main__":
    main()
