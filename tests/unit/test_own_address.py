"""Which addresses a node takes for its own, by what it was told."""

import asyncio

import pytest

from bench.sim import virtual, worlds
from privox_dht.dht import DhtNode
from privox_dht.identity import Identity


@pytest.mark.parametrize(
    ("interfaces", "reached", "own"),
    [
        ([], [], set()),
        (["20.0.0.1", "192.168.1.5"], [], {"20.0.0.1"}),
        (["192.168.1.5"], ["20.0.0.1"], {"20.0.0.1"}),
        ([], ["20.0.0.1", "2600::1"], {"20.0.0.1", "2600::1"}),
        ([], ["20.0.0.1", "20.0.0.2"], set()),  # one of them may be a liar's word
        (["20.0.0.2"], ["20.0.0.1", "20.0.0.2", "2600::1"], {"20.0.0.2", "2600::1"}),
    ],
)
def test_ours_are_global_addresses_of_an_interface_and_where_we_were_dialled_back(
    interfaces: list[str], reached: list[str], own: set[str]
) -> None:
    node = DhtNode(Identity.generate())
    node.set_own_addresses(interfaces, reached=reached)
    assert node._state.own_global == own


def test_a_node_that_knows_nobody_has_no_witnesses_and_sees_itself_nowhere() -> None:
    node = DhtNode(Identity.generate())
    assert not node.has_witnesses
    assert (node.observed(), node.seen_by_any(), node.contacts()) == ([], [], [])
    assert node.clock_offset() is None
    node._state.witnesses[("20.0.0.1", 5)] = bytes(20)
    assert node.has_witnesses


@pytest.mark.usefixtures("quick")
def test_a_node_that_moved_forgets_where_it_was_and_is_seen_anew() -> None:
    air, world = virtual.Air(3), worlds.Ours(3)

    async def story() -> None:
        first = await world.start(1, [])
        node = [await world.start(number, [first.ip]) for number in (2, 3, 4)][-1]
        await asyncio.sleep(5.0)
        assert node.observed() == [(node.ip, worlds.PORT)] and len(node.contacts()) == 3
        node.addresses_changed()
        assert (node.observed(), node.seen_by_any()) == ([], [])
        await asyncio.sleep(5.0)
        assert node.observed() == [(node.ip, worlds.PORT)] and len(node.contacts()) == 3

    virtual.run(air, story)


@pytest.mark.usefixtures("quick")
def test_whoever_is_asked_says_where_it_sees_us_and_that_is_told() -> None:
    air, world = virtual.Air(4), worlds.Ours(4)

    async def story() -> None:
        first = await world.start(1, [])
        node = await world.start(2, [first.ip])
        await asyncio.sleep(5.0)
        node._state.observations.forget()
        news = asyncio.Event()
        node.on_new_address(news.set)
        node.ask_own_address()
        await asyncio.wait_for(news.wait(), 5.0)
        assert node.seen_by_any() == [node.ip] and node.observed() == [], "one is not believed"

    virtual.run(air, story)


@pytest.mark.usefixtures("quick")
def test_a_node_that_knows_nobody_asks_nobody_where_it_is() -> None:
    air, world = virtual.Air(5), worlds.Ours(5)

    async def story() -> None:
        node = await world.start(1, [])
        node.ask_own_address()
        await asyncio.sleep(5.0)
        assert air.sent == 0

    virtual.run(air, story)
