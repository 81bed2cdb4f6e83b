"""Workers and worker pools: what happens to a process when its job, or its parent, ends badly.

Where a worker makes a copy of itself for each job (Linux), and where it works alone (elsewhere)."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from kit import turns, until

from nodes.engines import link, worker_main
from nodes.engines import worker as worker_module
from nodes.engines import worker_pool as pool_module
from nodes.engines.worker import Job, WorkerDied
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors

MODULE = "scripted_worker"
SOON = 10.0  # seconds; a busy machine takes a while to start and to reap a process


@pytest.fixture(autouse=True)
def _find_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


FORK = pytest.param("--fork", marks=pytest.mark.skipif(
    sys.platform != "linux", reason="copies are made on Linux only"))  # fmt: skip


@pytest.fixture(params=[FORK, "--alone"])
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(MODULE, [request.param], max_jobs=2)
    await pool.start()
    yield pool
    pids = pool.pids
    await pool.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


async def ask(pool: WorkerPool, payload: bytes = b"", **question: Any) -> list[Any]:
    return [piece async for piece in pool.ask(question, payload)]


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def until_gone(pid: int) -> None:
    await until(lambda: gone(pid), SOON)


async def test_an_answer_comes_piece_by_piece(pool: WorkerPool) -> None:
    pieces = await ask(pool, do="count", to=3, size=5)
    assert pieces == [({"number": n}, bytes(5)) for n in range(3)]


async def test_megabytes_go_both_ways(pool: WorkerPool) -> None:
    sent = os.urandom(3 << 20)
    [(_, echoed)] = await ask(pool, sent, do="echo")
    assert echoed == sent


async def test_one_process_does_one_job_after_the_other(pool: WorkerPool) -> None:
    before = pool.pids
    for _ in range(3):
        await ask(pool, do="echo")
    assert pool.pids == before


async def test_two_jobs_at_a_time_are_done_side_by_side(pool: WorkerPool) -> None:
    async with pool.job() as one, pool.job() as other:
        assert await running(one) != await running(other)


async def running(job: Job) -> int:
    """The process that does a job which never ends."""
    await job.send({"do": "hang"})
    piece = await job.receive()
    assert piece is not None
    return int(piece[0]["pid"])


async def test_a_third_job_waits_for_its_turn(pool: WorkerPool) -> None:
    async with pool.job(), pool.job():
        third = asyncio.ensure_future(ask(pool, do="echo"))
        done, _ = await asyncio.wait([third], timeout=0.1)
        assert not done
    assert len(await third) == 1


async def test_a_refusal_is_told_and_the_worker_stays(pool: WorkerPool) -> None:
    before = pool.pids
    with pytest.raises(errors.RequestRejected, match="not that") as refused:
        await ask(pool, do="refuse")
    assert (refused.value.status, refused.value.param) == (404, "voice")
    assert len(await ask(pool, do="echo")) == 1
    assert pool.pids == before


async def test_an_engine_that_raises_fails_the_job_and_the_next_one_works(pool: WorkerPool) -> None:
    with pytest.raises(errors.EngineFailed, match="ValueError: broken"):
        await ask(pool, do="break")
    assert len(await ask(pool, do="echo")) == 1


async def test_words_printed_by_a_library_do_not_get_into_the_answer(pool: WorkerPool) -> None:
    assert await ask(pool, do="print") == [({}, b"")]


@pytest.mark.parametrize("pool", [FORK], indirect=True)
async def test_a_copy_that_dies_just_as_it_is_given_a_job_costs_that_job_alone(
    pool: WorkerPool,
) -> None:
    """The worker heard of both at once, looked for the copy where it had been, and died of it."""
    await ask(pool, do="echo")
    worker = psutil.Process(pool.pids[0])
    [copy] = await until(lambda: len(found := worker.children()) == 1 and found)
    worker.suspend()
    job = asyncio.ensure_future(ask(pool, do="echo"))
    await turns()  # it is asked, and does not hear of it yet
    copy.kill()
    await until(lambda: gone(copy.pid))
    worker.resume()
    with pytest.raises(errors.EngineFailed, match="SIGKILL"):
        await job
    assert len(await ask(pool, do="echo")) == 1
    assert pool.pids == (worker.pid,)


async def test_a_worker_killed_in_mid_job_fails_it_and_is_replaced(pool: WorkerPool) -> None:
    async with pool.job() as job:
        os.kill(await running(job), signal.SIGKILL)
        with pytest.raises(WorkerDied, match="died"):
            await job.receive()
    assert len(await ask(pool, do="echo")) == 1


async def test_a_worker_that_died_before_it_was_asked_anything_is_told_as_dead(
    pool: WorkerPool,
) -> None:
    async with pool.job() as job:
        [pid] = pool.pids
        os.killpg(pid, signal.SIGKILL)
        await until(job.ended.done, SOON)
        with pytest.raises(WorkerDied, match="SIGKILL"):
            await job.send({"do": "echo"})
    assert len(await ask(pool, do="echo")) == 1


async def test_of_a_worker_that_died_it_is_said_why_and_another_is_warm_within_a_second(
    pool: WorkerPool,
) -> None:
    with pytest.raises(WorkerDied, match="died"):
        await ask(pool, do="crash")
    async with asyncio.timeout(1.0):
        assert len(await ask(pool, do="echo")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")
async def test_a_copy_waits_behind_the_wall_before_there_is_a_job_for_it() -> None:
    async with started("--fork") as pool:
        [pid] = pool.pids
        for _ in range(2):
            waiting = await until(lambda: [p.pid for p in walled_children(pid)], SOON)
            [(head, _)] = await ask(pool, do="echo")
            assert head["pid"] in waiting
            await until_gone(head["pid"])


def walled_children(pid: int) -> list[psutil.Process]:
    """The living copies of a worker that are in their sandbox."""
    sandboxed = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{child.pid}/status").read_text()
            if "Seccomp:\t2" in status and "State:\tZ" not in status:
                sandboxed.append(child)
    return sandboxed


async def test_the_signal_that_ended_a_copy_is_told() -> None:
    async with started("--fork") as pool:
        with pytest.raises(WorkerDied, match="SIGABRT") as died:
            await ask(pool, do="crash")
        assert died.value.why == "SIGABRT"
        with pytest.raises(WorkerDied) as died:
            await ask(pool, do="spin")
        assert died.value.why == "SIGXCPU"


@pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")
async def test_a_copy_that_ends_by_a_real_time_signal_costs_no_other_job() -> None:
    """Such a signal has no name in Python: the process that makes the copies failed over that."""
    pool = WorkerPool(MODULE, ["--fork"], max_jobs=2)
    await pool.start()
    before = pool.pids
    try:
        async with contextlib.aclosing(pool.ask({"do": "hang"})) as other:
            await anext(other)
            with pytest.raises(WorkerDied) as died:
                await ask(pool, do="end by", signal=signal.SIGRTMIN + 1)
            assert died.value.why == f"signal {signal.SIGRTMIN + 1}"
            assert pool.busy, "the other job goes on"
        assert await ask(pool, b"still here", do="echo")
        assert pool.pids == before
    finally:
        await pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="copies are made on Linux only")
async def test_where_no_process_can_be_started_the_next_job_fails_and_the_running_one_goes_on() -> (
    None
):
    """The process that makes the copies failed, and with it all running jobs of the engine."""
    pool = WorkerPool(MODULE, ["--fork", "--one-job"], max_jobs=2)
    await pool.start()
    before = pool.pids
    try:
        async with contextlib.aclosing(pool.ask({"do": "count", "to": 10_000, "size": 999})) as one:
            await anext(one)
            for _ in range(2):
                with pytest.raises(errors.EngineFailed, match="no process can be started"):
                    await ask(pool, do="echo")
            assert len([piece async for piece in one]) == 9_999
        assert pool.pids == before
    finally:
        await pool.close()


@pytest.mark.parametrize("head", [b"{", b"7", b"[" * 100_000, b'{"ended": []}', b"{}", b"\xff"])
@pytest.mark.parametrize("where", ["control", "job"])
async def test_a_worker_that_sends_nonsense_is_replaced(where: str, head: bytes) -> None:
    """As an attacker's code in it might: no job of its engine succeeded from then on."""
    pool = WorkerPool(MODULE, ["--alone"])
    try:
        await pool.start()
        nonsense = link.LENGTHS.pack(len(head), 0) + head
        async with asyncio.timeout(SOON):
            with contextlib.suppress(errors.EngineFailed):
                async for _ in pool.ask({"do": "garble", "where": where}, nonsense):
                    break
            assert len(await ask(pool, do="echo")) == 1
    finally:
        await pool.close()


