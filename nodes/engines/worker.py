"""The parent's side of engines that live in processes of their own.

Some engines hold Python's lock while they work, and some can bring the whole process down. They
work in a child process, which can be killed at any moment and costs the node nothing.

    Crew      as many workers as there are jobs at a time; keeps them warm, replaces the dead
    Worker    one process: asked one thing at a time (see `working` for what is said)

A job that ends before its answer is complete (cancelled, closed, broken) costs its worker: it is
killed, and another one is warmed up for the next job. A crew whose workers die at once, again and
again, stops trying for a while, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Any

from nodes.engines import working
from privox_dht import errors

START_WITHIN = 60.0  # seconds until a worker must be ready; a slow disk, not a slow model
HIRES = 6  # workers that may fail to start ...
HIRES_WINDOW = 60.0  # ... within these seconds, before the crew gives up for as long
AT_MOST = os.cpu_count() or 1  # workers at a time; more would only make each slower
STREAM_LIMIT = 1 << 18  # bytes a worker may be ahead of whoever listens


class Worker:
    """One child process, ready to be asked."""

    def __init__(self, module: str, arguments: Sequence[str]) -> None:
        self.module = module
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = _spawn(module, arguments, theirs)
        self.answering = False  # it owes somebody the rest of an answer
        self._socket = ours
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def __repr__(self) -> str:
        return f"<Worker {self.module} pid {self.process.pid}>"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    async def ready(self) -> dict[str, Any]:
        """What the worker says about itself once it is loaded."""
        self._reader, self._writer = await asyncio.open_connection(
            sock=self._socket, limit=STREAM_LIMIT
        )
        async with asyncio.timeout(START_WITHIN):
            hello, _ = await self._hear()
        if "failed" in hello:
            raise errors.Failed(f"{self.module} could not start: {hello['failed']}")
        return hello

    async def ask(
        self, question: dict[str, Any], payload: bytes = b""
    ) -> AsyncGenerator[working.Piece]:
        """The pieces of the answer.

        Raises:
            Refused, Failed: the worker says so, or died.
        """
        assert self._writer is not None
        self.answering = True
        try:
            self._writer.write(working.frame(question, payload))
            await self._writer.drain()
        except OSError as exc:
            raise self._died() from exc
        while True:
            head, data = await self._hear()
            self.answering = not head.keys() & working.ENDS
            if "done" in head:
                return
            if "refused" in head:
                raise errors.Refused(
                    head["refused"], status=head["status"], param=head["param"] or None
                )
            if "failed" in head:
                raise errors.Failed(head["failed"])
            yield head, data

    async def _hear(self) -> working.Piece:
        assert self._reader is not None
        try:
            lengths = await self._reader.readexactly(working.LENGTHS.size)
            head_size, payload_size = working.LENGTHS.unpack(lengths)
            if head_size > working.MAX_HEAD or payload_size > working.MAX_PAYLOAD:
                raise errors.Failed(f"{self.module} says something far too long")
            head = json.loads(await self._reader.readexactly(head_size))
            return head, await self._reader.readexactly(payload_size)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise self._died() from exc

    def _died(self) -> errors.Failed:
        return errors.Failed(f"the worker process of {self.module} died")

    async def kill(self) -> None:
        """End the process now; nothing of it is left when this returns."""
        self.process.kill()
        if self._writer is None:
            self._socket.close()
        else:
            self._writer.transport.abort()
        await asyncio.shield(asyncio.to_thread(self.process.wait))


class Crew:
    """Warm workers of one kind."""

    def __init__(
        self, module: str, arguments: Sequence[str] = (), *, at_most: int = AT_MOST
    ) -> None:
        self.module = module
        self._arguments = tuple(arguments)
        self._room = asyncio.Semaphore(at_most)
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None
        self._failures: deque[float] = deque(maxlen=HIRES)
        self._closed = False

    def __repr__(self) -> str:
        return f"<Crew {self.module} {len(self._idle)} idle of {len(self._all)}>"

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(worker.process.pid for worker in self._all)

    @property
    def busy(self) -> bool:
        """Whether somebody is being answered."""
        return any(worker.answering for worker in self._all)

    async def start(self) -> dict[str, Any]:
        """Have one worker warm; returns what it says about itself.

        Raises:
            Failed: it cannot start.
        """
        worker, hello = await self._hire()
        self._idle.append(worker)
        return hello

    async def close(self) -> None:
        """End all workers."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._dismiss(worker) for worker in tuple(self._all)))

    @contextlib.asynccontextmanager
    async def worker(self) -> AsyncIterator[Worker]:
        """A worker for one job. It is kept if it answered to the end, killed if not."""
        async with self._room:
            worker = await self._take()
            try:
                yield worker
            finally:
                if worker.answering or not worker.alive:
                    self._replace(worker)
                else:
                    self._idle.append(worker)

    async def _take(self) -> Worker:
        """A warm worker, or the one that is being warmed, or a new one."""
        while self._idle or self._is_warming():
            if not self._idle:
                await self._warmed()
                continue
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await self._dismiss(worker)
        worker, _ = await self._hire()
        return worker

    async def _hire(self) -> tuple[Worker, dict[str, Any]]:
        now = time.monotonic()
        if len(self._failures) == HIRES and now - self._failures[0] < HIRES_WINDOW:
            raise errors.Failed(f"{self.module} failed to start {HIRES} times in a row")
        if self._closed:
            raise errors.Failed(f"{self.module} is closed")
        worker = Worker(self.module, self._arguments)
        self._all.add(worker)
        try:
            hello = await worker.ready()
        except BaseException as exc:
            if isinstance(exc, Exception):  # and not a job that was cancelled meanwhile
                self._failures.append(now)
            await self._dismiss(worker)
            if isinstance(exc, TimeoutError):
                raise errors.Failed(f"{self.module} was not ready in {START_WITHIN:.0f} s") from exc
            raise
        self._failures.clear()
        return worker, hello

    def _replace(self, worker: Worker) -> None:
        """Kill at once (this is not the time to wait), bury and replace in the background.

        One at a time is warmed: however many jobs are cancelled, processes do not pile up.
        """
        worker.process.kill()
        if self._closed:  # `close` buries it
            return
        self._spawn_task(self._dismiss(worker))
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
        with contextlib.suppress(errors.Failed):  # the next job will say so
            fresh, _ = await self._hire()
            self._idle.append(fresh)

    async def _dismiss(self, worker: Worker) -> None:
        await worker.kill()
        self._all.discard(worker)


def _spawn(module: str, arguments: Sequence[str], link: socket.socket) -> subprocess.Popen[bytes]:
    """Start `module` with `link` as its file descriptor 0."""
    here = str(Path(__file__).resolve().parents[2])  # so that it finds this very package
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=link.fileno(),
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, working.PARENT: str(os.getpid())},
    )
