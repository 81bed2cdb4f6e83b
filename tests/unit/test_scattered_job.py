"""Many short jobs of one, with a directory and producers that are plain functions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Emit
from privox_dht.dispatch.job_options import JobOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.selection import Requirements
from privox_dht.dispatch.work import Work
from privox_dht.errors import ProducerBusy
from privox_dht.records import Direct, Record
from privox_dht.scatter.piece_requests import PieceRequest
from privox_dht.scatter.scattered_job import ScatteredJob
from privox_dht.speech_api.client import Endpoint

WAIT = 0.1  # seconds


@dataclass(frozen=True)
class Letter:
    """A piece."""

    number: int
    text: str
    seconds: float = 1.0


class Word:
    """The pieces of a word, all made at once."""

    ended = True

    def __init__(self, text: str) -> None:
        self.claimed_seconds = self.seconds = float(len(text))
        self._left = [Letter(number, letter) for number, letter in enumerate(text)]

    def __len__(self) -> int:
        return len(self._left)

    def take(self) -> Letter | None:
        return self._left.pop(0) if self._left else None

    async def prepare(self) -> None: ...

    async def close(self) -> None: ...


class Capitals(ScatteredJob[Letter, str]):
    """Has each letter made a capital."""

    results: dict[int, str]
    producers: dict[str, Callable[[str], Awaitable[str]]]

    def _work(self, request: PieceRequest[Letter]) -> Work[str]:
        async def work(endpoint: Endpoint, record: Record | None, emit: Emit) -> str:
            assert record is not None
            return await self.producers[record.engine](request.piece.text)

        return work

    def _on_result(self, piece: Letter, value: str | None) -> None:
        assert value is not None
        self.results[piece.number] = value

    def _emit_ready(self) -> None:
        pass

    def _progress(self) -> str:
        return "a part"

    async def run(self) -> Done[str]:
        await self._run_all()
        return self._done_event("".join(text for _, text in sorted(self.results.items())))


class Records:
    """A directory that is a list."""

    def __init__(self, *engines: str) -> None:
        self.records = [
            Record(
                publisher=engine.encode() * 32, mesh=b"m" * 8, kind="stt", backend="cpu",
                engine=engine, slots=1, idle=1, routes=(Direct(f"192.0.{n}.1", 5678),),
            )
            for n, engine in enumerate(engines, 2)
        ]  # fmt: skip

    async def find(self, kind: str, backend: str = "", *narrower: str, **how: Any) -> list[Record]:
        return [record for record in self.records if record.backend == backend]

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
        return None


async def test_while_one_works_for_us_it_is_no_end_that_the_others_are_busy() -> None:
    """One took 100 s for a piece, the other was taken by somebody else: after a minute the
    recording had failed, "all were busy", although the first was at work on it."""

    async def slow(text: str) -> str:
        await asyncio.sleep(4 * WAIT)  # longer than a piece waits for an idle slot
        return text.upper()

    async def taken(text: str) -> str:
        raise ProducerBusy(retry_after=0.0)

    dispatcher = Dispatcher(Records("a", "b"), allow=lambda host: True, rng=random.Random(1))
    needs, options = Requirements("stt"), JobOptions(wait=WAIT)
    job = Capitals(dispatcher, Word("hi"), needs, options, lambda event: None)
    job.results, job.producers = {}, {"a": slow, "b": taken}
    async with asyncio.timeout(10.0):
        done = await job.run()
    assert done.value == "HI" and list(done.shares.values()) == [2]
