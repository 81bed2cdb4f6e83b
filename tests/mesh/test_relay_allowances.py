"""What one call, one producer and one farm may hold, at real sockets."""

import asyncio
import os

import aiohttp
import pytest
from kit import HOST, turns, until
from relay_kit import (
    HURRY,
    at,
    bare_producer,
    call_to,
    connect,
    farm_of,
    get,
    parked,
    post,
    relayed,
    serving,
)

from privox_dht.identity import Identity
from privox_dht.relay import FarmLimits, messages, relay_limits

FARM = Identity.generate()


async def test_a_farm_holds_one_chunk_for_a_reader_that_does_not_read() -> None:
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, (line,) = await bare_producer(farm, FARM, me)
        call = await connect(farm)
        call.say(call_to(me) + b"x")
        assert (await call.head()).startswith(b"HTTP/1.1 200")
        call.reader._transport.pause_reading()  # type: ignore[attr-defined]
        line.say(bytes(30_000_000))
        await until(lambda: farm.held > 0)
        await turns()
        assert 0 < farm.held <= relay_limits.SPLICE_CHUNK
        for raw in (control, line, call):
            raw.close()
        await until(lambda: farm.held == 0)


async def test_what_waits_for_a_slow_reader_is_its_own_while_others_are_served() -> None:
    """All calls are read into one buffer: what waits in it must not become somebody else's."""
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, lines = await bare_producer(farm, FARM, me, 3)
        calls = [await connect(farm) for _ in lines]
        for number, call in enumerate(calls):
            call.say(call_to(me) + bytes([number]))
            assert (await call.head()).startswith(b"HTTP/1.1 200")
            call.reader._transport.pause_reading()  # type: ignore[attr-defined]
        sent = {}
        for line in lines:
            (number,) = await line.reader.readexactly(1)
            sent[number] = os.urandom(20_000_000)
            line.say(sent[number])
            line.writer.write_eof()
        await until(lambda: farm.held > 0)
        for call in calls:
            call.reader._transport.resume_reading()  # type: ignore[attr-defined]
        got = await asyncio.gather(*(call.over() for call in calls))
        assert [got[number] == sent[number] for number in range(3)] == [True] * 3
        for raw in (control, *lines, *calls):
            raw.close()


async def test_readers_that_together_make_a_farm_hold_too_much_lose_their_calls() -> None:
    me = Identity.generate()
    terms = FarmLimits(buffered=1)  # whoever does not take everything at once is too slow
    async with farm_of(FARM, terms=terms) as farm:
        control, lines = await bare_producer(farm, FARM, me, 3)
        calls = [await connect(farm) for _ in lines]
        for call, line in zip(calls, lines, strict=True):
            call.say(call_to(me) + b"x")
            assert (await call.head()).startswith(b"HTTP/1.1 200")
            call.reader._transport.pause_reading()  # type: ignore[attr-defined]
            line.say(bytes(30_000_000))
        await until(lambda: farm.dropped["buffered"] == 6)
        assert farm.held == 0
        assert farm.stats()["calls"] == 0
        for raw in (control, *lines, *calls):
            raw.close()


async def test_a_refusal_reaches_a_client_that_is_still_uploading() -> None:
    """A producer that refuses and hangs up must not look like one that died."""
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, (line,) = await bare_producer(farm, FARM, me)
        call = await connect(farm)
        call.say(call_to(me) + bytes(30_000_000))
        assert (await call.head()).startswith(b"HTTP/1.1 200")
        call.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await line.reader.readexactly(1_000_000)
        line.say(b"HTTP/1.1 503 busy\r\n\r\n")
        line.writer.write_eof()
        await turns()
        call.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert (await call.head()) == b"HTTP/1.1 503 busy\r\n\r\n"
        for raw in (control, line, call):
            raw.close()


async def test_a_producer_keeps_its_own_bound_on_lines_whatever_the_farm_grants() -> None:
    async with (
        serving() as served,
        farm_of(FARM) as farm,
        at(served, farm, FARM, lines=2, timeouts=HURRY) as parking,
    ):
        await parking.parked(5)
        await until(lambda: farm.stats()["parked"] == 2)
        jobs = [asyncio.ensure_future(get(relayed(farm, served, "/forever"))) for _ in "12"]
        await until(lambda: farm.stats()["calls"] == 2)
        await turns()
        assert farm.stats()["parked"] == 0
        with pytest.raises(aiohttp.ClientHttpProxyError):
            await post(relayed(farm, served, "/count"))
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        await until(lambda: farm.stats()["parked"] == 2)


async def test_a_line_that_is_claimed_and_stays_silent_is_given_up_by_the_producer() -> None:
    """The farm should have dropped it; this one does not."""
    dropped: asyncio.Queue[bytes] = asyncio.Queue()
    control: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"PARK"):
            token = head.split()[1].decode()
            control[0].write(
                messages.encode(("parked", token)) + messages.encode(("claimed", token, "-"))
            )
            dropped.put_nowait(await reader.read())
        else:
            control.append(writer)
            nonce = bytes.fromhex(head.split()[1].decode())
            writer.write(messages.encode(messages.challenge(FARM, nonce, bytes(32))))
            await reader.readline()
            tokens = b"".join(messages.encode(("token", f"{n:032x}")) for n in range(2))
            writer.write(b"granted 2 2\n" + tokens)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    server.port = server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    async with (
        serving() as served,
        at(served, server, FARM, timeouts=HURRY),  # type: ignore[arg-type]
    ):
        async with asyncio.timeout(5):
            assert [await dropped.get(), await dropped.get()] == [b"", b""]
    server.close()


async def test_a_call_may_last_no_longer_than_the_terms_say() -> None:
    terms = FarmLimits(call_seconds=1)
    async with (
        serving() as served,
        farm_of(FARM, terms=terms) as farm,
        parked(served, farm, FARM),
    ):
        with pytest.raises(aiohttp.ClientError):
            await get(relayed(farm, served, "/forever"))
        await until(lambda: farm.stats()["parked"] == 3 and farm.stats()["calls"] == 0)
        assert farm.dropped["seconds"] >= 2  # the client may have tried again
