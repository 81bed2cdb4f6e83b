"""The parent's side of worker processes.

Engines and codecs can hold Python's lock, use much memory, or be crashed by a client's input. So
they run in sandboxed child processes (`sandbox`), which can be killed at any moment without harm to
the node.

    Worker    one process: loaded once, does jobs as its mode says (see `worker_main`)
    Job       one request to a worker and its answer, on a socket of its own
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
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

START_TIMEOUT = 60.0  # seconds until a worker must be ready; enough for a slow disk
STREAM_LIMIT = 1 << 18  # bytes of an answer that are buffered; the worker waits then
EXIT_REPORT_TIMEOUT = 1.0  # seconds in which a worker reports why a job ended
# Variables that a worker gets
INHERITED = ("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")


class WorkerDied(errors.EngineFailed):
    """The process that worked on the job died.

    Attributes:
        why: the signal that ended it, if it is known, such as "SIGSEGV".
        is_own_job: whether the process was working on this job, and not on another one.
    """

    def __init__(self, message: str, why: str = "", *, is_own_job: bool = True) -> None:
        super().__init__(message)
        self.why = why
        self.is_own_job = is_own_job


class Job:
    """One request to a worker, and its answer."""

    def __init__(self, worker: Worker, number: int, ours: socket.socket) -> None:
        self.number = number
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.open = False  # the answer is not complete
        self._worker = worker
        self._socket = ours
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __repr__(self) -> str:
        return f"<Job {self.number} of {self._worker!r}{', open' if self.open else ''}>"

    async def send(
        self, head: dict[str, Any], payload: bytes = b"", files: Sequence[int] = ()
    ) -> None:
        """Send a request, or more of it. `files` are passed as open files; ours stay open.

        Raises:
            WorkerDied: the process ended.
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

    async def receive(self) -> link.Message | None:
        """The next message of the answer; None at its end.

        Raises:
            RequestRejected, EngineFailed: as the worker reports.
            WorkerDied: the process ended.
        """
        head, data = await self._next()
        self.open = not head.keys() & link.FINAL_KEYS
        if "done" in head:
            return None
        if "refused" in head:
            raise errors.RequestRejected(
                head["refused"], status=head["status"], code=head["code"], param=head["param"]
            )
        if "failed" in head:
            raise errors.EngineFailed(head["failed"])
        return head, data

    async def pieces(self) -> AsyncGenerator[link.Message]:
        """The answer to its end; raises as `receive` does."""
        while (piece := await self.receive()) is not None:
            yield piece

    def close(self) -> None:
        """Close the socket of the job."""
        if self._writer is None:
            self._socket.close()
        else:
            self._writer.transport.abort()

    async def _next(self) -> link.Message:
        assert self._reader is not None
        try:
            return await link.read(self._reader)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise await self._died() from exc

    async def _died(self) -> WorkerDied:
        try:
            async with asyncio.timeout(EXIT_REPORT_TIMEOUT):
                why = await asyncio.shield(self.ended)
        except TimeoutError:
            why = ""
        is_own_job = self._worker.mode != worker_main.THREADS or self._worker.turn == self.number
        whose = "" if is_own_job else " over another job"
        how = f" ({why})" if why else ""
        message = f"the worker process of {self._worker.module} died{whose}{how}"
        return WorkerDied(message, why, is_own_job=is_own_job)


class Worker:
    """One child process."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        on_exit: Callable[[Worker], None],
        start_timeout: float = START_TIMEOUT,
    ) -> None:
        self.module = module
        self._start_within = start_timeout
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = _spawn(module, arguments, theirs)
        self.mode = worker_main.ALONE
        self.turn = 0  # number of the job it works on, or did last, in mode "threads"
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._on_exit = on_exit
        self._control = ours
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._has_ended = False  # it closed its socket, or sent an invalid message

    def __repr__(self) -> str:
        return f"<Worker {self.module} pid {self.process.pid}, {len(self._jobs)} jobs>"

    @property
    def alive(self) -> bool:
        # `poll` alone is not enough: it returns None while a thread waits for the process
        return not self._has_ended and self.process.poll() is None

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    async def ready(self) -> dict[str, Any]:
        """Wait until the worker is loaded; what it reports about itself.

        Raises:
            EngineUnavailable: something is missing; says what, and how to fix it.
            EngineFailed: it cannot start; or WorkerDied.
        """
        reader, self._writer = await asyncio.open_connection(sock=self._control)
        try:
            async with asyncio.timeout(self._start_within):
                hello, _ = await link.read(reader)
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
        """A new job in this worker; a `nice` one gets a lower priority, in mode "fork"."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        job = Job(self, next(self._numbers), ours)
        with theirs:
            if self._listening is None or self._listening.done():
                job.ended.set_result("")  # the process has ended; `send` reports that
                return job
            self._jobs[job.number] = job
            self._send_control({"job": job.number, "nice": nice}, theirs.fileno())
        return job

    def end(self, job: Job) -> None:
        """The answer of `job` is not needed any more, or complete."""
        if self.mode == worker_main.FORK and not job.ended.done():
            self._send_control({"kill": job.number})
        job.close()

    async def kill(self) -> None:
        """Kill the process and its children; they have ended when this returns."""
        self.kill_now()
        if self._listening is not None:
            self._listening.cancel()
        if self._writer is None:
            self._control.close()
        else:
            self._writer.transport.abort()
        await asyncio.shield(asyncio.to_thread(self.process.wait))

    def kill_now(self) -> None:
        """Kill the process and its children, without waiting."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _send_control(self, order: dict[str, Any], *files: int) -> None:
        """Send a control message: a short one. If it does not fit, the process is stuck."""
        try:
            socket.send_fds(self._control, [link.frame(order)], files)
        except OSError:
            self.kill_now()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Read the worker's reports on its jobs until it ends."""
        why = ""
        try:
            while True:
                report, _ = await link.read(reader)
                if "turn" in report:
                    self.turn = report["turn"]
                elif job := self._jobs.pop(report["ended"], None):
                    job.ended.set_result(report["why"])
        except (asyncio.IncompleteReadError, OSError, errors.EngineFailed, KeyError, TypeError):
            self._has_ended = True
            why = await self._signal()
            self._on_exit(self)
        finally:
            for job in self._jobs.values():
                job.ended.set_result(why)
            self._jobs.clear()

    async def _signal(self) -> str:
        """The name of the signal that ended the process; "": none, or unknown."""
        try:
            code = await asyncio.to_thread(self.process.wait, EXIT_REPORT_TIMEOUT)
        except subprocess.TimeoutExpired:
            return ""
        return worker_main.signal_name(-code) if code < 0 else ""


def _spawn(
    module: str, arguments: Sequence[str], control: socket.socket
) -> subprocess.Popen[bytes]:
    """Start `module` with `control` as its file descriptor 0, and a minimal environment."""
    here = str(Path(__file__).resolve().parents[2])  # so that it finds this package
    named = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = os.pathsep.join([here, *map(os.path.abspath, named)])
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=control.fileno(),
        stdout=subprocess.DEVNULL,
        process_group=0,  # so that it can be killed with its children, and gets no Ctrl-C
        cwd="/",
        env={
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": path,
            "OPENBLAS_NUM_THREADS": "1",  # a forked copy would wait for its other threads
            worker_main.PARENT: str(os.getpid()),
        },
    )
