"""Speech for those who listen, made here by espeak-ng."""

import contextlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import numpy as np

from nodes.engines import make_engines
from privox_dht.audio import decode, wav
from privox_dht.speech import Speaker, SpeechRequest

Say = Callable[[str], Awaitable[tuple[bytes, int]]]  # a text: 16-bit PCM, and its rate


@contextlib.asynccontextmanager
async def voice() -> AsyncIterator[Say]:
    """One that says what it is told, while the context is open."""
    speaker = cast(Speaker, make_engines("tts", "cpu", "espeak-ng")[0])

    async def say(text: str) -> tuple[bytes, int]:
        sounds = [sound async for sound in speaker.speak(SpeechRequest(text))]
        return b"".join(sound.pcm for sound in sounds), sounds[0].rate

    await speaker.start()
    try:
        yield say
    finally:
        await speaker.close()


async def spoken(text: str) -> tuple[bytes, int]:
    """A text as 16-bit PCM, and its rate."""
    async with voice() as say:
        return await say(text)


def resampled(pcm: bytes, rate: int, to: int) -> bytes:
    """16-bit PCM at another rate."""
    return (decode(io.BytesIO(wav(pcm, rate)), to) * 32_767).astype(np.int16).tobytes()
