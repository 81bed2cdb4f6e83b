"""Attacks on the slots of a producer: does an honest client elsewhere still get its jobs done?

A producer with real slots and a real server; each address of the loopback network plays a household
of its own, which `homes` says. Each attack comes from one address, the honest client from another.
What was measured is printed; docs/weaknesses.md has the figures.
"""

import asyncio
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_kit import Raw, clip, field, form, head
from relay_kit import OneFarm

from nodes.codecs import Codecs
from nodes.engines.echo import EchoTranscriber
from nodes.producer import Producer
from privox_dht.identity import Identity
from privox_dht.quotas import Prefixes
from privox_dht.relay import Farm, FarmAddress
from privox_dht.speech_api.speech_server import SpeechServer

ATTACKER, HONEST = "127.0.0.66", "127.0.0.7"
PATH = "/v1/audio/transcriptions"
BODY = form(field("model", "echo"), field("file", clip(0.5), "a.wav"))
ROUNDS = 10  # honest jobs
WITHIN = 20.0  # seconds for all of them; without an attack they take less than one
BUSY_FOR = 0.1  # seconds of work for one job


def homes(host: str) -> Prefixes:
    """Every loopback address is a household."""
    return (f"{host}/32", f"{host}.0/24")


@asynccontextmanager
async def producer(slots: int) -> AsyncIterator[SpeechServer]:
    engine = EchoTranscriber(model=str(BUSY_FOR))
    await engine.start()
    async with Codecs(slots) as codecs:
        work = Producer([engine], slots, codecs)
        async with SpeechServer(work, host="127.0.0.1", tls=None, prefixes_of=homes) as server:
            yield server
    await engine.close()


async def connect(port: int, host: str) -> Raw:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    return Raw(reader, writer)


async def one_job(port: int, host: str) -> int:
    """The status that one request gets."""
    raw = await connect(port, host)
    try:
        await raw.send(head(PATH, len(BODY), Connection="close") + BODY)
        return (await raw.answer(10)).status
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0
    finally:
        raw.writer.close()


async def slow_upload(port: int) -> None:
    """2.4 KiB a second: just above the rate that is taken when nobody waits."""
    raw = await connect(port, ATTACKER)
    try:
        await raw.send(head(PATH, 10_000_000) + field("file", b"R" * 2000, "a.wav")[:-2])
        while not raw.reader.at_eof():
            await raw.send(b"x" * 246)
            await asyncio.sleep(0.1)  # the pace of the attack
            if raw.writer.is_closing() or raw.reader._buffer:  # type: ignore[attr-defined]
                return
    finally:
        raw.writer.close()


async def polite_job(port: int) -> None:
    """A job like any other, again and again."""
    if await one_job(port, ATTACKER) != 200:
        await asyncio.sleep(0.02)  # the pace of the attack


async def cancelled_job(port: int) -> None:
    """Take a slot and hang up."""
    raw = await connect(port, ATTACKER)
    try:
        await raw.send(head(PATH, len(BODY), Expect="100-continue"))
        async with asyncio.timeout(5):  # Python 3.11's `wait_for` may swallow a cancellation
            await raw.reader.readline()
        await raw.send(BODY)
        await asyncio.sleep(0.02)  # the pace of the attack
    except (ConnectionError, TimeoutError):
        pass
    finally:
        raw.writer.transport.abort()


async def held_connection(port: int) -> None:
    """Ask something short every now and then, and never for a job."""
    raw = await connect(port, ATTACKER)
    try:
        while True:
            await raw.send(b"HEAD /v1/status HTTP/1.1\r\nHost: privox\r\n\r\n")
            if not await raw.reader.readuntil(b"\r\n\r\n"):
                return
            await asyncio.sleep(0.5)  # the pace of the attack
    except (ConnectionError, asyncio.IncompleteReadError):
        await asyncio.sleep(0.05)  # it comes back
    finally:
        raw.writer.close()


Attack = Callable[[int], Coroutine[Any, Any, None]]
Job = Callable[[str], Awaitable[int]]  # from an address, to a status


async def again_and_again(attack: Attack, port: int) -> None:
    while True:
        try:
            await attack(port)
        except OSError:
            await asyncio.sleep(0.05)  # refused: it comes back


