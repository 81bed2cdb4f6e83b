"""Things that cross on the wire, each with its name."""

import asyncio
import socket
import ssl
import struct

import aiohttp
import pytest
from kit import until
from relay_kit import (
    HURRY,
    Raw,
    at,
    bare_producer,
    call_for,
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
from privox_dht.relay import FarmLimits, Timeouts, messages

FARM = Identity.generate()


def reset(raw: Raw) -> None:
    """Hang up with a reset instead of an end."""
    sock = raw.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()


async def test_a_hundred_simultaneous_calls_never_share_a_line() -> None:
    """The worst bug of an older system: two callers were given one producer."""
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, lines = await bare_producer(farm, FARM, me, 3)
        calls = [await connect(farm) for _ in range(100)]
        for number, call in enumerate(calls):
            call.say(call_to(me) + b"I am %03d" % number)
        heads = await asyncio.gather(*(call.head() for call in calls))
        assert sorted(head.split()[1] for head in heads) == [b"200"] * 3 + [b"503"] * 97
        through = {n for n, head in enumerate(heads) if head.startswith(b"HTTP/1.1 200")}
        heard = {await line.reader.readexactly(8) for line in lines}
        assert heard == {b"I am %03d" % n for n in through}
        for raw in (control, *lines, *calls):
            raw.close()


@pytest.mark.parametrize("how", [reset, Raw.close], ids=["reset", "end"])
async def test_claim_crosses_hangup(how: object) -> None:
    """A line hangs up in the instant a call claims it: the call ends, and nobody waits."""
    me = Identity.generate()
    async with farm_of(FARM, timeouts=Timeouts(first_byte=0.3)) as farm:
        control, lines = await bare_producer(farm, FARM, me, 3)
        call = await connect(farm)
        for line in lines:
            how(line)  # type: ignore[operator]
        call.say(call_to(me))
        said = await call.over()
        assert said == b"" or said.split()[1] in (b"200", b"503")
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 0)
        assert farm.stats()["held_bytes"] == 0
        control.close()
        call.close()


async def test_client_hangs_up_before_it_is_put_through() -> None:
    async with serving() as served, farm_of(FARM) as farm, parked(served, farm, FARM):
        for _ in range(50):
            call = await connect(farm)
            call.say(call_for(served))
            reset(call)
        await until(lambda: farm.stats()["calls"] == 0 and farm.stats()["parked"] == 3)
        assert (await post(relayed(farm, served, "/count")))["bytes"] == 4


async def test_park_crosses_the_loss_of_the_control_line() -> None:
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, _ = await bare_producer(farm, FARM, me, 0)
        token = (await control.line()).split()[1].decode()
        line = await connect(farm)
        control.close()
        line.say(messages.park(token))
        assert await line.over() == b""
        await until(lambda: farm.stats()["connections"] == 0)
        line.close()


async def test_gone_crosses_claimed() -> None:
    """The producer gives a line up that a call has just claimed: the call keeps it."""
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, (line,) = await bare_producer(farm, FARM, me, 1)
        await control.line(), await control.line()
        token = (await control.line()).split()[1]
        call = await connect(farm)
        call.say(call_to(me) + b"hello")
        assert (await call.head()).startswith(b"HTTP/1.1 200")
        control.say(b"gone " + token + b"\n")
        line.say(b"hello yourself")
        assert await line.reader.readexactly(5) == b"hello"
        assert await call.reader.readexactly(14) == b"hello yourself"
        for raw in (control, line, call):
            raw.close()


async def test_the_clients_first_words_may_come_with_its_request() -> None:
    """A client that does not wait for the 200 loses nothing."""
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, (line,) = await bare_producer(farm, FARM, me, 1)
        call = await connect(farm)
        call.say(call_to(me) + b"x" * 60_000)
        assert await line.reader.readexactly(60_000) == b"x" * 60_000
        for raw in (control, line, call):
            raw.close()


