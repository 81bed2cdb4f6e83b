"""A spoken command never waits behind somebody's two hours, and who scatters a recording takes no
slot from others.

Real engines behind a real server; each address of the loopback network plays a household.
"""

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from api_kit import Raw, clip, field, form, head
from kit import until

from bench.spoken import spoken
from nodes.codecs import Codecs
from nodes.engines import make_engines
from nodes.producer import Producer
from privox_dht import audio
from privox_dht.quotas import Prefixes
from privox_dht.speech_api.speech_server import SpeechServer

pytestmark = [pytest.mark.quiet, pytest.mark.timeout(120)]
PATH = "/v1/audio/transcriptions"
LONG_ONE, HOUSEHOLD, ANOTHER = "127.0.0.66", "127.0.0.7", "127.0.0.8"
COMMAND_SECONDS = 3
SENTENCE = "Good morning everybody, this is a test of the north wind and the sun. "
ENOUGH = 40  # commands of which one in twenty may be late
AGAIN = 10  # times a piece is sent again, on average
AGAIN_AFTER = 1.0  # seconds that a 503 asks for


def homes(host: str) -> Prefixes:
    return (f"{host}/32", f"{host}.0/24")


@asynccontextmanager
async def producer(what: str, slots: int) -> AsyncIterator[SpeechServer]:
    engine = make_engines("stt", "cpu", what)[0]
    await engine.start()
    try:
        async with Codecs(slots + 1) as codecs:
            work = Producer([engine], slots, codecs)
            async with SpeechServer(work, host="127.0.0.1", tls=None, prefixes_of=homes) as server:
                yield server
    finally:
        await engine.close()


async def post(port: int, host: str, body: bytes, *, wait: bool = True) -> tuple[int, Any]:
    """The status of one request, and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    raw = Raw(reader, writer)
    more = {} if wait else {"Prefer": "wait=0"}
    try:
        await raw.send(head(PATH, len(body), Connection="close", **more) + body)
        answer = await raw.answer(900)
        return answer.status, json.loads(answer.body)
    finally:
        writer.close()


def request(pcm: bytes, rate: int) -> bytes:
    return form(field("file", audio.wav(pcm, rate), "a.wav"))


@pytest.mark.parametrize(
    "minutes", [0.25, pytest.param(10, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("what", ["pocketsphinx"])
async def test_commands_are_as_quick_as_ever_beside_a_long_job(what: str, minutes: float) -> None:
    """One slot, taken by a recording that was sent whole: the commands take less than twice their
    quiet time (p95 where there are enough of them), and every word of the long one is there."""
    pcm, rate = await spoken(SENTENCE)
    command = request(pcm[: COMMAND_SECONDS * rate * 2], rate)
    times = int(minutes * 60 * rate * 2 / len(pcm)) + 1
    whole = request(pcm * times, rate)
    async with producer(what, 1) as server:
        quiet = [await timed(server.port, command) for _ in range(5)]
        began = time.monotonic()
        long_job = asyncio.create_task(post(server.port, LONG_ONE, whole))
        await until_taken(server)
        during = []
        while not long_job.done():
            during.append(await timed(server.port, command))
        status, answer = await long_job
        took = time.monotonic() - began
        _, alone = await post(server.port, LONG_ONE, whole)
    usual, middle = statistics.median(quiet), statistics.median(during)
    p95 = sorted(during)[int(0.95 * len(during))]
    print(f"\n{len(during)} commands beside {minutes} min ({took:.0f} s): {usual:.2f} s quiet,"
          f" median {middle:.2f} s, p95 {p95:.2f} s")  # fmt: skip
    assert status == 200 and answer["text"] == alone["text"] and answer["text"]
    assert (p95 if len(during) >= ENOUGH else middle) < 2 * usual


async def until_taken(server: SpeechServer) -> None:
    await until(lambda: bool(server.jobs.running))


async def timed(port: int, command: bytes) -> float:
    began = time.monotonic()
    status, _ = await post(port, HOUSEHOLD, command)
    assert status == 200
    return time.monotonic() - began


async def test_a_small_file_with_more_sound_than_a_command_is_told_busy() -> None:
    """Eight kilobits a second: a minute of sound in 60 KB."""
    pcm, rate = await spoken(SENTENCE)
    encoder = audio.Encoder("opus", rate)
    opus = encoder.feed(pcm * 8) + encoder.finish()
    async with producer("echo:30", 1) as server:
        body = form(field("model", "echo"), field("file", clip(0.5), "a.wav"))
        long_job = asyncio.create_task(post(server.port, LONG_ONE, body))
        await until_taken(server)
        asked = form(field("model", "echo"), field("file", opus, "a.opus"))
        status, answer = await post(server.port, HOUSEHOLD, asked)
        assert status == 503 and "jobs of at most 10 s" in answer["error"]["message"]
        long_job.cancel()
        await asyncio.gather(long_job, return_exceptions=True)


@pytest.mark.parametrize("pieces", [40, pytest.param(200, marks=pytest.mark.soak)])
async def test_two_who_scatter_over_four_slots_are_done_at_about_the_same_time(pieces: int) -> None:
    """The first to come has every slot, and hears first when one is free."""
    piece = form(field("model", "echo"), field("file", clip(20), "a.wav"))
    async with producer("echo:0.1", 4) as server:
        first = asyncio.create_task(scattered(server.port, HOUSEHOLD, piece, pieces))
        await until_taken(server)
        took = await asyncio.gather(first, scattered(server.port, ANOTHER, piece, pieces))
    print(f"\n{pieces} pieces each: {took[0]:.1f} s and {took[1]:.1f} s")
    assert max(took) < 1.3 * min(took)


async def scattered(port: int, host: str, piece: bytes, pieces: int) -> float:
    """Seconds for so many pieces, four at a time, none of which waits in the producer's queue."""
    began, left = time.monotonic(), iter(range(pieces))

    async def one_piece() -> None:
        for _ in range(pieces * AGAIN):
            if (await post(port, host, piece, wait=False))[0] == 200:
                return
            await asyncio.sleep(AGAIN_AFTER)
        raise TimeoutError("it never had its turn")

    async def lane() -> None:
        for _ in left:
            await one_piece()

    await asyncio.gather(*(lane() for _ in range(4)))
    return time.monotonic() - began