async def test_a_system_without_pidfds_has_one_job_at_a_time_in_a_process() -> None:
    """The worker died when it was asked for a copy; the advice was to reinstall the engine."""
    pool = WorkerPool(MODULE, ["--no-pidfds"])
    try:
        assert (await pool.start())["mode"] == worker_main.ALONE
        assert await ask(pool, b"words", do="echo")
    finally:
        await pool.close()


async def test_the_processor_time_of_a_worker_without_copies_is_limited_for_each_job() -> None:
    """It was limited for all jobs together: on macOS, after two minutes of decoding in all, a sound
    file was refused because of the others."""
    pool = WorkerPool(MODULE, ["--alone"])  # two seconds
    try:
        await pool.start()
        before = pool.pids
        for _ in range(4):
            await ask(pool, do="work", seconds=1.0)
        assert pool.pids == before
        with pytest.raises(WorkerDied) as died:
            await ask(pool, do="spin")
        assert died.value.why == "SIGXCPU"
    finally:
        await pool.close()


async def test_a_worker_that_died_while_idle_costs_nobody_a_job(pool: WorkerPool) -> None:
    [pid] = pool.pids
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid)
    assert len(await ask(pool, do="echo")) == 1


async def test_a_worker_counts_as_dead_while_a_thread_waits_for_its_end(pool: WorkerPool) -> None:
    """`Popen.poll` says None while another thread holds its lock: the next job went to the dead
    worker, and failed."""
    [worker] = pool._all
    lock = vars(worker.process)["_waitpid_lock"]
    with lock:
        os.kill(worker.process.pid, signal.SIGKILL)
        await until(lambda: not worker.alive, SOON)
    assert len(await ask(pool, do="echo")) == 1


