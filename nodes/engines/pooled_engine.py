"""What all engines have in common whose work is done by a worker pool: how they start and close.

start    what must be there first (a download)  ->  a warm worker  ->  what it can, measured
close    all workers end
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, speech
from privox_dht.recording import Recording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PooledEngine:
    """A `speech.Engine` whose work is done in processes of its own."""

    reinstall = ""  # what mends an engine whose worker cannot start

    def __init__(self, pool: WorkerPool, ability: speech.EngineInfo) -> None:
        self._pool = pool
        self.ability = ability

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._pool!r}>"

    @classmethod
    def check(cls, backend: str) -> None:
        """See `nodes.engines.EngineClass`."""
        raise NotImplementedError

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes that work for it."""
        return self._pool.pids

    async def start(self) -> None:
        """See `speech.Engine`. Nothing is left of an engine that cannot start."""
        self.check(self.ability.backend)
        try:
            self._pool.arguments = tuple(await self._arguments())
            self.ability = await self._tried(await self._pool.start())
        except errors.RequestRejected as exc:
            await self.close()
            raise errors.EngineUnavailable(exc.message, "name another voice, or none") from exc
        except errors.EngineFailed as exc:
            await self.close()
            raise errors.EngineUnavailable(str(exc), self.reinstall) from exc
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self._pool.close()

    async def _arguments(self) -> Sequence[str]:
        """What a worker is started with, once all is there that it needs."""
        return ()

    async def _tried(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        """What the engine can, whose worker says `hello`."""
        raise NotImplementedError


class PooledTranscriber(PooledEngine):
    """One that hears: `speech.RecordingTranscriber`."""

    rate = 0  # Hz

    async def transcribe(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        """See `speech.Transcriber`."""
        with Recording.of(pcm, self.rate) as recording:
            async with aclosing(self.transcribe_recording(recording, request)) as segments:
                async for segment in segments:
                    yield segment

    def transcribe_recording(
        self, recording: Recording, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        """See `speech.RecordingTranscriber`."""
        raise NotImplementedError
