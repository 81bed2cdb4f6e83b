"""From a provider's sound to a file in the format asked for, piece by piece.

    provider -> Sound, Sound, ... -> SoundFile.pieces() -> bytes of one file

The work of a codec is done off the loop. A voice that runs wild is stopped, one that changes its
rate in mid-sentence has failed, and so has one that says nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from privox_dht import limits
from privox_dht.audio import CONTENT_TYPES, Encoder
from privox_dht.errors import Failed, Refused
from privox_dht.speech import Sound

PLAIN = ("wav", "pcm")  # formats that cost nothing to write, and that every installation can
PREFERRED, ALWAYS = "mp3", "wav"  # without a format asked for: OpenAI's default, if we can
PIECE = 64 * limits.KIB  # bytes handed on at a time; in base64 far below limits.MAX_EVENT
PROBE_RATE = 24_000  # Hz; what OpenAI's voices have


async def file_format(asked: str) -> str:
    """The format to write: what was asked for, or the default if nothing was.

    Raises:
        Refused: it cannot be written here.
    """
    if asked in PLAIN:
        return asked
    try:
        await asyncio.to_thread(Encoder, asked or PREFERRED, PROBE_RATE)  # imports PyAV, once
    except Refused:
        if asked:
            raise
        return ALWAYS
    return asked or PREFERRED


class SoundFile:
    """One spoken answer as a file."""

    def __init__(self, format: str, source: AsyncGenerator[Sound], most: float) -> None:
        self.format = format
        self.content_type = CONTENT_TYPES[format]
        self.rate = 0  # Hz of the engine's sound; known once the first piece is out
        self.seconds = 0.0  # of sound so far
        self._source = source
        self._most = most  # seconds

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The file; pieces may be empty while a codec gathers.

        Raises:
            Failed: the engine did what no engine may.
        """
        encoder: Encoder | None = None
        async with aclosing(self._source) as sounds:
            async for sound in sounds:
                if encoder is None:
                    self.rate = sound.rate
                    encoder = Encoder(self.format, sound.rate)
                self._count(sound)
                for piece in _cut(await self._do(encoder.feed, sound.pcm)):
                    yield piece
        if encoder is None:
            raise Failed("the engine made no sound")
        for piece in _cut(await self._do(encoder.finish)):
            yield piece

    def _count(self, sound: Sound) -> None:
        if sound.rate != self.rate:
            raise Failed("the engine changed its rate in the middle")
        self.seconds += sound.seconds
        if self.seconds > self._most:
            raise Failed(f"the engine spoke for longer than {self._most:.0f} s")

    async def _do(self, step: Callable[..., bytes], *args: bytes) -> bytes:
        if self.format in PLAIN:
            return step(*args)
        return await asyncio.to_thread(step, *args)


def _cut(data: bytes) -> list[bytes]:
    """`data` in pieces that fit into an event each; one empty piece if there is none yet."""
    return [data[at : at + PIECE] for at in range(0, max(len(data), 1), PIECE)]