async def test_cancelling_a_job_kills_its_worker_at_once(pool: WorkerPool) -> None:
    begun: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hang() -> None:
        async with pool.job() as job:
            begun.set_result(await running(job))
            await job.receive()

    task = asyncio.create_task(hang())
    pid = await begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_gone(pid)
    assert len(await ask(pool, do="echo")) == 1


async def test_a_storm_of_cancelled_jobs_does_not_pile_up_processes(pool: WorkerPool) -> None:
    """Each kills a worker, and a new one takes a while to start: only one may be warming."""
    most = 0
    for _ in range(12):
        job = asyncio.create_task(ask(pool, do="hang"))
        await asyncio.wait([job], timeout=0.05)
        job.cancel()
        await asyncio.wait([job])
        most = max(most, len(pool.pids))
    assert most <= 4
    assert len(await ask(pool, do="echo")) == 1


async def test_jobs_cancelled_while_a_worker_starts_do_not_count_as_failures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "MAX_START_FAILURES", 2)
    pool = WorkerPool(MODULE)
    for _ in range(5):
        job = asyncio.create_task(ask(pool, do="echo"))
        await asyncio.wait([job], timeout=0.01)
        job.cancel()
        await asyncio.wait([job])
    assert len(await ask(pool, do="echo")) == 1
    await pool.close()


async def test_closing_an_answer_early_ends_its_work(pool: WorkerPool) -> None:
    async with contextlib.aclosing(pool.ask({"do": "hang"})) as answer:
        head, _ = await anext(answer)
    await until_gone(head["pid"])


async def test_a_worker_waits_for_a_slow_listener(pool: WorkerPool) -> None:
    """A gigabyte is announced; what is not fetched stays unmade, not in our memory. Nobody listens
    for as long as another worker needs to hand over many times what may be made ahead."""
    before = psutil.Process().memory_info().rss
    question = {"do": "count", "timed": True, "to": 1000, "size": 1 << 20}
    async with contextlib.aclosing(pool.ask(question)) as answer:
        await anext(answer)
        async for _ in pool.ask({"do": "count", "to": 50, "size": 1 << 20}):
            pass
        assert psutil.Process().memory_info().rss - before < 32 << 20
        assert all(psutil.Process(pid).memory_info().rss < 200 << 20 for pid in pool.pids)
        listened_again = time.monotonic()
        made = {head["number"]: head["made"] async for head, _ in _first(5, answer)}
        assert made[5] > listened_again


