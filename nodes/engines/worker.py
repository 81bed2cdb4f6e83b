"""The parent's side of work that is done in a process of its own.

Engines and codecs can hold Python's lock, eat memory, or be brought down by what a stranger sends.
They work in sandboxed child processes (see `sandbox`), which can be killed at any moment and cost
the node nothing.

    Worker    one process: loaded once, does jobs as its mode says (see `worker_main`)
    Job       one question to a worker, and its answer, on a socket of its own
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from nodes.engines import link, worker_main
from privox_dht import errors

START_WITHIN = 60.0  # seconds until a worker must be ready; a slow disk, not a slow model
STREAM_LIMIT = 1 << 18  # bytes a worker may be ahead of whoever listens
TOLD_WITHIN = 1.0  # seconds in which a worker says why a job ended
INHERITED = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")  # of our environment


class WorkerDied(errors.EngineFailed):
    """The process that did the job is gone.

    Attributes:
        why: the signal that ended it, if it is known, such as "SIGSEGV".
        guilty: whether it was at work on this job, and not on another of its jobs.
    """

    def __init__(self, message: str, why: str = "", *, guilty: bool = True) -> None:
        super().__init__(message)
        self.why = why
        self.guilty = guilty


class Job:
    """One question to a worker."""

    def __init__(self, worker: Worker, number: int, ours: socket.socket) -> None:
        self.number = number
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.open = False  # the worker owes us the rest of an answer
        self._worker = worker
        self._socket = ours
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __repr__(self) -> str:
        return f"<Job {self.number} of {self._worker!r}{', open' if self.open else ''}>"

    async def say(
        self, head: dict[str, Any], payload: bytes = b"", files: Sequence[int] = ()
    ) -> None:
        """Ask, or go on asking. `files` are handed over as open files; we keep ours.

        Raises:
            WorkerDied: it is gone.
        """
        self.open = True
        data = link.frame(head, payload)
        try:
            if self._writer is None:
                data = data[socket.send_fds(self._socket, [data[: link.LENGTHS.size]], files) :]
                self._reader, self._writer = await asyncio.open_connection(
                    sock=self._socket, limit=STREAM_LIMIT
                )
            self._writer.write(data)
            await self._writer.drain()
        except OSError as exc:
            raise await self._died() from exc

    async def hear(self) -> link.Piece | None:
        """The next piece of the answer; None at its end.

        Raises:
            RequestRejected, EngineFailed: the worker says so.
            WorkerDied: it is gone.
        """
        head, data = await self._next()
        self.open = not head.keys() & link.ENDS
        if "done" in head:
            return None
        if "refused" in head:
            raise errors.RequestRejected(
                head["refused"],
                status=head["status"],
                code=head.get("code") or "invalid_request",
                param=head["param"] or None,
            )
        if "failed" in head:
            raise errors.EngineFailed(head["failed"])
        return head, data

    async def pieces(self) -> AsyncGenerator[link.Piece]:
        """The answer to its end; raises as `hear` does."""
        while (piece := await self.hear()) is not None:
            yield piece

    def hang_up(self) -> None:
        """Listen no more."""
        if self._writer is None:
            self._socket.close()
        else:
            self._writer.transport.abort()

    async def _next(self) -> link.Piece:
        assert self._reader is not None
        try:
            return await _read(self._reader)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise await self._died() from exc

    async def _died(self) -> WorkerDied:
        try:
            async with asyncio.timeout(TOLD_WITHIN):
                why = await asyncio.shield(self.ended)
        except TimeoutError:
            why = ""
        guilty = self._worker.mode != worker_main.THREADS or self._worker.turn == self.number
        whose = "" if guilty else " over another job"
        how = f" ({why})" if why else ""
        message = f"the worker process of {self._worker.module} died{whose}{how}"
        return WorkerDied(message, why, guilty=guilty)


class Worker:
    """One child process, ready to be asked."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        on_death: Callable[[Worker], None],
        start_within: float = START_WITHIN,
    ) -> None:
        self.module = module
        self._start_within = start_within
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = _spawn(module, arguments, theirs)
        self.mode = worker_main.ALONE
        self.turn = 0  # the job that it works on, or did last, where its mode is "threads"
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._on_death = on_death
        self._orders = ours
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.module} pid {self.process.pid}, {len(self._jobs)} jobs>"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    async def ready(self) -> dict[str, Any]:
        """What the worker says about itself once it is loaded.

        Raises:
            EngineUnavailable: it says what is missing, and how to fix it.
            EngineFailed: it cannot start; or WorkerDied.
        """
        reader, self._writer = await asyncio.open_connection(sock=self._orders)
        try:
            async with asyncio.timeout(self._start_within):
                hello, _ = await _read(reader)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise WorkerDied(f"the worker process of {self.module} died") from exc
        if "fix" in hello:
            raise errors.EngineUnavailable(hello["failed"], hello["fix"])
        if "failed" in hello:
            raise errors.EngineFailed(f"{self.module} could not start: {hello['failed']}")
        self.mode = hello["mode"]
        self._listening = asyncio.create_task(self._listen(reader))
        return hello

    def begin(self, *, nice: bool = False) -> Job:
        """A job in this worker; one that is `nice` leaves the processor to those that are not,
        where each has a process of its own."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        job = Job(self, next(self._numbers), ours)
        with theirs:
            if self._listening is None or self._listening.done():
                job.ended.set_result("")  # the process is gone, and asking it will say so
                return job
            self._jobs[job.number] = job
            self._order({"job": job.number, "nice": nice}, theirs.fileno())
        return job

    def end(self, job: Job) -> None:
        """Nobody listens to `job` any more."""
        if self.mode == worker_main.FORK and not job.ended.done():
            self._order({"kill": job.number})
        job.hang_up()

    async def kill(self) -> None:
        """End the process now, and all it started; nothing of it is left when this returns."""
        self.kill_now()
        if self._listening is not None:
            self._listening.cancel()
        if self._writer is None:
            self._orders.close()
        else:
            self._writer.transport.abort()
        await asyncio.shield(asyncio.to_thread(self.process.wait))

    def kill_now(self) -> None:
        """End the process and all it started, without waiting for that."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _order(self, order: dict[str, Any], *files: int) -> None:
        """An order is short: it leaves in one piece, or the process is past hearing it."""
        try:
            socket.send_fds(self._orders, [link.frame(order)], files)
        except OSError:
            self.kill_now()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Which jobs ended, until the process does."""
        why = ""
        try:
            while True:
                told, _ = await _read(reader)
                if "turn" in told:
                    self.turn = told["turn"]
                elif job := self._jobs.pop(told["ended"], None):
                    job.ended.set_result(told["why"])
        except (asyncio.IncompleteReadError, OSError, errors.EngineFailed):
            why = await self._signal()
            self._on_death(self)
        finally:
            for job in self._jobs.values():
                job.ended.set_result(why)
            self._jobs.clear()

    async def _signal(self) -> str:
        """The name of the signal that ended the process, which has closed its socket."""
        try:
            code = await asyncio.to_thread(self.process.wait, TOLD_WITHIN)
        except subprocess.TimeoutExpired:
            return ""
        return signal.Signals(-code).name if code < 0 else ""


def _spawn(module: str, arguments: Sequence[str], orders: socket.socket) -> subprocess.Popen[bytes]:
    """Start `module` with `orders` as its file descriptor 0, and next to nothing of ours."""
    here = str(Path(__file__).resolve().parents[2])  # so that it finds this very package
    named = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = os.pathsep.join([here, *map(os.path.abspath, named)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=orders.fileno(),
        stdout=subprocess.DEVNULL,
        process_group=0,  # killed with all it started, and not asked by Ctrl-C
        cwd="/",
        env={
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": path,
            "OPENBLAS_NUM_THREADS": "1",  # its threads are not there in a copy, and it would wait
            worker_main.PARENT: str(os.getpid()),
        },
    )


async def _read(reader: asyncio.StreamReader) -> link.Piece:
    lengths = await reader.readexactly(link.LENGTHS.size)
    head_size, payload_size = link.LENGTHS.unpack(lengths)
    if head_size > link.MAX_HEAD or payload_size > link.MAX_PAYLOAD:
        raise errors.EngineFailed("a worker says something far too long")
    head = json.loads(await reader.readexactly(head_size))
    return head, await reader.readexactly(payload_size)
