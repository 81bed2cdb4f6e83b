"""The gateway beside what it could be at best: a bare handler with the same echo engine.

API        1 s of WAV to /v1/audio/transcriptions on kept connections; a bare aiohttp handler, which
           reads the file with Python's own `wave`
Wyoming    1 s of sound in ten events on a connection of its own, as Home Assistant does it; a
           handler on Wyoming's own server, which gets raw sound and decodes nothing

The gateway's engine is its node's own, so no mesh is in between (bench/jobs.py measures that). One
client process asks both in turns; server and client share the machine.
"""

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.jobs import HOST
from bench.measure import Row, options, show
from privox_dht.audio import wav

RATE = 16_000  # Hz
HEARD = "1.00 seconds of sound"
AT_ONCE = (1, 8, 32)
ROUND = 128  # requests between two changes of turn
AIM = 2.0  # times the peer's
ROOT = Path(__file__).parents[1]
Ask = Callable[[], Awaitable[None]]


@dataclass
class Load:
    """Requests of one kind to one server, as they were answered."""

    ask: Ask
    times: list[float] = field(default_factory=list)  # seconds of each
    seconds: float = 0.0  # of all together

    @property
    def a_second(self) -> float:
        return len(self.times) / self.seconds

    @property
    def p99(self) -> float:
        """Seconds in which 99 of 100 were answered."""
        return statistics.quantiles(self.times, n=100)[98]

    async def run(self, number: int, at_once: int, keep: bool = True) -> None:
        """So many more requests."""
        left, times = iter(range(number)), list[float]()

        async def client() -> None:
            for _ in left:
                began = time.perf_counter()
                await self.ask()
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(at_once)))
        if keep:
            self.seconds += time.perf_counter() - began
            self.times += times


async def main() -> None:
    given = options(__doc__ or "", rounds=8)
    async with (
        server("gateway") as (http, wyoming),
        server("http") as (bare_http,),
        server("wyoming") as (bare_wyoming,),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        rows = [
            *await compared("API", given.rounds, by_http(session, http),
                            by_http(session, bare_http)),
            *await compared("Wyoming", given.rounds, by_wyoming(wyoming),
                            by_wyoming(bare_wyoming)),
        ]  # fmt: skip
    show("gateway", rows, given.json)
    if not given.json:
        for row in rows:
            if "a request" in row.what:
                print(f"  {row.what}: {1e3 / row.ours:,.0f} a second; peer {1e3 / row.peer:,.0f}")


async def compared(what: str, rounds: int, ours: Ask, peer: Ask) -> list[Row]:
    """Both, in turns, with more and more clients at once."""
    rows = []
    for at_once in AT_ONCE:
        mine, theirs = Load(ours), Load(peer)
        for round_ in range(rounds + 1):
            for load in (mine, theirs):
                await load.run(ROUND, at_once, keep=round_ > 0)  # the first one warms
        name = f"{what}, {at_once} at once"
        rows += [
            Row(f"{name}: a request", 1e3 / mine.a_second, 1e3 / theirs.a_second, "ms", AIM),
            Row(f"{name}: p99", 1e3 * mine.p99, 1e3 * theirs.p99, "ms", AIM),
        ]
    return rows


def by_http(session: aiohttp.ClientSession, port: int) -> Ask:
    body = wav(bytes(2 * RATE), RATE)
    url = f"http://{HOST}:{port}/v1/audio/transcriptions"

    async def ask() -> None:
        form = aiohttp.FormData({"model": "echo"})
        form.add_field("file", body, filename="a.wav")
        async with session.post(url, data=form) as answer:
            assert (await answer.json())["text"] == HEARD

    return ask


def by_wyoming(port: int) -> Ask:
    tenth = AudioChunk(RATE, 2, 1, bytes(2 * RATE // 10)).event()
    start, stop = AudioStart(RATE, 2, 1).event(), AudioStop().event()

    async def ask() -> None:
        async with AsyncTcpClient(HOST, port) as client:
            for event in (Transcribe().event(), start, *[tenth] * 10, stop):
                await client.write_event(event)
            while event := await client.read_event():
                if Transcript.is_type(event.type):
                    assert Transcript.from_event(event).text == HEARD
                    return
            raise AssertionError("it hung up")

    return ask


@contextlib.asynccontextmanager
async def server(which: str) -> AsyncIterator[tuple[int, ...]]:
    """One of bench.gateway_servers as a process; its ports."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.gateway_servers", which, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout
    try:
        yield tuple(map(int, (await process.stdout.readline()).split()))
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
