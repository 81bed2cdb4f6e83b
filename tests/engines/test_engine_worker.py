"""Workers and crews: what happens to a process when its job, or its parent, ends badly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nodes.engines import worker as worker_module
from nodes.engines.worker import Crew
from privox_dht import errors

MODULE = "scripted_worker"
SOON = 10.0  # seconds; a busy machine takes a while to start and to reap a process


@pytest.fixture(autouse=True)
def _find_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
async def crew() -> AsyncIterator[Crew]:
    crew = Crew(MODULE, at_most=2)
    await crew.start()
    yield crew
    pids = crew.pids
    await crew.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def ask(crew: Crew, payload: bytes = b"", **question: Any) -> list[Any]:
    async with crew.worker() as worker:
        return [piece async for piece in worker.ask(question, payload)]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(SOON):
        while not gone(pid):  # noqa: ASYNC110 - a process that is not ours says nothing
            await asyncio.sleep(0.01)


async def test_an_answer_comes_piece_by_piece(crew: Crew) -> None:
    pieces = await ask(crew, do="count", to=3, size=5)
    assert pieces == [({"number": n}, bytes(5)) for n in range(3)]


async def test_megabytes_go_both_ways(crew: Crew) -> None:
    sent = os.urandom(3 << 20)
    [(_, echoed)] = await ask(crew, sent, do="echo")
    assert echoed == sent


async def test_one_worker_does_one_job_after_the_other(crew: Crew) -> None:
    [(first, _)] = await ask(crew, do="echo")
    [(second, _)] = await ask(crew, do="echo")
    assert first["pid"] == second["pid"]


async def test_two_jobs_at_a_time_have_two_workers(crew: Crew) -> None:
    async with crew.worker() as one, crew.worker() as other:
        assert one.process.pid != other.process.pid


async def test_a_third_job_waits_for_its_turn(crew: Crew) -> None:
    async with crew.worker(), crew.worker():
        third = asyncio.ensure_future(ask(crew, do="echo"))
        done, _ = await asyncio.wait([third], timeout=0.1)
        assert not done
    assert len(await third) == 1


async def test_a_refusal_is_told_and_the_worker_stays(crew: Crew) -> None:
    [(before, _)] = await ask(crew, do="echo")
    with pytest.raises(errors.Refused, match="not that") as refused:
        await ask(crew, do="refuse")
    assert (refused.value.status, refused.value.param) == (404, "voice")
    [(after, _)] = await ask(crew, do="echo")
    assert before["pid"] == after["pid"]


async def test_an_engine_that_raises_fails_the_job_and_the_next_one_works(crew: Crew) -> None:
    with pytest.raises(errors.Failed, match="ValueError: broken"):
        await ask(crew, do="break")
    assert len(await ask(crew, do="echo")) == 1


async def test_words_printed_by_a_library_do_not_get_into_the_answer(crew: Crew) -> None:
    assert await ask(crew, do="print") == [({}, b"")]


async def test_a_worker_killed_in_mid_job_fails_it_and_is_replaced(crew: Crew) -> None:
    with pytest.raises(errors.Failed, match="died"):
        async with crew.worker() as worker:
            async for head, _ in worker.ask({"do": "hang"}):
                os.kill(head["pid"], signal.SIGKILL)
    [(head, _)] = await ask(crew, do="echo")
    assert head["pid"] != worker.process.pid


async def test_a_worker_that_died_while_idle_costs_nobody_a_job(crew: Crew) -> None:
    [pid] = crew.pids
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid)
    assert len(await ask(crew, do="echo")) == 1


async def test_cancelling_a_job_kills_its_worker_at_once(crew: Crew) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def job() -> None:
        async with crew.worker() as worker:
            async for head, _ in worker.ask({"do": "hang"}):
                started.set_result(head["pid"])

    task = asyncio.create_task(job())
    pid = await started
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_gone(pid)
    assert len(await ask(crew, do="echo")) == 1


async def test_a_storm_of_cancelled_jobs_does_not_pile_up_processes(crew: Crew) -> None:
    """Each kills a worker, and a new one takes a while to start: only one may be warming."""
    most = 0
    for _ in range(12):
        job = asyncio.create_task(ask(crew, do="hang"))
        await asyncio.wait([job], timeout=0.05)
        job.cancel()
        await asyncio.wait([job])
        most = max(most, len(crew.pids))
    assert most <= 4
    assert len(await ask(crew, do="echo")) == 1


async def test_jobs_cancelled_while_a_worker_starts_do_not_count_as_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "HIRES", 2)
    crew = Crew(MODULE)
    for _ in range(5):
        job = asyncio.create_task(ask(crew, do="echo"))
        await asyncio.wait([job], timeout=0.01)
        job.cancel()
        await asyncio.wait([job])
    assert len(await ask(crew, do="echo")) == 1
    await crew.close()


async def test_closing_an_answer_early_kills_its_worker(crew: Crew) -> None:
    async def numbers() -> Any:
        async with crew.worker() as worker, contextlib.aclosing(worker.ask(question)) as answer:
            async for head, _ in answer:
                yield head["number"], worker.process.pid

    question = {"do": "count", "to": 10**9}
    async with contextlib.aclosing(numbers()) as counting:
        number, pid = await anext(counting)
        assert number == 0
    await until_gone(pid)


async def test_a_worker_waits_for_a_slow_listener(crew: Crew) -> None:
    """A gigabyte is announced; what is not fetched stays unmade, not in our memory."""
    before = psutil.Process().memory_info().rss
    async with (
        crew.worker() as worker,
        contextlib.aclosing(worker.ask({"do": "count", "to": 1000, "size": 1 << 20})) as answer,
    ):
        await anext(answer)
        await asyncio.sleep(0.3)
        assert psutil.Process().memory_info().rss - before < 32 << 20
        assert psutil.Process(worker.process.pid).memory_info().rss < 200 << 20


async def test_an_answer_left_incomplete_does_not_leak_into_the_next(crew: Crew) -> None:
    async with (
        crew.worker() as worker,
        contextlib.aclosing(worker.ask({"do": "count", "to": 100})) as answer,
    ):
        await anext(answer)
    [(head, payload)] = await ask(crew, b"mine", do="echo")
    assert payload == b"mine" and "pid" in head


async def test_a_worker_that_cannot_load_says_why() -> None:
    crew = Crew(MODULE, ["--broken"])
    with pytest.raises(errors.Failed, match="ValueError: no model"):
        await crew.start()
    await crew.close()


async def test_a_crew_gives_up_for_a_while_when_no_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "HIRES", 2)
    crew = Crew(MODULE, ["--broken"])
    for _ in range(2):
        with pytest.raises(errors.Failed, match="no model"):
            await crew.start()
    with pytest.raises(errors.Failed, match="failed to start 2 times"):
        await crew.start()
    await crew.close()


PARENT = """
import asyncio
from nodes.engines.worker import Crew
async def main():
    crew = Crew("scripted_worker")
    await crew.start()
    async with crew.worker() as worker:
        async for head, _ in worker.ask({"do": "hang"}):
            print(head["pid"], flush=True)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it goes at its next border")
async def test_a_busy_worker_goes_when_its_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert not gone(pid)
        parent.kill()
    await until_gone(pid)
