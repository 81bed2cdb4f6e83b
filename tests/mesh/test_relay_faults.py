"""Farms that die, freeze, stop or fill, and readers that are slow."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import psutil
import pytest
from kit import HOST, until
from relay_kit import (
    HURRY,
    OneFarm,
    Served,
    at,
    call_for,
    connect,
    farm_of,
    farm_process,
    get,
    parked,
    parkings,
    post,
    relayed,
    serving,
)

from bench.relay_parts import Pin
from privox_dht.errors import ConfigError, ProducerLost
from privox_dht.identity import Identity
from privox_dht.relay import Farm, FarmAddress, FarmLimits, FarmPool, Timeouts
from privox_dht.relay.producer.session import REFUSAL_TEXTS

FARM, OTHER, THIRD = Identity.generate(), Identity.generate(), Identity.generate()
SEEDS = [bytes([n]) * 32 for n in (1, 2, 3)]


def via(farm: FarmAddress, producer: Identity, path: str = "/count") -> dict[str, Any]:
    """Arguments for a request through a farm of which only the address is known."""
    return {
        "url": f"https://{producer.peer_id}.privox{path}",
        "proxy": f"http://{farm.host}:{farm.port}",
        "ssl": Pin(producer.public),
    }


async def test_a_farm_that_comes_back_is_parked_at_again() -> None:
    async with serving() as served, AsyncExitStack() as first:
        farm = await first.enter_async_context(farm_of(FARM))
        states: list[str] = []
        parking = at(served, farm, FARM, on_change=lambda p: states.append(p.state))
        async with parking:
            await parking.parked(5)
            await first.aclose()
            await until(lambda: parking.state == "lost")
            async with Farm(FARM, host=HOST, port=farm.port, private=True) as again:
                await parking.parked(5)
                assert (await post(relayed(again, served, "/count")))["bytes"] == 4
        assert states[:2] == ["parked", "lost"] and states[-1] == "parked"


async def test_another_farm_at_the_same_address_is_not_parked_at() -> None:
    async with serving() as served, farm_of(OTHER) as farm:
        parking = at(served, farm, FARM)
        async with parking:
            await until(lambda: parking.state == "lost")
            assert "another farm answers" in parking.why
            with pytest.raises(ProducerLost, match="not parked at"):
                await parking.parked(0.1)
        assert farm.stats()["producers"] == 0


async def test_a_killed_farm_is_replaced_at_once_and_the_other_serves_meanwhile() -> None:
    async with serving() as served, AsyncExitStack() as stack:
        farms = [await stack.enter_async_context(farm_process(s, HURRY)) for s in SEEDS]
        by_key = {at_.public: process for process, at_ in farms}
        changes: list[tuple[FarmAddress, ...]] = []
        some = await stack.enter_async_context(
            parkings(served, [a for _, a in farms], on_change=lambda p: changes.append(p.parked_at))
        )
        dead, standing = some.parked_at
        before = len(changes)
        by_key[dead.public].kill()
        await until(lambda: len(some.parked_at) == 2 and dead not in some.parked_at, 3)
        for farm in some.parked_at:
            assert (await post(via(farm, served.identity)))["bytes"] == 4
        without = next(farms for farms in changes[before:] if dead not in farms)
        assert without == (standing,), "the record is published without the dead farm at once"


async def test_a_frozen_farm_is_noticed_although_its_kernel_still_answers() -> None:
    async with serving() as served, farm_process(SEEDS[0], HURRY) as (process, where):
        parking = OneFarm(
            served.identity,
            where,
            server_context=served.context,
            connection=served.server,
            timeouts=HURRY,
        )
        async with parking:
            await parking.parked(5)
            process.send_signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                await until(lambda: parking.state == "lost")
                assert "fell silent" in parking.why
                assert time.monotonic() - began < 2 * HURRY.silence
            finally:
                process.send_signal(signal.SIGCONT)
            await parking.parked(15)


async def test_a_frozen_producer_is_forgotten_by_the_farm() -> None:
    me = Identity.generate()
    async with farm_of(FARM, timeouts=HURRY) as farm, serving(me) as served:
        sleepy = Timeouts(ping=60, silence=60)
        async with at(served, farm, FARM, timeouts=sleepy) as parking:
            await parking.parked(5)
            await until(lambda: farm.stats()["producers"] == 0)
            assert farm.stats()["dropped"]["silence"] >= 1  # type: ignore[index]


async def test_pings_keep_a_quiet_parking_alive() -> None:
    async with (
        serving() as served,
        farm_of(FARM, timeouts=HURRY) as farm,
        parked(served, farm, FARM, timeouts=HURRY) as parking,
    ):
        began = time.monotonic()
        await until(lambda: time.monotonic() - began > 3 * HURRY.silence)
        assert parking.state == "parked" and parking.why == ""


async def test_a_farm_that_drains_lets_calls_end_and_sends_producers_elsewhere() -> None:
    async with serving() as served, farm_of(FARM) as farm, farm_of(OTHER) as other:
        known = [FarmAddress(FARM.public, HOST, farm.port)]
        async with parkings(served, known, want=1) as some:
            job = asyncio.ensure_future(get(relayed(farm, served, "/zeros/50000000")))
            await until(lambda: farm.stats()["calls"] == 1)
            known[:] = [FarmAddress(OTHER.public, HOST, other.port)]
            draining = asyncio.create_task(farm.drain(10))
            await some.parked(5)
            await until(lambda: [f.public for f in some.parked_at] == [OTHER.public])
            call = await connect(farm)
            call.say(call_for(served))
            assert (await call.head()).startswith(b"HTTP/1.1 503")
            call.close()
            assert len(await job) == 50_000_000
            await asyncio.wait_for(draining, 5)
            assert (await post(relayed(other, served, "/count")))["bytes"] == 4


async def test_a_drain_is_over_when_its_time_is() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM) as parking:
        job = asyncio.ensure_future(get(relayed(farm, served, "/forever")))
        await served.began.wait()
        await asyncio.wait_for(farm.drain(0.2), 2)
        assert parking.state == "draining" and farm.stats()["calls"] == 1
        job.cancel()
        await served.left.wait()


async def test_a_full_farm_refuses_and_says_for_how_long() -> None:
    terms = FarmLimits(producers=1)
    async with (
        serving() as one,
        serving() as two,
        farm_of(FARM, terms=terms) as farm,
        parked(one, farm, FARM),
    ):
        parking = at(two, farm, FARM)
        async with parking:
            await until(lambda: parking.state == "refused")
            why = REFUSAL_TEXTS["full"]
            assert parking.farm_failures == (f"{HOST}:{farm.port} refuses: {why}",)


async def test_an_address_parks_so_many_producers_and_no_more() -> None:
    terms = FarmLimits(producers_per_address=2)
    async with AsyncExitStack() as stack:
        farm = await stack.enter_async_context(farm_of(FARM, terms=terms, private=False))
        served = [await stack.enter_async_context(serving()) for _ in range(3)]

        async def outcome(one: Served) -> str:
            parking = await stack.enter_async_context(at(one, farm, FARM))
            await until(lambda: parking.state != "dialling")
            return parking.state

        assert [await outcome(one) for one in served] == ["parked", "parked", "refused"]


async def test_a_farm_without_files_refuses_to_park_and_still_puts_calls_through() -> None:
    async with serving() as served, farm_of(FARM, files=16) as farm, parked(served, farm, FARM):
        crowd = [await connect(farm) for _ in range(10)]  # 4 + 10 of 16, the reserve is 2
        await until(lambda: farm.stats()["connections"] == 14)
        answer = await post(relayed(farm, served, "/count"))
        assert answer["bytes"] == 4
        assert farm.stats()["dropped"]["full"] >= 1  # type: ignore[index]
        for raw in crowd:
            raw.close()
        await until(lambda: farm.stats()["parked"] == 3)


async def test_a_farm_says_clearly_that_its_port_is_taken() -> None:
    async with farm_of(FARM) as farm:
        with pytest.raises(ConfigError, match=f"cannot listen on {HOST}:{farm.port}"):
            async with Farm(OTHER, host=HOST, port=farm.port):
                pass


async def test_a_slow_reader_never_makes_the_farm_hold_more_than_a_chunk() -> None:
    async with (
        serving() as served,
        farm_process(SEEDS[0], Timeouts()) as (process, where),
        parkings(served, [where], want=1),
    ):
        memory = psutil.Process(process.pid).memory_info
        before, got = memory().rss, 0
        async with aiohttp.ClientSession(read_bufsize=2**16) as session:
            call = via(where, served.identity, "/zeros/40000000")
            async with session.get(**call) as answer:
                while piece := await answer.content.read(2_000_000):
                    got += len(piece)
                    await asyncio.sleep(0.02)
                    assert memory().rss - before < 16 * 2**20
        assert got == 40_000_000


async def test_a_reader_that_takes_nothing_is_dropped_and_a_silent_job_is_not() -> None:
    hasty = Timeouts(stall=0.5)
    async with (
        serving() as served,
        farm_of(FARM, timeouts=hasty) as farm,
        parked(served, farm, FARM),
    ):
        silent = asyncio.ensure_future(get(relayed(farm, served, "/forever")))
        await served.began.wait()
        async with (
            aiohttp.ClientSession(read_bufsize=2**16) as session,
            session.get(**relayed(farm, served, "/zeros/60000000")) as answer,
        ):
            await until(lambda: farm.stats()["dropped"].get("stalled") == 2)  # type: ignore[union-attr]
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        assert not silent.done() and farm.stats()["calls"] == 1
        assert farm.stats()["held_bytes"] == 0
        silent.cancel()


async def zeros(count: int) -> AsyncIterator[bytes]:
    for _ in range(count // 65_536):
        yield bytes(65_536)


async def test_a_producer_that_reads_slowly_never_makes_the_farm_hold_more_than_a_chunk() -> None:
    async with (
        serving() as served,
        farm_process(SEEDS[0], Timeouts()) as (process, where),
        parkings(served, [where], want=1),
        aiohttp.ClientSession() as session,
    ):
        memory = psutil.Process(process.pid).memory_info
        before = most = memory().rss

        async def watched() -> AsyncIterator[bytes]:
            nonlocal most
            async for piece in zeros(40_000_000):
                most = max(most, memory().rss)
                yield piece

        async with session.post(**via(where, served.identity, "/slowly"), data=watched()) as answer:
            assert (await answer.json())["bytes"] == 40_000_000 // 65_536 * 65_536
        assert most - before < 16 * 2**20


async def test_a_producer_that_takes_nothing_loses_the_call() -> None:
    hasty = Timeouts(stall=0.5)
    async with (
        serving() as served,
        farm_of(FARM, timeouts=hasty) as farm,
        parked(served, farm, FARM),
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(aiohttp.ClientError):
            await session.post(**relayed(farm, served, "/unread"), data=zeros(60_000_000))
        assert farm.stats()["dropped"] == {"stalled": 2}
        assert farm.stats()["calls"] == 0 and farm.stats()["held_bytes"] == 0
        served.read.set()


async def repark(count: int, seconds: float) -> float:
    """Seconds until `count` producers of a farm that was killed are all parked at the other."""
    context = Identity.generate().server_context()  # nobody is called here
    async with AsyncExitStack() as stack:
        (first, a), (_, b) = [
            await stack.enter_async_context(farm_process(seed, Timeouts())) for seed in SEEDS[:2]
        ]
        known = [a]

        async def farms() -> list[FarmAddress]:
            return list(known)

        crowd = [
            await stack.enter_async_context(
                FarmPool(
                    Identity.generate(),
                    farms,
                    server_context=context,
                    connection=asyncio.Protocol,
                    on_change=lambda _: None,
                    want=1,
                    rng=random.Random(n),
                )
            )
            for n in range(count)
        ]
        await until(lambda: all(a in some.parked_at for some in crowd), 60)
        known.append(b)
        began = time.monotonic()
        first.kill()
        await until(lambda: all(b in some.parked_at for some in crowd), seconds)
        return time.monotonic() - began


async def test_two_hundred_producers_of_a_dead_farm_are_back_within_five_seconds() -> None:
    assert await repark(200, 5.0) < 5.0


@pytest.mark.soak
@pytest.mark.timeout(180)
async def test_two_thousand_producers_of_a_dead_farm_are_back_within_twenty_seconds() -> None:
    assert await repark(2000, 20.0) < 20.0


async def test_nothing_of_a_parking_is_left_when_it_is_left() -> None:
    async with serving() as served, farm_of(FARM) as farm:
        tasks = len(asyncio.all_tasks())
        files = len(os.listdir("/dev/fd"))
        async with parked(served, farm, FARM):
            assert len(asyncio.all_tasks()) > tasks
        await until(lambda: farm.stats()["connections"] == 0)
        assert len(asyncio.all_tasks()) == tasks
        assert len(os.listdir("/dev/fd")) == files