@pytest.mark.quiet
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize(
    ("attack", "connections"),
    [(slow_upload, 8), (polite_job, 16), (cancelled_job, 16), (held_connection, 128)],
)
async def test_one_household_cannot_keep_the_slots_from_others(
    attack: Attack, connections: int, slots: int
) -> None:
    async with producer(slots) as server:

        async def job(host: str) -> int:
            return await one_job(server.port, host)

        await attacked(f"{attack.__name__}, {slots} slots", attack, server.port, connections, job)


async def attacked(what: str, attack: Attack, port: int, connections: int, job: Job) -> None:
    """Honest jobs before and during the attack: nine of ten are done, and nearly as fast."""
    quiet = await timed_jobs(5, job)
    storm = [asyncio.create_task(again_and_again(attack, port)) for _ in range(connections)]
    try:
        await asyncio.sleep(0.5)  # the attack is under way
        during = await timed_jobs(ROUNDS, job)
    finally:
        for task in storm:
            task.cancel()
        await asyncio.gather(*storm, return_exceptions=True)
    usual, slowest = statistics.median(quiet), max(during, default=0.0)
    done = f"{len(during)} of {ROUNDS} jobs"
    print(f"{what}: {done}, {usual:.2f} s quiet, {slowest:.2f} s at most")
    in_time = [seconds for seconds in during if seconds <= 2 * usual + 2]
    assert len(in_time) >= 0.9 * ROUNDS


async def timed_jobs(count: int, job: Job) -> list[float]:
    """Seconds of each of `count` jobs that were done, as a client does them: again when busy."""
    took: list[float] = []
    ends = time.monotonic() + WITHIN
    for _ in range(count):
        began = time.monotonic()
        while time.monotonic() < ends:
            status = await job(HONEST)
            if status == 200:
                took.append(time.monotonic() - began)
                break
            await asyncio.sleep(1.0)  # what the 503 asks for
    return took


@pytest.mark.quiet
@pytest.mark.parametrize(("held", "connections"), [(False, 16), (True, 64)], ids=["jobs", "held"])
async def test_one_household_cannot_keep_a_producer_behind_a_farm_from_others(
    held: bool, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All who come through a farm have the farm's address at the producer: the farm tells it apart
    who calls, and not from where."""
    monkeypatch.setattr("privox_dht.relay.farm.driver.quota_prefixes", homes)
    me, farm_key = Identity.generate(), Identity.generate()
    farm = Farm(farm_key, port=0, host="127.0.0.1", private=False)
    async with farm, producer(1) as server, OneFarm(
        me, FarmAddress(farm_key.public, "127.0.0.1", farm.port),
        server_context=me.server_context(), connection=server.connection,
    ) as parking:  # fmt: skip
        await parking.parked(5)

        async def job(host: str) -> int:
            return await relayed_job(farm.port, me.peer_id, host)

        async def attack(port: int) -> None:
            if held:
                await held_line(port, me.peer_id)
            elif await job(ATTACKER) != 200:
                await asyncio.sleep(0.02)  # the pace of the attack

        what = "lines held" if held else "jobs"
        await attacked(f"by a farm, {what}", attack, farm.port, connections, job)


async def held_line(port: int, peer_id: str) -> None:
    """Claim a line, and ask something short on it until it ends."""
    try:
        async with relayed_line(port, peer_id, ATTACKER) as raw:
            while raw is not None:
                await raw.send(b"HEAD /v1/status HTTP/1.1\r\nHost: privox\r\n\r\n")
                await raw.reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(0.5)  # the pace of the attack
    except (OSError, asyncio.IncompleteReadError):
        pass
    await asyncio.sleep(0.05)  # it comes back


@asynccontextmanager
async def relayed_line(port: int, peer_id: str, host: str) -> AsyncIterator[Raw | None]:
    """A connection to a producer through a farm; None when the farm has no line."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    try:
        writer.write(f"CONNECT {peer_id}.privox:443 HTTP/1.1\r\n\r\n".encode())
        if (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200"):
            await writer.start_tls(context)
            yield Raw(reader, writer)
        else:
            yield None
    finally:
        writer.transport.abort()


async def relayed_job(port: int, peer_id: str, host: str) -> int:
    """The status that one request through a farm gets; 0 when the farm has no line."""
    try:
        async with relayed_line(port, peer_id, host) as raw:
            if raw is None:
                return 0
            await raw.send(head(PATH, len(BODY), Connection="close") + BODY)
            return (await raw.answer(10)).status
    except (OSError, asyncio.IncompleteReadError):
        return 0