async def _first(count: int, answer: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for _ in range(count):
        yield await anext(answer)


async def test_an_answer_left_incomplete_does_not_leak_into_the_next(pool: WorkerPool) -> None:
    async with contextlib.aclosing(pool.ask({"do": "count", "to": 100})) as answer:
        await anext(answer)
    [(head, payload)] = await ask(pool, b"mine", do="echo")
    assert payload == b"mine" and "pid" in head


@contextlib.asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(MODULE, arguments)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.close()


async def test_a_worker_has_nothing_of_the_nodes_environment(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "key")
    async with started("--alone") as fresh:
        [(environment, _)] = await ask(fresh, do="environment")
    assert set(environment) <= {
        *("PATH", "LANG", "PYTHONPATH", "OPENBLAS_NUM_THREADS", "PRIVOX_WORKER_PARENT", "LC_CTYPE"),
        *worker_module.INHERITED,
    }


async def test_a_thread_that_nobody_listens_to_ends_at_its_border() -> None:
    async with started("--threads") as pool:
        async with contextlib.aclosing(pool.ask({"do": "count", "to": 10**9})) as answer:
            await anext(answer)
        await until(lambda: not pool.busy, SOON)
        assert len(await ask(pool, do="echo")) == 1


async def test_a_thread_that_never_comes_to_its_border_costs_its_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "STOP_TIMEOUT", 0.1)
    async with started("--threads") as pool:
        async with contextlib.aclosing(pool.ask({"do": "hang"})) as answer:
            head, _ = await anext(answer)
        await until_gone(head["pid"])
        assert len(await ask(pool, do="echo")) == 1


async def test_a_thread_that_crashes_is_told_why_and_others_go_on_where_they_were() -> None:
    async with started("--threads") as pool:
        async with contextlib.aclosing(pool.ask({"do": "take a turn"})) as innocent:
            heads = [(await anext(innocent))[0]]
            with pytest.raises(WorkerDied, match="SIGABRT") as died:
                await ask(pool, do="take a turn and crash")
            assert (died.value.why, died.value.is_own_job) == ("SIGABRT", True)
            while heads[-1]["pid"] == heads[0]["pid"]:
                heads.append((await anext(innocent))[0])
        assert [head["number"] for head in heads] == list(range(len(heads)))


async def test_a_thread_whose_listener_left_while_it_waits_for_its_turn_ends() -> None:
    async with started("--threads") as pool:
        async with contextlib.aclosing(pool.ask({"do": "take a turn"})) as busy:
            await anext(busy)
            waiting = asyncio.create_task(ask(pool, do="take a turn"))
            await until(lambda: [len(worker._jobs) for worker in pool._all] == [2], SOON)
            waiting.cancel()
            await asyncio.wait([waiting])
        await until(lambda: not pool.busy, SOON)


async def test_a_worker_that_cannot_load_says_why() -> None:
    pool = WorkerPool(MODULE, ["--broken"])
    with pytest.raises(errors.EngineFailed, match="ValueError: no model"):
        await pool.start()
    await pool.close()


async def test_a_pool_gives_up_for_a_while_when_no_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "MAX_START_FAILURES", 2)
    pool = WorkerPool(MODULE, ["--broken"])
    for _ in range(2):
        with pytest.raises(errors.EngineFailed, match="no model"):
            await pool.start()
    with pytest.raises(errors.EngineFailed, match="failed to start 2 times"):
        await pool.start()
    await pool.close()


PARENT = """
import asyncio
import sys
from nodes.engines.worker_pool import WorkerPool
async def main():
    pool = WorkerPool("scripted_worker", sys.argv[1:])
    await pool.start()
    async for head, _ in pool.ask({"do": "hang"}):
        print(head["pid"], flush=True)
asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it goes at its next border")
@pytest.mark.parametrize("mode", ["--fork", "--threads", "--alone"])
async def test_a_busy_worker_goes_when_its_parent_is_killed(mode: str) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, mode], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(await asyncio.to_thread(parent.stdout.readline))
        assert not gone(pid)
        parent.kill()
    await until_gone(pid)
