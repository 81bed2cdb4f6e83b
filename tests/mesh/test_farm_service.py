"""A farm that nobody asked for: opened once strangers can call the node, and never in the way."""

import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from kit import HOST, turns, until

from nodes.config import NodeConfig
from nodes.farm_service import FarmService, side_farm_limits
from nodes.routes import NetworkState
from privox_dht.identity import Identity
from privox_dht.records import FARM, Direct
from privox_dht.relay import FarmLimits, relay_limits

OUTSIDE = "198.51.100.7"


class Monitor:
    """A reachability monitor that finds what it is told to."""

    def __init__(self, *local: str) -> None:
        self.reachable = asyncio.Event()
        self.network_state = NetworkState(5678, local=local, observed=(OUTSIDE,))
        self.relay_port = self.checks = 0

    def check_soon(self) -> None:
        self.checks += 1

    def farm_network_state(self, port: int) -> NetworkState:
        return self.network_state


def service(folder: Path, reachability: Any, **config: Any) -> FarmService:
    told = NodeConfig(folder, host=HOST, **{"relay_port": 0, **config})
    return FarmService(told, Identity.generate(), b"m" * 8, reachability)


async def test_a_node_that_strangers_can_call_relays_for_few_and_is_found(tmp_path: Path) -> None:
    reachability = Monitor("192.168.1.10")
    async with service(tmp_path, reachability) as some:
        assert some.lends == frozenset() and some.records() == [] and some.status() == {}
        reachability.reachable.set()
        await until(lambda: reachability.checks)
        assert some.farm is not None and reachability.relay_port == some.farm.port
        assert some.farm.terms.producers == relay_limits.SIDE_FARM_PRODUCERS
        [record] = some.records()
        assert record.kind == FARM and record.routes == (Direct(OUTSIDE, some.farm.port),)
        assert some.status()["farm"]["parked"] == 0


async def test_a_first_node_that_starts_before_its_network_relays_all_the_same(
    tmp_path: Path,
) -> None:
    """With --advertise it counts as reachable before it has an address: it never relayed."""
    reachability = Monitor()
    reachability.reachable.set()
    async with service(tmp_path, reachability) as some:
        await until(lambda: reachability.checks)
        assert some.farm is not None


async def test_on_a_mesh_that_is_all_on_this_machine_nobody_is_relayed(tmp_path: Path) -> None:
    reachability = Monitor(HOST)
    reachability.reachable.set()
    async with service(tmp_path, reachability) as some:
        await turns()
        assert some.farm is None and reachability.checks == 0


async def test_a_port_that_cannot_be_had_costs_the_node_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reachability = Monitor("192.168.1.10")
    reachability.reachable.set()
    caplog.set_level(logging.INFO, "privox.node")
    with socket.create_server((HOST, 0)) as taken:
        async with service(tmp_path, reachability, relay_port=taken.getsockname()[1]) as some:
            await until(lambda: "not relaying for others: a farm cannot listen" in caplog.text)
            assert some.farm is None and reachability.checks == 0


def test_what_the_owner_said_of_his_farm_is_kept() -> None:
    assert side_farm_limits(FarmLimits()).buffered == relay_limits.SIDE_FARM_BUFFERED
    assert side_farm_limits(FarmLimits(producers=9)).producers == 9
