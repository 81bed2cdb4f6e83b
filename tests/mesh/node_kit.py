"""Nodes in this process, on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from kit import HOST

from nodes.config import NodeConfig
from nodes.node import Node
from nodes.service_spec import parse_services
from privox_dht.relay import Farm


def node_at(folder: Path, *services: str, neighbour: int | None = None, **config: Any) -> Node:
    """A node, to be entered.

    Args:
        neighbour: at this port of this machine.
    """
    told: dict[str, Any] = {"port": 0, "relay_port": 0, "host": HOST, **config}
    if neighbour:
        told["neighbours"] = ((HOST, neighbour),)
    return Node(NodeConfig(folder, services=tuple(parse_services(services)), **told))


def farm_in(node: Node) -> Farm:
    """What relays there."""
    assert node.relaying.farm is not None
    return node.relaying.farm


@asynccontextmanager
async def running(
    folder: Path, *services: str, neighbour: int | None = None, **config: Any
) -> AsyncIterator[Node]:
    """A node that has joined, and whose records are out."""
    async with node_at(folder, *services, neighbour=neighbour, **config) as node:
        if neighbour or "neighbours" in config:
            await node.reachability.joined.wait()
        if services:
            await node.announcer.announce()
        yield node
