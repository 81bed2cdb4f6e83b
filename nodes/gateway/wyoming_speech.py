"""A text that comes in chunks, spoken sentence by sentence as one sound for a Wyoming client.

voice -> request_for() -> the request for all sentences
chunk -> add()         -> each complete sentence is a job of its own
      -> finish()      -> the rest, and the end of the sound
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from sentence_stream import SentenceBoundaryDetector
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Eventable
from wyoming.tts import SynthesizeVoice

from nodes.gateway import gateway_limits
from privox_dht import languages, limits
from privox_dht.audio import Resampler
from privox_dht.errors import BadMessage
from privox_dht.speech import TTS, EngineInfo, SpeechRequest
from privox_dht.speech import AudioChunk as Sound
from privox_dht.speech_api.model_selection import select

WIDTH = 2  # bytes of a sample
PIECE = 4096  # bytes of sound in one event: an eighth of a second


class SpokenStream:
    """A text that is spoken sentence by sentence, as one sound at the rate of the first."""

    def __init__(
        self,
        speak: Callable[[SpeechRequest], AsyncGenerator[Sound]],
        write: Callable[[Eventable], Awaitable[None]],
        request: SpeechRequest,
    ) -> None:
        """
        Args:
            speak: has one sentence spoken.
            write: sends an event.
            request: for all sentences, without the text.
        """
        self._job, self._write = speak, write
        self._request = request
        self._sentences = SentenceBoundaryDetector()
        self._size = 0  # characters so far
        self._rate = 0  # Hz; 0: no sound yet
        self._resamplers: dict[int, Resampler] = {}

    async def add(self, text: str) -> None:
        """Take more text, and speak the sentences that are complete."""
        self._size += len(text)
        if self._size > gateway_limits.WYOMING_TEXT:
            raise BadMessage("size", "a text that is too long")
        for at in range(0, len(text), limits.MAX_TEXT):
            for sentence in self._sentences.add_chunk(text[at : at + limits.MAX_TEXT]):
                await self._speak(sentence)
            if len(self._sentences.remaining_text) > limits.MAX_TEXT:  # longer than any sentence
                await self._speak(self._sentences.finish())

    async def finish(self) -> None:
        """Speak the rest, and end the sound."""
        await self._speak(self._sentences.finish())
        for resampler in self._resamplers.values():
            await self._send(resampler.finish())
        if self._rate:
            await self._write(AudioStop())

    async def _sound(self, rate: int, pcm: bytes) -> None:
        """The next piece of sound."""
        if not self._rate:
            self._rate = rate
            await self._write(AudioStart(rate, WIDTH, 1))
        if rate != self._rate:  # another producer spoke this sentence
            if rate not in self._resamplers:
                self._resamplers[rate] = Resampler(rate, self._rate)
            pcm = self._resamplers[rate].feed(pcm)
        await self._send(pcm)

    async def _speak(self, sentence: str) -> None:
        for at in range(0, len(sentence), limits.MAX_TEXT):
            part = sentence[at : at + limits.MAX_TEXT]
            if part.strip():
                async with aclosing(self._job(replace(self._request, text=part))) as sounds:
                    async for sound in sounds:
                        await self._sound(sound.rate, sound.pcm)

    async def _send(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), PIECE):
            await self._write(AudioChunk(self._rate, WIDTH, 1, pcm[at : at + PIECE]))


def request_for(
    voice: SynthesizeVoice | None, engines: Sequence[EngineInfo], voices: Mapping[str, str]
) -> SpeechRequest:
    """The request for a voice: this voice or engine if the mesh has it, else its language. For a
    language the first engine that speaks it is named, so that all sentences have one voice.

    Raises:
        RequestRejected: no engine speaks the language.
    """
    name, tag = (voice.name or "", tag_of(voice.language)) if voice else ("", "")
    speakers = [e for e in engines if e.service == TTS]
    for info in speakers:
        if name in info.models:
            return SpeechRequest("", voice=name, model=info.engine)
        if name and name == info.engine:
            return SpeechRequest("", model=name)
    tag = tag or voices.get(name, "")
    fitting = select(speakers, TTS, language=tag)
    return SpeechRequest("", language=tag, model=fitting[0].engine if fitting else "")


def tag_of(language: object) -> str:
    """The language that the client names; "" where that is not a language tag."""
    return language if isinstance(language, str) and languages.is_tag(language) else ""
