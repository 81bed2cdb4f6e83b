"""Silence that nobody else's answer explains, in virtual time: is it they who are gone, or is it
our own network? The first is forgotten or not waited for; from the second we come back."""

import asyncio

import pytest

from bench.sim import virtual, worlds
from privox_dht import limits

MINUTE, HOUR = 60.0, 3600.0  # seconds


pytestmark = pytest.mark.usefixtures("quick")


async def mesh(world: worlds.Ours, count: int) -> list[worlds.SimNode]:
    first = await world.start(1, [])
    nodes = [first, *[await world.start(number, [first.ip]) for number in range(2, count + 1)]]
    await asyncio.sleep(20.0)  # until all have given one another their proof
    return nodes


async def took(node: worlds.SimNode, kind: str) -> float:
    """Seconds that a find of what nobody has takes."""
    began = asyncio.get_running_loop().time()
    assert await node.find(kind, "cpu", fresh=True) == []
    return asyncio.get_running_loop().time() - began


def test_whoever_is_alone_with_one_that_vanished_waits_for_it_no_longer_than_a_minute() -> None:
    """Nobody else ever answers, so it may as well be our own network, and it is not forgotten.
    Every find of what nobody has then took 5 s, for good."""
    air, world = virtual.Air(1), worlds.Ours(1)

    async def story() -> None:
        one, other = await mesh(world, 2)
        air.dead.add(other.ip)
        assert await took(one, "stt") == pytest.approx(5.0)  # it may be a moment's trouble
        await asyncio.sleep(1.5 * MINUTE)
        assert await took(one, "stt") < 1.0
        client = world.node(3, guest=True)
        async with client:
            await client.join([(one.ip, worlds.PORT)])
            assert await took(client, "stt") < 1.0  # it is not told of the other
        await asyncio.sleep(HOUR)
        air.dead.clear()
        assert await world.put(other, "tts")
        assert await world.get(one, "tts")  # without a word from anybody
        await asyncio.sleep(MINUTE)
        assert [contact.failures for contact in one._network.contacts()] == [0]

    virtual.run(air, story)


def test_a_first_node_that_asks_nobody_tells_of_one_that_vanished_for_a_minute_at_most() -> None:
    """Whoever is told of it waits for it: one answer is too few for "nothing" to be an answer."""
    air, world = virtual.Air(2), worlds.Ours(2)

    async def story() -> None:
        first, other = await mesh(world, 2)
        air.dead.add(other.ip)
        await asyncio.sleep(1.5 * MINUTE)
        async with world.node(3, guest=True) as client:
            await client.join([(first.ip, worlds.PORT)])
            assert await took(client, "stt") < 1.0

    virtual.run(air, story)


@pytest.mark.parametrize("busy", [False, True], ids=["at rest", "looking for somebody"])
def test_a_node_whose_own_network_was_gone_for_an_hour_is_back_by_itself(busy: bool) -> None:
    """Everybody was silent, so nobody was gone: all are kept, and asked until they answer."""
    air, world = virtual.Air(3), worlds.Ours(3)

    async def story() -> None:
        nodes = await mesh(world, 40)
        away = nodes[7]
        await asyncio.sleep(2 * MINUTE)
        known = set(away.contacts())
        assert len(known) > 20
        air.dead.add(away.ip)
        until = asyncio.get_running_loop().time() + HOUR
        while asyncio.get_running_loop().time() < until:
            await asyncio.sleep(45.0)
            if busy:
                await took(away, "stt")
        assert set(away.contacts()) == known
        if busy:
            assert await took(away, "stt") <= 1.0
        air.dead.clear()
        assert await world.put(nodes[20], "tts")
        assert await world.get(away, "tts")  # at once
        await asyncio.sleep(5 * MINUTE)
        assert set(away.contacts()) >= known
        assert not any(contact.failures for contact in away._network.contacts())
        assert await world.put(away, "stt")
        assert all([await world.get(node, "stt") for node in nodes])
        there = (away.ip, worlds.PORT)
        assert sum(there in node.contacts() for node in nodes) > 10

    virtual.run(air, story)


def test_what_was_silent_while_others_answered_is_forgotten_within_a_minute() -> None:
    air, world = virtual.Air(4), worlds.Ours(4)

    async def story() -> None:
        nodes = await mesh(world, 6)
        gone = nodes.pop()
        air.dead.add(gone.ip)
        await asyncio.gather(*(world.put(node, f"kind{n}") for n, node in enumerate(nodes)))
        await asyncio.sleep(MINUTE)
        assert all((gone.ip, worlds.PORT) not in node.contacts() for node in nodes)

    virtual.run(air, story)


def test_who_hears_from_no_contact_asks_the_neighbours_it_was_told_of_again() -> None:
    """The first node was restarted, and had been forgotten; then the one contact that was left got
    another address. A lender was alone for good, beside a neighbour that was there all the time."""
    air, world = virtual.Air(6), worlds.Ours(6)

    async def story() -> None:
        first, other = await mesh(world, 2)
        lender = world.node(3, guest=True)
        async with lender:
            await lender.join([(first.ip, worlds.PORT)])
            await world.put(lender, "tts")  # it was dialled back: nobody is left alone any more
            await asyncio.sleep(5.0)
            air.dead.add(first.ip)
            while (first.ip, worlds.PORT) in lender.contacts():
                await lender.find("stt", "cpu", fresh=True)
            assert (other.ip, worlds.PORT) in lender.contacts()
            air.dead.clear()
            assert await world.put(first, "stt")
            air.dead.add(other.ip)
            began = asyncio.get_running_loop().time()
            while not await lender.find("stt", "cpu", fresh=True):
                assert asyncio.get_running_loop().time() - began < 10.0

    virtual.run(air, story)


def test_a_neighbour_that_hears_only_the_eighth_datagram_is_joined_before_udp_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where 30 of 100 datagrams are lost that is no rare thing."""
    air, world = virtual.Air(5), worlds.Ours(5)
    carry, said = air.carry, []

    def lossy(
        data: bytes, source: virtual.Address, target: virtual.Address, loop: virtual.VirtualLoop
    ) -> None:
        said.append(data)
        if len(said) > 7:
            carry(data, source, target, loop)

    async def story() -> None:
        first = await world.start(1, [])
        newcomer = world.node(2)
        async with newcomer:
            monkeypatch.setattr(air, "carry", lossy)
            began = asyncio.get_running_loop().time()
            assert await newcomer.join([(first.ip, worlds.PORT)]) == 1
            assert asyncio.get_running_loop().time() - began < limits.UDP_WAIT
        await first.__aexit__(None, None, None)

    virtual.run(air, story)
