"""A spoken command never waits behind somebody's two hours.

Real engines behind a real server.
"""

import asyncio
import statistics
import time

import pytest
from api_kit import clip, field, form
from households import HOUSEHOLD, LONG_ONE, post, producer, until_taken

from bench.spoken import spoken
from privox_dht import audio

pytestmark = [pytest.mark.quiet, pytest.mark.timeout(120)]
COMMAND_SECONDS = 3
SENTENCE = "Good morning everybody, this is a test of the north wind and the sun. "
ENOUGH = 40  # commands of which one in twenty may be late


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
