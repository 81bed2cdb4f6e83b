"""What the tests of the gateway share: a node with a gateway, and producers that join its mesh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from api_kit import Counting
from kit import HOST

from nodes.config import NodeConfig
from nodes.demo import RunningNode
from nodes.engine_startup import records_of
from nodes.gateway.config import GatewayConfig
from nodes.gateway.gateway import Gateway
from nodes.node import Node
from privox_dht.identity import Identity
from privox_dht.records import Direct, sign
from privox_dht.speech import SERVICES
from privox_dht.speech_api.speech_server import SpeechServer

SEEN_WITHIN = 20.0  # seconds for the gateway to see who has come
ANY_PORT = GatewayConfig(port=0)


class GatewayMesh:
    """A mesh of two nodes, one with the gateway, and of the producers that a test lends."""

    def __init__(self, first: Node, node: Node, folder: Path, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._started = 0
        self.first = first
        self.node = node
        self._stack = stack

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, folder: Path, gateway: GatewayConfig = ANY_PORT, **config: Any
    ) -> AsyncIterator[GatewayMesh]:
        """An empty one."""
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            first = await enter(Node(NodeConfig(folder / "first", port=0, host=HOST)))
            told = NodeConfig(
                folder / "gateway", port=0, host=HOST, neighbours=((HOST, first.dht.port),),
                gateway=gateway, **config,
            )  # fmt: skip
            node = await enter(Node(told))
            await node.reachability.joined.wait()
            yield cls(first, node, folder, stack)

    @property
    def gateway(self) -> Gateway:
        assert self.node.gateway is not None
        return self.node.gateway

    @property
    def port(self) -> int:
        """Where the gateway listens."""
        return self.gateway.port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def see(self, *services: str) -> None:
        """Return when the gateway knows who does these services; all of them, if none is named. A
        look that is under way may have missed whoever has just come."""
        provider, wanted = self.gateway.provider, set(services or SERVICES)
        async with asyncio.timeout(SEEN_WITHIN):
            while not wanted <= {info.service for info in provider.engines()}:
                await provider.refresh()

    async def see_two_producers(self) -> None:
        """Return when the gateway knows two for each service."""
        provider = self.gateway.provider
        async with asyncio.timeout(SEEN_WITHIN):
            while any(told["producers"] < 2 for told in provider.status().values()):
                await provider.refresh()

    async def start(self, services: str, *arguments: str) -> RunningNode:
        """A producer that is a process of its own, once its records are out."""
        self._started += 1
        name = f"producer {self._started}"
        joining = ("--neighbours", f"{HOST}:{self.first.dht.port}")
        role = (*joining, "--services", services, "--slots", "8", *arguments)
        node = RunningNode(name, [*role], self._folder / name)
        self._stack.callback(node.stop)
        await asyncio.to_thread(node.wait_for, "published")
        return node

    async def lend(self, provider: Counting) -> SpeechServer:
        """Have `provider` join as a producer of its own; it stays until the test ends."""
        identity, dht = Identity.generate(), self.first.dht
        server = await self._stack.enter_async_context(
            SpeechServer(provider, host=HOST, tls=identity.server_context())
        )
        now = int(time.time())
        records = records_of(provider.engines(), dht.mesh, provider.slots, provider.slots)
        for record in records:
            word = replace(
                record, routes=(Direct(HOST, server.port),),
                sequence=now * 1000, issued=now, expires=now + 100,
            )  # fmt: skip
            assert await dht.publish(sign(identity, word))
        return server
