"""Decodes uploads and encodes answers, with FFmpeg in sandboxed processes.

    upload -> decoded()  -> Recording     in such a process; a plain WAV file needs none
    sound  -> encoder()  -> bytes         in such a process; see `speech_api.audio_response`

The process writes to memory that the engine's process maps; the node does not read it. Leaving a
context ends the work at once. A file whose format is not found within some seconds is rejected, and
so is one that crashes the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any, BinaryIO

from nodes.engines.worker import Job, WorkerDied
from nodes.engines.worker_pool import WorkerPool
from privox_dht import limits
from privox_dht.atomic_file import write_all
from privox_dht.audio.decoding import read_plain
from privox_dht.errors import RequestRejected
from privox_dht.recording import Recording

MODULE = "nodes.codec_worker"
SENT_INLINE = limits.SPOOL_IN_MEMORY  # bytes; a larger upload is sent to the process as a file
FEED_SIZE = limits.MIB  # bytes of sound sent to an encoder at a time
LATE = 5.0  # seconds beyond its own deadline after which a process counts as hung
OUT_OF_TIME = "SIGXCPU"


class Codecs:
    """FFmpeg in processes of its own, for `max_jobs` jobs at a time."""

    def __init__(self, max_jobs: int) -> None:
        self._pool = WorkerPool(MODULE, max_jobs=max_jobs)
        self.sandbox: tuple[str, ...] = ()  # the parts that are in force
        self._why_not = ""

    def __repr__(self) -> str:
        return f"<Codecs {self._pool!r}>"

    @property
    def busy(self) -> bool:
        """Whether a process has a job."""
        return self._pool.busy

    @property
    def pids(self) -> tuple[int, ...]:
        return self._pool.pids

    async def start(self) -> None:
        """Raises: EngineFailed: no process can be started."""
        hello = await self._pool.start()
        self.sandbox = tuple(hello["sandbox"])
        self._why_not = "" if hello["able"] else hello["why"]

    async def close(self) -> None:
        await self._pool.close()

    async def __aenter__(self) -> Codecs:
        return self  # the first job starts a process, if there is none

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- decoding ---------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def decoded(
        self, upload: BinaryIO, rate: int, most: float = limits.MAX_AUDIO_SECONDS
    ) -> AsyncIterator[Recording]:
        """The samples of a file, of at most `most` seconds, available while the context is open.

        Raises:
            RequestRejected: see `audio.decode`; or it took too long, or crashed FFmpeg.
        """
        size = upload.seek(0, os.SEEK_END)
        # In a thread: the first call imports numpy
        samples = None if self._why_not else await asyncio.to_thread(read_plain, upload, size, rate)
        if samples is not None:
            async with contextlib.aclosing(Recording.of(samples, rate)) as recording:
                yield recording
            return
        async with contextlib.aclosing(Recording.room(rate, most)) as recording:
            recording.count = await self._decode(upload, size, recording, most)
            yield recording

    async def _decode(self, upload: BinaryIO, size: int, recording: Recording, most: float) -> int:
        """Decode `upload` into `recording`; returns the number of samples."""
        message = {"decode": recording.rate, "most": most, "timeout": limits.DECODE_TIMEOUT}
        async with self._pool.job() as job:
            try:
                with _as_file(upload, size) as (small, files):
                    await job.send(message, small, [recording.file, *files])
                await _within(limits.OPEN_TIMEOUT, job, "finding the file's format took")
                report = await _within(limits.DECODE_TIMEOUT + LATE, job, "decoding took")
                await job.receive()
            except WorkerDied as exc:
                raise _broke(exc) from exc
        return int(report["samples"])

    # -- encoding ---------------------------------------------------------------------------------

    async def check(self, format: str) -> None:
        """Raises: RequestRejected: files of this format cannot be written here."""
        if self._why_not:
            raise RequestRejected(
                self._why_not, status=501, code="not_implemented", param="response_format"
            )

    @contextlib.asynccontextmanager
    async def encoder(self, format: str, rate: int) -> AsyncIterator[WorkerEncoder]:
        """An encoder in a process of its own."""
        async with self._pool.job() as job:
            await job.send({"encode": format, "rate": rate})
            yield WorkerEncoder(job)


class WorkerEncoder:
    """See `privox_dht.speech_api.audio_response.StreamEncoder`."""

    def __init__(self, job: Job) -> None:
        self._job = job

    async def feed(self, pcm: bytes) -> AsyncGenerator[bytes]:
        for at in range(0, len(pcm), FEED_SIZE):
            await self._job.send({}, pcm[at : at + FEED_SIZE])
            async for piece in self._written():
                yield piece

    async def finish(self) -> AsyncGenerator[bytes]:
        await self._job.send({"end": True})
        async for piece in self._written():
            yield piece
        await self._job.receive()

    async def _written(self) -> AsyncGenerator[bytes]:
        while (piece := await self._job.receive()) is not None:
            head, data = piece
            yield data  # empty in the last message
            if "fed" in head:
                return


async def _within(seconds: float, job: Job, what: str) -> dict[str, Any]:
    """The next message of a decoding job. `what`: for the error if it comes too late."""
    try:
        async with asyncio.timeout(seconds):
            piece = await job.receive()
    except TimeoutError as exc:
        raise _too_slow(f"{what} more than {seconds:.0f} s") from exc
    assert piece is not None  # a result, or an error was raised
    return piece[0]


@contextlib.contextmanager
def _as_file(upload: BinaryIO, size: int) -> Iterator[tuple[bytes, list[int]]]:
    """What to send of an upload: its bytes if small, else an open file, read-only if possible."""
    upload.seek(0)
    if size <= SENT_INLINE:
        yield upload.read(), []
        return
    try:
        number = upload.fileno()
    except io.UnsupportedOperation:  # in memory although it is large
        with Recording.room(1, size) as copy:  # for `size` samples of 4 bytes: more than enough
            while piece := upload.read(FEED_SIZE):
                write_all(copy.file, piece)
            os.truncate(copy.file, size)
            yield b"", [copy.file]
        return
    try:
        only_to_read = os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield b"", [number]
        return
    try:
        yield b"", [only_to_read]
    finally:
        os.close(only_to_read)


def _broke(exc: WorkerDied) -> RequestRejected:
    """The error of a file that crashed the process which decoded it."""
    if exc.why == OUT_OF_TIME:
        return _too_slow(f"decoding took more than {limits.DECODE_TIMEOUT:.0f} s of processor time")
    how = f" ({exc.why})" if exc.why else ""
    return RequestRejected(
        f"decoding this file crashed the decoder{how}", code="invalid_audio", param="file"
    )


def _too_slow(message: str) -> RequestRejected:
    return RequestRejected(message, status=413, code="audio_too_long", param="file")