async def test_the_last_words_of_a_producer_that_hangs_up_reach_the_client() -> None:
    me = Identity.generate()
    async with farm_of(FARM) as farm:
        control, (line,) = await bare_producer(farm, FARM, me, 1)
        call = await connect(farm)
        call.say(call_to(me) + b"x")
        assert (await call.head()).startswith(b"HTTP/1.1 200")
        call.reader._transport.pause_reading()  # type: ignore[attr-defined]
        line.say(b"y" * 20_000_000)
        line.writer.close()
        await until(lambda: farm.stats()["held_bytes"])
        call.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert await call.over() == b"y" * 20_000_000
        control.close()
        call.close()


async def test_supersede_crosses_a_call() -> None:
    """The call that the older machine has goes on; the next one is the newer machine's."""
    me = Identity.generate()
    async with (
        serving(me) as old,
        serving(me) as new,
        farm_of(FARM) as farm,
        parked(old, farm, FARM) as first,
    ):
        job = asyncio.ensure_future(get(relayed(farm, old, "/forever")))
        await old.began.wait()
        async with parked(new, farm, FARM):
            await until(lambda: first.state == "superseded")
            assert not job.done()
            await post(relayed(farm, new, "/count"))
            assert (old.bodies, new.bodies) == ([], [4])
            assert farm.stats()["producers"] == 1
        job.cancel()
        await old.left.wait()


async def test_two_machines_with_one_key_do_not_take_turns() -> None:
    me = Identity.generate()
    async with serving(me) as served, farm_of(FARM) as farm, at(served, farm, FARM) as first:
        await first.parked(5)
        async with at(served, farm, FARM) as second:
            await second.parked(5)
            await until(lambda: first.state == "superseded")
            assert first.state == "superseded" and second.state == "parked"
            await until(lambda: farm.stats()["parked"] == 3)
            assert first._selector._not_before, "it does not come back"


async def test_a_call_that_ends_while_the_farm_leaves_leaves_nothing_behind() -> None:
    async with serving() as served:
        async with farm_of(FARM) as farm, parked(served, farm, FARM):
            job = asyncio.ensure_future(get(relayed(farm, served, "/forever")))
            await served.began.wait()
        with pytest.raises(aiohttp.ClientError):
            await job
        assert farm.stats()["connections"] == 0
        async with asyncio.timeout(1):
            await served.left.wait()


async def test_when_all_lines_are_in_calls_the_end_of_one_parks_another() -> None:
    terms = FarmLimits(lines=2, idle_lines=2)
    async with (
        serving() as served,
        farm_of(FARM, terms=terms) as farm,
        parked(served, farm, FARM, timeouts=HURRY),
    ):
        jobs = [asyncio.ensure_future(get(relayed(farm, served, "/forever"))) for _ in "12"]
        await until(lambda: farm.stats()["calls"] == 2)
        with pytest.raises(aiohttp.ClientHttpProxyError) as caught:
            await post(relayed(farm, served, "/count"))
        assert caught.value.status == 503
        jobs[0].cancel()
        await until(lambda: farm.stats()["parked"] == 1)
        assert (await post(relayed(farm, served, "/count")))["bytes"] == 4
        jobs[1].cancel()
        await asyncio.wait(jobs)


async def test_draining_crosses_a_handshake() -> None:
    """A call that has come, but is not through its handshake, survives that its producer leaves."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with (
        serving() as served,
        farm_of(FARM) as farm,
        parked(served, farm, FARM) as parking,
    ):
        call = await connect(farm)
        call.say(call_for(served))
        assert (await call.head()).startswith(b"HTTP/1.1 200")
        draining = asyncio.create_task(farm.drain(5))
        await until(lambda: parking.state == "draining")
        await call.writer.start_tls(context, server_hostname="x.privox")
        call.say(b"GET /zeros/5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"\0\0\0\0\0" in await call.over()
        call.close()
        await draining
