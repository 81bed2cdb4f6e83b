"""How fast an engine is, and that one which says nothing is not lent."""

from collections.abc import AsyncGenerator

import pytest

from nodes.engines import benchmark
from privox_dht.errors import EngineUnavailable
from privox_dht.speech import AudioChunk, EngineInfo, SpeechRequest

SECOND = AudioChunk(16_000, bytes(32_000))
EMPTY = AudioChunk(16_000, b"")


class Voice:
    """Speaks these chunks, whatever it is asked."""

    def __init__(self, *chunks: AudioChunk) -> None:
        self._chunks = chunks
        self.info = EngineInfo("tts", "cpu", "voice")

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def speak(self, _request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        for chunk in self._chunks:
            yield chunk


async def test_seconds_of_speech_are_counted() -> None:
    assert await benchmark.speaking_speed(Voice(SECOND, SECOND), "Good day") > 2


@pytest.mark.parametrize("chunks", [(), (EMPTY,)])
async def test_a_voice_that_says_nothing_is_not_available(chunks: tuple[AudioChunk, ...]) -> None:
    """Such as one that may not read its data: it said nothing, and no error."""
    with pytest.raises(EngineUnavailable, match="it made no sound for the text 'Good day'"):
        await benchmark.speaking_speed(Voice(*chunks), "Good day")
