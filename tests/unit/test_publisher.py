"""Publishing where much is lost, in virtual time; and what a publisher remembers."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bench.sim import virtual, worlds
from privox_dht.dht import dht_limits
from privox_dht.dht.publisher import _remember


def _lose(
    air: virtual.Air, monkeypatch: pytest.MonkeyPatch, is_lost: Callable[[bytes], bool]
) -> None:
    """From now on, what `is_lost` says is lost on the way."""
    carry = air.carry

    def lossy(data: bytes, *more: Any) -> None:
        if not is_lost(data):
            carry(data, *more)

    monkeypatch.setattr(air, "carry", lossy)


@pytest.mark.usefixtures("quick")
def test_a_record_counts_as_published_once_the_only_other_node_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It said "held by 1 node", itself, after a tenth of a second; a client that came then found
    nobody. The next announcement was 45 s away."""
    air, world = virtual.Air(1), worlds.Ours(1)
    puts: list[bytes] = []

    def is_lost(data: bytes) -> bool:
        if b"store" in data:
            puts.append(data)
        return b"store" in data and len(puts) % 5 != 0  # all but the last of each that are tried

    async def story() -> None:
        first = await world.start(1, [])
        one = await world.start(2, [first.ip])
        await asyncio.sleep(5.0)  # until each has given the other its proof
        _lose(air, monkeypatch, is_lost)
        assert await one.publish(worlds.record_of(one, "stt")) == 2
        assert world.holds(first, "stt")

    virtual.run(air, story)


@pytest.mark.usefixtures("quick")
def test_a_record_that_no_other_node_took_is_not_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its own copy is found by those only who ask it; the announcer tries again soon."""
    air, world = virtual.Air(2), worlds.Ours(2)

    async def story() -> None:
        alone = await world.start(1, [])
        assert await alone.publish(worlds.record_of(alone, "stt")) == 1  # there is nobody else
        one = await world.start(2, [alone.ip])
        await asyncio.sleep(5.0)
        _lose(air, monkeypatch, lambda data: b"store" in data)
        assert await one.publish(worlds.record_of(one, "stt")) == 0

    virtual.run(air, story)


@pytest.mark.usefixtures("quick")
def test_who_hears_nothing_from_anybody_does_not_wait_for_each_of_its_records() -> None:
    """A node that moved says so as soon as it can: what it said before must not hold it up."""
    air, world = virtual.Air(3), worlds.Ours(3)

    async def story() -> None:
        first = await world.start(1, [])
        one = await world.start(2, [first.ip])
        await asyncio.sleep(5.0)
        air.dead.add(first.ip)
        loop = asyncio.get_running_loop()
        await one.publish(worlds.record_of(one, "stt"))
        began = loop.time()
        assert await one.publish(worlds.record_of(one, "stt")) == 0
        assert loop.time() - began < dht_limits.HARD_TIMEOUT

    virtual.run(air, story)


def test_the_latest_are_remembered_and_no_more_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dht_limits, "PUBLISHED_KEPT", 3)
    some: dict[int, str] = {}
    for number in (1, 2, 3, 1, 4):
        _remember(some, number, str(number))
    assert some == {3: "3", 1: "1", 4: "4"}


def test_there_is_room_for_all_that_may_be_placed_for_others() -> None:
    assert dht_limits.PUBLISHED_KEPT >= 9 * dht_limits.HOSTED_RECORDS + 9
