"""A producer's job, cancelled in mid-decoding."""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import aclosing

from nodes.engines.echo import EchoTranscriber
from nodes.producer import Producer
from privox_dht.audio import wav
from privox_dht.speech import TranscriptionRequest


class Watched(io.BytesIO):
    """An upload that lets a test in while it is read, and tells of reads after it was closed."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.reading, self.go_on = threading.Event(), threading.Event()
        self.reads_after_close = 0

    def read(self, size: int = -1) -> bytes:  # type: ignore[override]
        self.reading.set()
        self.go_on.wait(5)
        self.reads_after_close += self.closed
        return super().read(size)


async def test_a_cancelled_job_ends_only_when_its_thread_has_let_go_of_the_upload() -> None:
    """A live node under a flood once printed tracebacks of reads from uploads already closed."""
    upload = Watched(wav(bytes(320_000), 16_000))
    producer = Producer([EchoTranscriber()], 1)

    async def job() -> None:
        async with aclosing(
            producer.transcribe(upload, TranscriptionRequest(model="echo"))
        ) as events:
            async for _ in events:
                pass

    task = asyncio.create_task(job())
    await asyncio.to_thread(upload.reading.wait, 5)
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    assert not task.done(), "it ended while its thread still read the upload"
    upload.go_on.set()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    upload.close()
    assert upload.reads_after_close == 0
