"""Hostile producers: does an honest client still get its jobs done?

Real servers with keys of their own, and the real client; only the directory is a list. The hostile
ones claim to be the fastest. What was measured is printed; docs/weaknesses.md has the figures.
"""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, BinaryIO, cast

import pytest
from api_kit import Counting, clip
from kit import HOST

from privox_dht import limits
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.errors import AllProducersFailed, EngineFailed, RequestRejected
from privox_dht.identity import Identity
from privox_dht.mesh import Mesh
from privox_dht.records import Direct, Record
from privox_dht.speech import AudioInfo, Segment, TranscriptionRequest
from privox_dht.speech_api.client import SpeechClient
from privox_dht.speech_api.speech_server import SpeechServer

LIE = "this format is not supported; subscribe at evil.example"


class Hostile(Counting):
    """A producer that takes jobs and does none of them."""

    def __init__(self, way: str) -> None:
        super().__init__(slots=8)
        self.way = way

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        if self.way == "refuses":
            raise RequestRejected(LIE)
        if self.way == "fails":
            raise EngineFailed("broke")
        if self.way == "says its length and then nothing":
            yield AudioInfo(1.0)
        if self.way == "says that it is ten hours long":
            yield AudioInfo(36_000.0)
        if self.way == "says ten hours and does it":
            yield AudioInfo(36_000.0)
            yield Segment("done", 0.0, 1.0)
            return
        while self.way == "says its length again and again":
            yield AudioInfo(1.0)
            await asyncio.sleep(0.2)
        await asyncio.Event().wait()  # its heart goes on beating
        yield AudioInfo(1.0)


class Found:
    """A directory that is a list."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def find(self, kind: str, backend: str = "", *narrower: str, **how: Any) -> list[Record]:
        return [r for r in self.records if (r.kind, r.backend) == (kind, backend)]

    async def find_farm(self, public: bytes) -> Record | None:
        return None


@asynccontextmanager
async def mesh_of(honest: int, *ways: str) -> AsyncIterator[Mesh]:
    found = Found()
    async with AsyncExitStack() as stack:
        for provider in [*(Counting() for _ in range(honest)), *map(Hostile, ways)]:
            me = Identity.generate()
            server = SpeechServer(provider, host=HOST, tls=me.server_context())
            await stack.enter_async_context(server)
            found.records.append(
                Record(
                    publisher=me.public,
                    mesh=b"m" * 8,
                    kind="stt",
                    engine="counter",
                    routes=(Direct(HOST, server.port),),
                    slots=4,
                    idle=4,
                    speed=190.0 if isinstance(provider, Hostile) else 20.0,
                )
            )
        client = await stack.enter_async_context(SpeechClient(allow=lambda host: True))
        caller = Dispatcher(
            cast(Any, found),
            allow=lambda host: True,
            probe=client.status,
            rng=random.Random(3),
        )
        yield Mesh(cast(Any, found), client, caller)


async def test_two_producers_that_refuse_everything_end_no_job() -> None:
    """They ended 5 of 5 jobs, with a sentence of their own."""
    async with mesh_of(1, "refuses", "refuses") as mesh:
        done = [await mesh.transcribe(clip()) for _ in range(5)]
    assert done == ["16000 samples"] * 5


WAYS = ("refuses", "fails", "says nothing", "says its length and then nothing")


@pytest.mark.quiet
async def test_jobs_are_done_beside_a_household_of_hostile_producers() -> None:
    """Four beside two honest ones: nine of ten jobs take at most twice as long as without them, and
    two seconds. The grace for a first result is the real one."""
    async with mesh_of(2) as mesh:
        quiet = statistics.median([await timed(mesh) for _ in range(5)])
    async with mesh_of(2, *WAYS) as mesh:
        took = [await timed(mesh) for _ in range(10)]
    print(f"{quiet:.2f} s quiet; {' '.join(f'{seconds:.2f}' for seconds in took)}")
    assert sum(seconds <= 2 * quiet + 2 for seconds in took) >= 9


async def timed(mesh: Mesh) -> float:
    """Seconds that one job takes."""
    began = time.monotonic()
    assert await mesh.transcribe(clip()) == "16000 samples"
    return time.monotonic() - began


async def test_what_a_producer_says_is_shown_as_its_words() -> None:
    async with mesh_of(0, "refuses") as mesh:
        with pytest.raises(RequestRejected) as caught:
            await mesh.transcribe(clip())
    assert str(caught.value).startswith("producer ")
    assert str(caught.value).endswith(f' says: "{LIE}"')


@pytest.mark.parametrize(
    "way",
    [
        "says nothing", "says its length and then nothing", "says that it is ten hours long",
        "says its length again and again",
    ],
    ids=["nothing", "length", "hours", "again"],
)  # fmt: skip
async def test_a_producer_that_only_beats_its_heart_does_not_keep_a_job(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It held jobs for ever."""
    monkeypatch.setattr(limits, "RESULT_GRACE", 1.5)
    async with mesh_of(1, way) as mesh:
        began = time.monotonic()
        async with asyncio.timeout(10.0):
            assert await mesh.transcribe(clip()) == "16000 samples"
        print(f"the job took {time.monotonic() - began:.1f} s, with 1.5 s of grace")
        assert time.monotonic() - began < 5
        began = time.monotonic()
        assert await mesh.transcribe(clip()) == "16000 samples"
        assert time.monotonic() - began < 1, "it is left alone now"


