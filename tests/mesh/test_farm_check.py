"""The doctor's two probes about farms: does one take this machine, and can the one that this
machine is to be called?"""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from dht_kit import NamedNode, mesh_of, node_of
from kit import HOST
from relay_kit import OneFarm, farm_of, serving

from nodes import farm_check
from nodes.config import NodeConfig
from nodes.farm_check import park, relay_verdict
from nodes.verdict import NO, UNKNOWN, YES, Verdict
from privox_dht import limits
from privox_dht.dht import Reachability, dht_limits
from privox_dht.dht.wire import FAMILY_4, FAMILY_6
from privox_dht.identity import Identity
from privox_dht.relay import FarmAddress, FarmPool


@pytest.fixture
def relay_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port of this machine, which is every relay's in this process."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port = int(sock.getsockname()[1])
    monkeypatch.setattr(limits, "RELAY_PORT", port)
    return port


class Asker:
    """Instead of a node: what those whom it asks find is said, one look after another."""

    def __init__(self, *looks: list[Reachability]) -> None:
        self.looks = list(looks)

    async def dial_back(self, port: int) -> list[Reachability]:
        return self.looks.pop(0)


async def examined(folder: Path, dht: NamedNode | Asker) -> Verdict:
    config = NodeConfig(folder, host=HOST, farm=True, relay_port=limits.RELAY_PORT)
    return await farm_check.relay(config, dht)  # type: ignore[arg-type]  # no more is asked of it


async def test_a_relays_port_that_strangers_can_call_is_open(
    tmp_path: Path, relay_port: int
) -> None:
    async with mesh_of(3) as nodes, node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        verdict = await examined(tmp_path, asker)
    assert (verdict.found, verdict.detail) == (YES, f"TCP {relay_port} open")
    socket.create_server((HOST, relay_port)).close()  # nothing of the probe holds it


async def test_a_node_that_relays_already_answers_for_itself(
    tmp_path: Path, relay_port: int
) -> None:
    async with mesh_of(3) as nodes, node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        with socket.create_server((HOST, relay_port)):
            verdict = await examined(tmp_path, asker)
    assert verdict.found == YES


async def test_a_relays_port_at_which_nobody_is_let_in_is_closed_and_the_advice_says_which(
    tmp_path: Path, relay_port: int
) -> None:
    """It is taken by somebody who does not listen, so that every call is refused."""
    async with mesh_of(3) as nodes, node_of(guest=True) as asker:
        await asker.join([(HOST, nodes[0].port)])
        with socket.socket() as taken:
            taken.bind((HOST, relay_port))
            verdict = await examined(tmp_path, asker)
    assert (verdict.found, verdict.detail) == (NO, f"TCP {relay_port} closed")
    assert f"let TCP {relay_port} in" in verdict.advice


async def test_who_will_not_call_one_address_so_soon_again_is_asked_later(
    tmp_path: Path, relay_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dht_limits, "DIAL_SAME_TARGET", 0.0)
    nobody = [Reachability(FAMILY_4)]
    called = [Reachability(FAMILY_4, True, True, ((HOST, relay_port),), 1)]
    asker = Asker(nobody, called)
    assert (await examined(tmp_path, asker)).found == YES and not asker.looks
    asker = Asker(nobody, nobody, called)
    assert (await examined(tmp_path, asker)).found == UNKNOWN and asker.looks == [called]


async def test_no_other_port_than_the_relays_is_called_back_so_nobody_is_asked(
    tmp_path: Path,
) -> None:
    config = NodeConfig(tmp_path, host=HOST, farm=True, relay_port=limits.RELAY_PORT + 1)
    verdict = await farm_check.relay(config, Asker())  # type: ignore[arg-type]
    assert verdict.found == UNKNOWN and f"only {limits.RELAY_PORT} is" in verdict.advice


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([], UNKNOWN),
        ([Reachability(FAMILY_4)], UNKNOWN),
        ([Reachability(FAMILY_4, True, False)], NO),
        ([Reachability(FAMILY_4, True, True, ((HOST, 1),)), Reachability(FAMILY_6, False)], YES),
    ],
)
def test_whether_a_farm_can_be_called_at_its_port_is_said(
    found: list[Reachability], verdict: str
) -> None:
    said = relay_verdict(1776, found)
    assert said.found == verdict
    assert ("let TCP 1776 in" in said.advice) is (verdict == NO)


# -- does a farm take this machine -----------------------------------------------------------------


def nobody_parks(farm: FarmAddress) -> FarmPool:
    raise AssertionError("no farm is known")


async def test_by_a_wrong_clock_it_is_not_said_that_there_is_no_farm() -> None:
    """Its owner was told to run one."""
    async with AsyncExitStack() as stack:
        verdict, farm = await park(stack, [], nobody_parks, True)
    assert (verdict.found, farm) == (UNKNOWN, None) and "set the clock" in verdict.advice


async def test_where_there_is_no_farm_the_advice_is_to_run_one() -> None:
    async with AsyncExitStack() as stack:
        verdict, farm = await park(stack, [], nobody_parks, False)
    assert (verdict.found, farm) == (NO, None) and "privox-node --farm" in verdict.advice


def nowhere() -> FarmAddress:
    """A farm that is not there any more."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return FarmAddress(Identity.generate().public, HOST, int(sock.getsockname()[1]))


@pytest.mark.parametrize(("gone", "taken"), [(0, True), (2, True), (3, False)])
async def test_the_first_of_three_farms_that_takes_this_machine_is_told(
    monkeypatch: pytest.MonkeyPatch, gone: int, taken: bool
) -> None:
    """Each takes seconds, so no more than three are tried."""
    identity = Identity.generate()
    async with serving() as served, farm_of(identity) as there, AsyncExitStack() as stack:
        farms = [nowhere() for _ in range(gone)]
        where = FarmAddress(identity.public, HOST, there.port)

        def pool(farm: FarmAddress) -> OneFarm:
            within = 0.2 if farm in farms else 10.0  # who is gone need not be waited for
            monkeypatch.setattr(farm_check, "PARK_TIMEOUT", within)
            context, connection = served.context, served.server
            return OneFarm(served.identity, farm, server_context=context, connection=connection)

        verdict, farm = await park(stack, [*farms, where], pool, False)
        if taken:
            assert (verdict.found, farm) == (YES, where)
            assert verdict.detail == f"parked at {HOST}:{there.port}"
            assert there.stats()["producers"] == 1, "for as long as the stack is open"
        else:
            assert (verdict.found, farm) == (NO, None) and "TCP" in verdict.advice
            assert [f"{HOST}:{one.port}" in verdict.detail for one in farms] == [True] * 3
