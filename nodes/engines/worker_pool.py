"""The workers of one kind, kept warm: see `worker` for what a worker and a job are.

A job that ends before its answer is complete (cancelled, closed, broken) is ended in the worker
too: where each job is a copy of the worker, the copy is killed; a thread gets some seconds to come
to its next border; a worker that works alone is killed, and another one is warmed up. A pool whose
workers die at once, again and again, stops trying for a while, and says so.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from nodes.cores import usable_cores
from nodes.engines import link, worker_main
from nodes.engines.worker import START_WITHIN, Job, Worker, WorkerDied
from privox_dht import errors, limits

MAX_START_FAILURES = 6  # workers that may fail to start ...
START_FAILURES_WINDOW = 60.0  # ... within these seconds, before the pool gives up for as long
ASKED_AGAIN = 2  # times a job is begun anew, since another one had brought its worker down
PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.M)  # in Linux's account of a process
BORDER_WITHIN = 30.0  # seconds a thread gets to come to its next border once nobody listens


def memory_of(pid: int) -> int:
    """The most bytes that a process had at any time; 0 where the system does not tell."""
    try:
        told = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return 0
    peak = PEAK.search(told)
    return int(peak[1]) * limits.KIB if peak else 0


class WorkerPool:
    """Warm workers of one kind."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        at_most: int | None = None,
        start_within: float = START_WITHIN,
    ) -> None:
        """
        Args:
            module: what a worker runs.
            arguments: of its command line.
            at_most: jobs at a time; others wait. None: one for each core, since more would only
                make each slower.
            start_within: seconds until a worker must be ready.
        """
        self.module = module
        self.at_most = at_most or usable_cores()
        self._start_within = start_within
        self.arguments = tuple(arguments)
        self._room = asyncio.Semaphore(self.at_most)
        self._idle: list[Worker] = []  # those that can be given a job
        self._all: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking = asyncio.Lock()
        self._warming: asyncio.Task[None] | None = None
        self._failures: deque[float] = deque(maxlen=MAX_START_FAILURES)
        self._closed = False

    def __repr__(self) -> str:
        return f"<WorkerPool {self.module} {len(self._idle)} ready of {len(self._all)}>"

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(worker.process.pid for worker in self._all)

    @property
    def busy(self) -> bool:
        """Whether a job is being worked on."""
        return any(worker.busy for worker in self._all)

    @property
    def memory(self) -> int:
        """Bytes; the most that the workers had at any time, as far as the system tells."""
        return sum(map(memory_of, self.pids))

    async def start(self) -> dict[str, Any]:
        """Have one worker warm; returns what it says about itself.

        Raises:
            EngineUnavailable: it says what is missing, and how to fix it.
            EngineFailed: it cannot start.
        """
        worker, hello = await self._spawn()
        self._idle.append(worker)
        return hello

    async def close(self) -> None:
        """End all workers."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._terminate(worker) for worker in tuple(self._all)))

    async def wake(self) -> None:
        """Have a worker, after `rest`: one, however many jobs come at once.

        Raises:
            EngineFailed: it cannot start.
        """
        async with self._waking:
            if self._all:
                return
            try:
                await self.start()
            except errors.EngineUnavailable as exc:  # it was there when the node started
                raise errors.EngineFailed(str(exc)) from exc

    async def rest(self) -> None:
        """End the workers that there are; the next job has one started."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        self._idle.clear()
        await asyncio.gather(*(self._terminate(worker) for worker in tuple(self._all)))

    @contextlib.asynccontextmanager
    async def job(self, seconds: float | None = None) -> AsyncIterator[Job]:
        """A job in a warm worker. What is left of it at the end of the context is ended.

        Args:
            seconds: of sound that it is about, if that is known. A short one waits for no room,
                and a longer one leaves the processor to others where it is a process of its own.
        """
        is_short = seconds is not None and seconds <= limits.SHORT_JOB_SECONDS
        async with contextlib.nullcontext() if is_short else self._room:
            worker = await self._take()
            job = worker.begin(nice=seconds is not None and not is_short)
            try:
                yield job
            finally:
                self._leave(worker, job)

    async def ask(
        self,
        question: dict[str, Any],
        payload: bytes = b"",
        files: Sequence[int] = (),
        seconds: float | None = None,
    ) -> AsyncGenerator[link.Piece]:
        """The pieces of the answer to `question`, a `job` about so many seconds of sound; closing
        this ends the work.

        Where another job brought the worker down, the next worker is asked: for all of it, or
        `{"from": ...}` what the last piece said in `"at"`.

        Raises:
            RequestRejected, EngineFailed: the worker says so.
            WorkerDied: it is gone.
        """
        for again in range(ASKED_AGAIN, -1, -1):
            last: dict[str, Any] | None = None
            try:
                async with self.job(seconds) as job:
                    await job.say(question, payload, files)
                    async for piece in job.pieces():
                        last = piece[0]
                        yield piece
                return
            except WorkerDied as exc:
                if exc.guilty or not again or (last is not None and "at" not in last):
                    raise
                if last is not None:
                    question = {**question, "from": last["at"]}

    async def _take(self) -> Worker:
        """A warm worker, or the one that is being warmed, or a new one."""
        while self._idle or self._is_warming():
            if not self._idle:
                await self._warmed()
                continue
            worker = self._idle[-1]
            if not worker.alive:
                self._idle.pop()
                await self._terminate(worker)
                continue
            if worker.mode == worker_main.ALONE:
                self._idle.pop()
            return worker
        try:
            worker, _ = await self._spawn()
        except errors.EngineUnavailable as exc:  # it was there when the node started
            raise errors.EngineFailed(str(exc)) from exc
        if worker.mode != worker_main.ALONE:
            self._idle.append(worker)
        return worker

    def _leave(self, worker: Worker, job: Job) -> None:
        """After a job: keep the worker if it can do another."""
        worker.end(job)
        if worker.mode == worker_main.ALONE:
            if job.open or not worker.alive:
                self._replace(worker)
            else:
                self._idle.append(worker)
        elif worker.mode == worker_main.THREADS and not job.ended.done():
            self._spawn_task(self._till_its_border(worker, job))

    async def _till_its_border(self, worker: Worker, job: Job) -> None:
        """A thread that does not come to its border has hung: its process goes."""
        await asyncio.wait([job.ended], timeout=BORDER_WITHIN)
        if not job.ended.done():
            self._replace(worker)

    async def _spawn(self) -> tuple[Worker, dict[str, Any]]:
        now = time.monotonic()
        if (
            len(self._failures) == MAX_START_FAILURES
            and now - self._failures[0] < START_FAILURES_WINDOW
        ):
            raise errors.EngineFailed(
                f"{self.module} failed to start {MAX_START_FAILURES} times in a row"
            )
        if self._closed:
            raise errors.EngineFailed(f"{self.module} is closed")
        worker = Worker(self.module, self.arguments, self._replace, self._start_within)
        self._all.add(worker)
        try:
            hello = await worker.ready()
        except BaseException as exc:
            if isinstance(exc, Exception):  # and not a job that was cancelled meanwhile
                self._failures.append(now)
            await self._terminate(worker)
            if isinstance(exc, TimeoutError):
                raise errors.EngineFailed(f"{self.module} was not ready in time") from exc
            raise
        self._failures.clear()
        return worker, hello

    def _replace(self, worker: Worker) -> None:
        """Kill at once (this is not the time to wait), bury and replace in the background.

        One at a time is warmed: however many jobs are cancelled, processes do not pile up.
        """
        worker.kill_now()
        if worker in self._idle:
            self._idle.remove(worker)
        if self._closed or worker not in self._all:  # `close` buries it
            return
        self._spawn_task(self._terminate(worker))
        if not self._is_warming():
            self._warming = self._spawn_task(self._warm())

    def _spawn_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _is_warming(self) -> bool:
        return self._warming is not None and not self._warming.done()

    async def _warmed(self) -> None:
        """Wait for the worker that is being warmed; who gives up waiting does not stop it."""
        if self._warming is not None:
            await asyncio.wait([self._warming])

    async def _warm(self) -> None:
        if self._idle or self._closed:
            return
        with contextlib.suppress(errors.PrivoxError):  # the next job will say so
            fresh, _ = await self._spawn()
            self._idle.append(fresh)

    async def _terminate(self, worker: Worker) -> None:
        await worker.kill()
        self._all.discard(worker)