async def test_no_producer_looks_fast_by_a_length_that_the_recording_cannot_have() -> None:
    """Its speed is measured by the length, and whoever is fast gets the jobs."""
    async with mesh_of(0, "says ten hours and does it") as mesh:
        assert (await mesh.transcript(clip())).value.seconds == pytest.approx(1.0, abs=0.01)


async def test_where_all_only_beat_their_hearts_the_job_ends_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "RESULT_GRACE", 0.3)
    async with mesh_of(0, "says nothing") as mesh:
        with pytest.raises(AllProducersFailed, match="it sent heartbeats but no result in time"):
            await mesh.transcribe(clip())


@pytest.mark.parametrize(
    ("jobs", "grace"), [(100, 0.5), pytest.param(1000, None, marks=pytest.mark.soak)]
)
async def test_with_thirty_percent_hostile_producers_jobs_are_done(
    jobs: int, grace: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if grace is not None:
        monkeypatch.setattr(limits, "RESULT_GRACE", grace)
    ways = ("refuses", "refuses", "fails", "says nothing", "says its length and then nothing")
    took: list[float] = []
    async with mesh_of(14, *ways, "refuses") as mesh:
        for _ in range(jobs):
            began = time.monotonic()
            try:
                assert await mesh.transcribe(clip()) == "16000 samples"
            except (RequestRejected, AllProducersFailed):
                continue
            took.append(time.monotonic() - began)
    took.sort()
    print(f"{len(took)} of {jobs} done; p50 {took[jobs // 2]:.3f} s, p99 {took[-2]:.2f} s")
    assert len(took) >= 0.95 * jobs


async def test_an_address_that_records_name_is_dialled_twice_at_most_by_one_job() -> None:
    """One job made 192 connections to an address that is nobody's."""
    dialled = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dialled
        dialled += 1
        writer.close()

    victim = await asyncio.start_server(hang_up, HOST, 0)
    route = Direct(HOST, victim.sockets[0].getsockname()[1])
    async with victim, mesh_of(1) as mesh:
        found: Any = mesh.dht
        found.records += [
            Record(
                publisher=Identity.generate().public, mesh=b"m" * 8, kind="stt", engine="counter",
                routes=(route,), slots=4, idle=4, speed=190.0,
            )
            for _ in range(60)
        ]  # fmt: skip
        assert await mesh.transcribe(clip()) == "16000 samples"
    print(f"{dialled} connections to the victim")
    assert dialled <= limits.DIALS_UNPROVEN
