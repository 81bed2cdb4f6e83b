"""The base class of engines that work in a worker pool: how they start and close.

start    download what is needed, start a worker, test and measure it
unload   end the workers, to free memory for another engine's model; the next job starts one
close    end all workers
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nodes.engines import link
from nodes.engines.model_memory import ModelMemory
from nodes.engines.worker import START_TIMEOUT
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, limits, speech
from privox_dht.recording import Recording

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_LISTED = 6  # names in an error message


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Options for all engines of a node."""

    memory: ModelMemory = field(default_factory=ModelMemory)  # shared by the models of all
    batch: int = 1  # windows of a recording that faster-whisper works on at once


class PooledEngine(ABC):
    """A `speech.Engine` that works in processes of its own."""

    reinstall = ""  # the command that repairs an engine whose worker cannot start
    load_timeout = START_TIMEOUT  # seconds until a worker must be ready

    def __init__(self, pool: WorkerPool, info: speech.EngineInfo) -> None:
        self._pool = pool
        self._needs = 0  # bytes of memory, as far as known
        self._settings = EngineOptions()
        self.info = info

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._pool!r}>"

    @classmethod
    @abstractmethod
    def check(cls, backend: str) -> None:
        """See `nodes.engines.EngineClass`."""

    @property
    def model_name(self) -> str:
        """See `model_memory.Model`."""
        return self.info.models[0] if self.info.models else self.info.engine

    def configure(self, options: EngineOptions) -> None:
        """Set options; before `start`."""
        self._settings = options

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of its workers."""
        return self._pool.pids

    async def start(self) -> None:
        """See `speech.Engine`. If it fails, everything is closed again."""
        self.check(self.info.backend)
        try:
            self._pool.arguments = tuple(await self._arguments())
            await self._load()
        except errors.RequestRejected as exc:
            await self.close()
            raise errors.EngineUnavailable(exc.message, "name another voice, or none") from exc
        except errors.EngineFailed as exc:
            await self.close()
            raise errors.EngineUnavailable(str(exc), self.reinstall) from exc
        except BaseException:
            await self.close()
            raise

    async def _load(self) -> None:
        """Load the model, test the engine, and measure its memory."""
        memory = self._settings.memory
        memory.check(self, self._needs)
        async with memory.using(self, self._needs, self.load_timeout):
            self.info = replace(await self._self_test(await self._pool.start()), warm=True)
            self._measure()
            memory.check(self, self._needs)

    async def close(self) -> None:
        await self._pool.close()
        await self._settings.memory.forget(self)

    async def unload(self) -> None:
        """See `model_memory.Model`."""
        await self._pool.stop_workers()
        self.info = replace(self.info, warm=False)

    async def _ask(
        self, request: dict[str, Any], files: Sequence[int] = (), seconds: float | None = None
    ) -> AsyncGenerator[link.Message]:
        """The messages of a worker's answer; see `WorkerPool.ask`. Loads the model if necessary."""
        async with self._settings.memory.using(self, self._needs):
            await self._pool.ensure_worker()
            self.info = replace(self.info, warm=True)
            async with aclosing(self._pool.ask(request, b"", files, seconds)) as answer:
                async for piece in answer:
                    yield piece
            self._measure()

    def _measure(self) -> None:
        self._needs = max(self._needs, self._pool.memory)
        self._settings.memory.measured(self, self._needs)

    async def _arguments(self) -> Sequence[str]:
        """The arguments of a worker's command line; downloads what it needs."""
        return ()

    @abstractmethod
    async def _self_test(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        """Test the engine; what it can do. `hello` is what its worker reported."""


class PooledTranscriber(PooledEngine):
    """A `speech.RecordingTranscriber`."""

    rate = 0  # Hz

    async def transcribe(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        """See `speech.Transcriber`."""
        with Recording.of(pcm, self.rate) as recording:
            async with aclosing(self.transcribe_recording(recording, request)) as segments:
                async for segment in segments:
                    yield segment

    @abstractmethod
    def transcribe_recording(
        self, recording: Recording, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        """See `speech.RecordingTranscriber`."""


def not_found(
    engine: str, kind: str, missing: str, known: Sequence[str], *, param: str = ""
) -> errors.RequestRejected:
    """The error for a name that an engine does not have; its message lists some that it has.

    Args:
        kind: "model", "voice", "speaker" or "language".
        param: the parameter of the request; "": the same as `kind`.
    """
    param = param or kind
    some = ", ".join(known[:MAX_LISTED])
    some = f"{len(known)}, such as {some}" if len(known) > MAX_LISTED else some
    return errors.RequestRejected(
        f"{engine} has no {kind} {missing[: limits.MAX_NAME]!r} here; it has {some}",
        status=404,
        code=f"{param}_not_found",
        param=param,
    )
