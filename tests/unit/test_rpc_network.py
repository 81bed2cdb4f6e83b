"""The sockets of a node as one, in virtual time: whom it meets, and whether it hears anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bench.sim import virtual, worlds
from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.dht.iterative_lookup import IterativeLookup

NOBODY = (virtual.address_of(99), worlds.PORT)
pytestmark = pytest.mark.usefixtures("quick")


def told(nodes: int, story: Callable[[virtual.Air, list[worlds.SimNode]], Awaitable[None]]) -> None:
    """Have a story told in a mesh of so many nodes, all of whom have met the first."""
    air, world = virtual.Air(7), worlds.Ours(7)

    async def main() -> None:
        mesh = [await world.start(1, [])]
        for number in range(2, nodes + 1):
            mesh.append(await world.start(number, [mesh[0].ip]))
        await asyncio.sleep(5.0)  # until all have given their proofs
        await story(air, mesh)

    virtual.run(air, main)


def test_with_a_contact_that_answers_our_own_network_is_there_and_it_is_known_soon() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        began = asyncio.get_running_loop().time()
        assert await mesh[1].hears_anybody(30.0)
        assert asyncio.get_running_loop().time() - began < 1.0

    told(3, story)


def test_where_no_contact_answers_our_own_network_is_gone_and_it_is_known_in_time() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        air.dead |= {node.ip for node in mesh[1:]}
        began = asyncio.get_running_loop().time()
        assert not await mesh[0].hears_anybody(3.0)
        assert asyncio.get_running_loop().time() - began == pytest.approx(3.0)

    told(4, story)


def test_one_that_answers_among_the_dead_is_enough() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        assert mesh[0]._network.size == limits.OWN_NETWORK_ASKED
        air.dead |= {node.ip for node in mesh[2:]}
        assert await mesh[0].hears_anybody(3.0)

    told(limits.OWN_NETWORK_ASKED + 1, story)


def test_with_nobody_to_ask_our_own_network_is_taken_to_be_there() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        began = asyncio.get_running_loop().time()
        assert await mesh[0].hears_anybody(30.0)
        assert asyncio.get_running_loop().time() == began

    told(1, story)


def test_whoever_gives_its_proof_is_met_and_who_is_silent_is_nobody() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        network, other = mesh[1]._network, mesh[2]
        met = await network.meet((other.ip, worlds.PORT))
        assert met is not None and met.id == other.identity.dht_id
        assert await network.meet(NOBODY) is None
        assert NOBODY[0] not in [contact.ip for contact in network.contacts()]

    told(3, story)


def test_a_ping_that_nobody_waits_for_finds_out_that_a_contact_has_gone() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        network = mesh[0]._network
        air.dead.add(mesh[1].ip)
        for _ in range(dht_limits.CONTACT_FAILURES):
            assert network.size == 2
            for contact in network.contacts():
                network.ping(contact)
            await asyncio.sleep(2 * dht_limits.HARD_TIMEOUT)
        assert [contact.ip for contact in network.contacts()] == [mesh[2].ip]

    told(3, story)


def test_an_address_of_a_family_without_a_socket_cannot_be_reached() -> None:
    async def story(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        network = mesh[0]._network
        assert network.can_reach(NOBODY) and not network.can_reach(("2600::1", 5))
        with pytest.raises(KeyError):
            network.socket(("2600::1", 5))
        assert repr(network) == "<RpcNetwork 1 sockets, 1 contacts>"

    told(2, story)


def test_a_node_alone_may_be_the_closest_to_any_key_and_in_a_large_mesh_to_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def alone(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        assert mesh[0]._network.reach() >= 1 << 160

    async def among_many(air: virtual.Air, mesh: list[worlds.SimNode]) -> None:
        network = mesh[0]._network
        monkeypatch.setattr(type(network), "mesh_size", lambda self: 1e6)
        share = dht_limits.HOLDER_REACH * dht_limits.BUCKET / 1e6
        assert network.reach() == pytest.approx((1 << 160) * share)
        assert IterativeLookup(network, bytes(20)).shortlist.reach == 1 << 160

    told(1, alone)
    told(2, among_many)
