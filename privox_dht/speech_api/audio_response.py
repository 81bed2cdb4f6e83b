"""From a provider's sound to a file in the format asked for, piece by piece.

    provider -> AudioChunk, ... -> EncodedAudio.pieces() -> bytes of one file

`Encoders` decides where codecs run: at a producer, in processes of their own. An engine fails if it
speaks for too long, changes its sample rate, or makes no sound.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    aclosing,
    asynccontextmanager,
    nullcontext,
)
from typing import Protocol

from privox_dht import limits
from privox_dht.audio import CONTENT_TYPES, Encoder, Resampler
from privox_dht.errors import EngineFailed, RequestRejected
from privox_dht.speech import AudioChunk

PLAIN = ("wav", "pcm")  # formats that need no codec
DEFAULT_FORMAT, PLAIN_DEFAULT = "mp3", "wav"  # the default: OpenAI's, where it can be written
PIECE = 64 * limits.KIB  # bytes at a time; in base64 far below limits.MAX_EVENT
PROBE_RATE = 24_000  # Hz; what OpenAI's voices have


class StreamEncoder(Protocol):
    """Encodes one sound file; see `audio.Encoder`."""

    def feed(self, pcm: bytes) -> AsyncGenerator[bytes]:
        """The bytes that `pcm` adds to the file, in pieces of at most `PIECE`."""
        ...

    def finish(self) -> AsyncGenerator[bytes]:
        """The rest of the file, likewise."""
        ...


class Encoders(Protocol):
    """Writes files of formats that need a codec."""

    async def check(self, format: str) -> None:
        """Raises RequestRejected if this format cannot be encoded here."""

    def encoder(self, format: str, rate: int) -> AbstractAsyncContextManager[StreamEncoder]:
        """An encoder of one file, while the context is open."""
        ...


async def negotiate_format(asked: str, encoders: Encoders) -> str:
    """The format to write: the one asked for, or the default.

    Raises:
        RequestRejected: it cannot be encoded here.
    """
    if asked in PLAIN:
        return asked
    try:
        await encoders.check(asked or DEFAULT_FORMAT)
    except RequestRejected:
        if asked:
            raise
        return PLAIN_DEFAULT
    return asked or DEFAULT_FORMAT


class EncodedAudio:
    """Speech as a file."""

    def __init__(
        self,
        format: str,
        source: AsyncGenerator[AudioChunk],
        most: float,
        encoders: Encoders,
        *,
        pcm_rate: int | None = None,
    ) -> None:
        self.format = format
        self.content_type = CONTENT_TYPES[format]
        self.rate = 0  # Hz of the file; known after the first piece
        self._source_rate = 0  # Hz of the engine's
        self._pcm_rate = pcm_rate  # Hz of raw PCM; None: the engine's
        self.seconds = 0.0  # of sound so far
        self._source = source
        self._most = most  # seconds
        self._encoders = encoders

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The file; pieces may be empty while a codec buffers.

        Raises:
            EngineFailed: no sound, too much of it, or a changed rate.
        """
        encoder: StreamEncoder | None = None
        async with AsyncExitStack() as held:
            sounds = await held.enter_async_context(aclosing(self._source))
            async for sound in sounds:
                if encoder is None:
                    self._source_rate = self.rate = sound.rate
                    if self.format == "pcm" and self._pcm_rate:
                        self.rate = self._pcm_rate
                    encoder = await held.enter_async_context(self._encoder())
                self._count(sound)
                async for piece in encoder.feed(sound.pcm):
                    yield piece
            if encoder is None:
                raise EngineFailed("the engine made no sound")
            async for piece in encoder.finish():
                yield piece

    async def whole(self) -> bytes:
        """All of the file. Raises as `pieces` does."""
        async with aclosing(self.pieces()) as pieces:
            return b"".join([piece async for piece in pieces])

    def _encoder(self) -> AbstractAsyncContextManager[StreamEncoder]:
        if self.rate != self._source_rate:
            return nullcontext(_OnLoop(Resampler(self._source_rate, self.rate)))
        if self.format in PLAIN:
            return nullcontext(_OnLoop(Encoder(self.format, self.rate)))
        return self._encoders.encoder(self.format, self.rate)

    def _count(self, sound: AudioChunk) -> None:
        if sound.rate != self._source_rate:
            raise EngineFailed("the engine changed its rate in the middle")
        self.seconds += sound.seconds
        if self.seconds > self._most:
            raise EngineFailed(f"the engine spoke for longer than {self._most:.0f} s")


class ThreadEncoders:
    """Encodes in threads of this process."""

    async def check(self, format: str) -> None:
        await asyncio.to_thread(Encoder, format, PROBE_RATE)  # imports PyAV, once

    @asynccontextmanager
    async def encoder(self, format: str, rate: int) -> AsyncIterator[StreamEncoder]:
        yield _Threaded(await asyncio.to_thread(Encoder, format, rate))


class _Threaded:
    def __init__(self, encoder: Encoder | Resampler) -> None:
        self._encoder = encoder

    async def feed(self, pcm: bytes) -> AsyncGenerator[bytes]:
        for piece in _cut(await self._do(self._encoder.feed, pcm)):
            yield piece

    async def finish(self) -> AsyncGenerator[bytes]:
        for piece in _cut(await self._do(self._encoder.finish)):
            yield piece

    async def _do(self, step: Callable[..., bytes], *args: bytes) -> bytes:
        return await asyncio.to_thread(step, *args)


class _OnLoop(_Threaded):
    async def _do(self, step: Callable[..., bytes], *args: bytes) -> bytes:
        return step(*args)


def _cut(data: bytes) -> list[bytes]:
    """`data` in pieces that fit into an event each; one empty piece if it is empty."""
    return [data[at : at + PIECE] for at in range(0, max(len(data), 1), PIECE)]
