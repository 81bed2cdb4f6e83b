"""The workers of one kind, kept warm: see `worker` for what a worker and a job are.

A job that ends before its answer is complete (cancelled, closed, failed) is ended in the worker
too: in mode "fork" its copy is killed; in mode "threads" its thread gets some seconds to finish a
segment; in mode "alone" the worker is killed and another one started. A pool whose workers fail to
start several times in a row stops trying for a while; its jobs fail with an error that tells this.
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
from nodes.engines.worker import START_TIMEOUT, Job, Worker, WorkerDied
from privox_dht import errors, limits

MAX_START_FAILURES = 6  # workers that may fail to start ...
START_FAILURES_WINDOW = 60.0  # ... within these seconds, before the pool gives up for as long
RETRIES = 2  # times a job is begun anew because another job crashed its worker
PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.M)  # in /proc/PID/status
STOP_TIMEOUT = 30.0  # seconds a thread gets to finish its segment once its job was cancelled


def memory_of(pid: int) -> int:
    """The peak memory of a process, in bytes; 0: unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return 0
    peak = PEAK.search(status)
    return int(peak[1]) * limits.KIB if peak else 0


class WorkerPool:
    """Warm workers of one kind."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str] = (),
        *,
        max_jobs: int | None = None,
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        """
        Args:
            module: what a worker runs.
            arguments: of its command line.
            max_jobs: jobs at a time; others wait. None: one for each core.
            start_timeout: seconds until a worker must be ready.
        """
        self.module = module
        self.max_jobs = max_jobs or usable_cores()
        self._start_within = start_timeout
        self.arguments = tuple(arguments)
        self._free_slots = asyncio.Semaphore(self.max_jobs)
        self._idle: list[Worker] = []  # those that can be given a job
        self._all: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ensuring = asyncio.Lock()
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
        """Whether a job is running."""
        return any(worker.busy for worker in self._all)

    @property
    def memory(self) -> int:
        """The peak memory of all workers, in bytes; 0: unknown."""
        return sum(map(memory_of, self.pids))

    async def start(self) -> dict[str, Any]:
        """Start one worker; what it reports about itself.

        Raises:
            EngineUnavailable: something is missing; says what, and how to fix it.
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

    async def ensure_worker(self) -> None:
        """Start one worker if there is none (after `stop_workers`), even if several jobs wait.

        Raises:
            EngineFailed: it cannot start.
        """
        async with self._ensuring:
            if self._all:
                return
            try:
                await self.start()
            except errors.EngineUnavailable as exc:  # it was available when the node started
                raise errors.EngineFailed(str(exc)) from exc

    async def stop_workers(self) -> None:
        """End all workers; `ensure_worker` starts one again."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.wait([self._warming])
        self._idle.clear()
        await asyncio.gather(*(self._terminate(worker) for worker in tuple(self._all)))

    @contextlib.asynccontextmanager
    async def job(self, seconds: float | None = None) -> AsyncIterator[Job]:
        """A job in a warm worker, ended with the context.

        Args:
            seconds: of its audio, if known. A short job does not wait for others, and a longer one
                has a lower priority in mode "fork".
        """
        is_short = seconds is not None and seconds <= limits.SHORT_JOB_SECONDS
        async with contextlib.nullcontext() if is_short else self._free_slots:
            worker = await self._take()
            job = worker.begin(nice=seconds is not None and not is_short)
            try:
                yield job
            finally:
                self._finish(worker, job)

    async def ask(
        self,
        request: dict[str, Any],
        payload: bytes = b"",
        files: Sequence[int] = (),
        seconds: float | None = None,
    ) -> AsyncGenerator[link.Message]:
        """The messages of the answer to `request`, a job with so many seconds of audio; closing
        this ends the work.

        If another job crashes the worker, the request goes to the next worker: from the start,
        or, with `{"from": ...}`, from the position of the last message (`"at"`).

        Raises:
            RequestRejected, EngineFailed: as the worker reports.
            WorkerDied: the process ended.
        """
        for again in range(RETRIES, -1, -1):
            last: dict[str, Any] | None = None
            try:
                async with self.job(seconds) as job:
                    await job.send(request, payload, files)
                    async for piece in job.pieces():
                        last = piece[0]
                        yield piece
                return
            except WorkerDied as exc:
                if exc.is_own_job or not again or (last is not None and "at" not in last):
                    raise
                if last is not None:
                    request = {**request, "from": last["at"]}

    async def _take(self) -> Worker:
        """A warm worker, or the one that is starting, or a new one."""
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
        except errors.EngineUnavailable as exc:  # it was available when the node started
            raise errors.EngineFailed(str(exc)) from exc
        if worker.mode != worker_main.ALONE:
            self._idle.append(worker)
        return worker

    def _finish(self, worker: Worker, job: Job) -> None:
        """End a job, and keep its worker if it can do another one."""
        worker.end(job)
        if worker.mode == worker_main.ALONE:
            if job.open or not worker.alive:
                self._replace(worker)
            else:
                self._idle.append(worker)
        elif worker.mode == worker_main.THREADS and not job.ended.done():
            self._spawn_task(self._kill_if_stuck(worker, job))

    async def _kill_if_stuck(self, worker: Worker, job: Job) -> None:
        """Kill a worker whose thread does not end in time."""
        await asyncio.wait([job.ended], timeout=STOP_TIMEOUT)
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
            if isinstance(exc, Exception):  # not a cancelled job
                self._failures.append(now)
            await self._terminate(worker)
            if isinstance(exc, TimeoutError):
                raise errors.EngineFailed(f"{self.module} was not ready in time") from exc
            raise
        self._failures.clear()
        return worker, hello

    def _replace(self, worker: Worker) -> None:
        """Kill a worker now; wait for its end and start another one in the background.

        Only one starts at a time, so that many cancelled jobs do not start many processes.
        """
        worker.kill_now()
        if worker in self._idle:
            self._idle.remove(worker)
        if self._closed or worker not in self._all:  # `close` waits for it
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
        """Wait for the worker that is starting; a cancelled caller does not stop it."""
        if self._warming is not None:
            await asyncio.wait([self._warming])

    async def _warm(self) -> None:
        if self._idle or self._closed:
            return
        with contextlib.suppress(errors.PrivoxError):  # the next job reports it
            fresh, _ = await self._spawn()
            self._idle.append(fresh)

    async def _terminate(self, worker: Worker) -> None:
        await worker.kill()
        self._all.discard(worker)
