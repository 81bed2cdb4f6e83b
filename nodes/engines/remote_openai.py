"""A remote server with OpenAI's audio API.

    GET  /v1/models, /v1/audio/voices      its models and voices, where it has these pages
    POST /v1/audio/transcriptions          a block of the recording as WAV -> segments
         /v1/audio/translations
    POST /v1/audio/speech                  text -> WAV, passed on as it arrives

A long recording is sent in blocks that are cut where it is quiet: many servers refuse large files,
and the first words arrive early.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import math
import operator
import re
from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from nodes.engines import benchmark, pauses
from nodes.engines.remote import ANSWER_TIMEOUT, Server, ServerEngine, names
from privox_dht import audio, errors, languages, limits, model_names, speech
from privox_dht.audio import wav_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENGINE = "openai-api"
BLOCK = 300.0  # seconds of audio in one request: 10 MB, below the limit of all known servers
SHORTEST_BLOCK = 30.0  # seconds; Whisper works on so many at a time, however few it gets
STT_NAMES = re.compile("whisper|transcri|stt|asr")
TTS_NAMES = re.compile("tts|speech|voice|kokoro|piper")
DEFAULT_MODELS = {speech.STT: "whisper-1", speech.TTS: "tts-1"}  # names that most servers accept
DEFAULT_VOICE = "alloy"
OLD_LANGUAGE_CODES = {"jv": "jw", "fil": "tl"}  # languages for which Whisper has an older code
PROBE_SECONDS = 2  # of audio
TEXT_ALLOWANCE, TEXT_PER_SECOND = 1000, 100  # characters; fast speech has 25 a second
LONGEST_HEADER = 4096  # bytes in which the samples of a WAV file must have begun


class _OpenAIEngine(ServerEngine):
    """The base of both services: the names that the server lists."""

    api = ENGINE
    server: Server
    _likely = STT_NAMES

    def __init__(self, url: str, backend: str) -> None:
        super().__init__(Server(url), backend)
        self.model = ""

    async def _probe(self) -> None:
        models = await self._listed("v1/models")
        self.model = self.server.name or _likely(models, self._likely, self.service)
        self.info = replace(self.info, models=tuple(models) or (self.model,))

    async def check_alive(self) -> None:
        """See `nodes.engine_watch`."""
        with contextlib.suppress(errors.ProducerBusy):  # it is up
            await self._listed("v1/models")

    async def _listed(self, path: str) -> list[str]:
        """Names that the server lists; none if it has no such page."""
        try:
            answer = await self.server.json("GET", path)
        except errors.RequestRejected:
            return []
        listed = answer.get("data", answer.get("voices")) if isinstance(answer, dict) else answer
        return names([_name(one) for one in listed]) if isinstance(listed, list) else []

    def _model_for(self, requested: str) -> str:
        return model_names.for_engine(requested, ENGINE) or self.model


class OpenAITranscriber(_OpenAIEngine):
    """Speech to text at the server."""

    service = speech.STT
    rate = 16_000  # Hz

    async def transcribe(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        path = "v1/audio/translations" if request.translate else "v1/audio/transcriptions"
        longest = block_seconds(self.info.speed)
        spans = await asyncio.to_thread(pauses.blocks, pcm, self.rate, longest)
        for start, end in spans:
            file = await asyncio.to_thread(as_wav, pcm[start:end], self.rate)
            answer = await self.server.json("POST", path, data=self._form(file, request))
            offset, seconds = start / self.rate, (end - start) / self.rate
            for segment in self._segments(answer, offset, seconds):
                yield segment

    async def _probe(self) -> None:
        """Find out, too, whether it translates; many servers do not."""
        await super()._probe()
        request = speech.TranscriptionRequest(translate=True)
        with contextlib.suppress(errors.JobError):
            pcm = benchmark.babble(PROBE_SECONDS, self.rate)
            async with contextlib.aclosing(self.transcribe(pcm, request)) as segments:
                async for _ in segments:
                    pass
            self.info = replace(self.info, translates=True)

    async def _measure(self) -> float:
        return await benchmark.transcribing_speed(self, benchmark.babble(PROBE_SECONDS, self.rate))

    def _form(self, file: bytes, request: speech.TranscriptionRequest) -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("file", io.BytesIO(file), filename="audio.wav", content_type="audio/wav")
        form.add_field("model", self._model_for(request.model))
        form.add_field("response_format", "verbose_json")
        if request.temperature:
            form.add_field("temperature", str(request.temperature))
        if request.language and not request.translate:
            language = languages.primary(request.language)
            form.add_field("language", OLD_LANGUAGE_CODES.get(language, language))
        if request.prompt:
            form.add_field("prompt", request.prompt)
        if request.hotwords:
            form.add_field("hotwords", request.hotwords)
        if request.words:
            form.add_field("timestamp_granularities[]", "segment")
            form.add_field("timestamp_granularities[]", "word")
        return form

    def _segments(self, answer: Any, offset: float, seconds: float) -> list[speech.Segment]:
        """The server's segments, with times from the start of the whole recording.

        Without segments in the answer the whole block is one; words may be listed in the segments
        or, as OpenAI does it, beside them.
        """
        try:
            language = str(answer.get("language") or "")[: limits.MAX_NAME]
            words = [_word(word, offset, seconds) for word in answer.get("words") or ()]
            separate = sorted(words, key=_start)
            listed = answer.get("segments") or [
                {"text": answer["text"], "start": 0.0, "end": seconds}
            ]
            segments = [_segment(one, offset, seconds, separate, language) for one in listed]
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise self.server.bad_answer("something that is not a transcript") from exc
        if sum(len(segment.text) for segment in segments) > max_text_length(seconds):
            raise self.server.bad_answer(f"more text than {seconds:.0f} s of sound hold")
        return [segment for segment in segments if segment.text]


class OpenAISpeaker(_OpenAIEngine):
    """Text to speech at the server."""

    service = speech.TTS
    _likely = TTS_NAMES
    voice = DEFAULT_VOICE

    async def _probe(self) -> None:
        await super()._probe()
        voices = await self._listed("v1/audio/voices")
        if voices:
            self.voice = voices[0]
            self.info = replace(self.info, models=tuple(voices))

    async def _measure(self) -> float:
        return await benchmark.speaking_speed(self)

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        body = {
            "model": self.model,
            "input": request.text,
            "voice": model_names.for_engine(request.voice, ENGINE) or self.voice,
            "response_format": "wav",
            "speed": request.speed,
        }
        if request.language and not request.voice:
            body["language"] = request.language  # our extension; other servers ignore it
        async with self.server.request("POST", "v1/audio/speech", json=body) as response:
            head, form = b"", None
            odd, size, left = b"", 0, 0
            async for piece in self.server.pieces(response):
                if form is None:
                    head += piece
                    form = self._format(head)
                    if form is None:
                        continue
                    piece = head[form.begins :]
                    most = int(limits.MAX_SPEECH_SECONDS * form.rate) * wav_header.SAMPLE
                    # 0: unknown; the header of a streamed file has a placeholder
                    size = form.size if form.size <= most else 0
                    left = size or most
                pcm = odd + piece[:left] if size else odd + piece
                left -= len(piece)
                whole = len(pcm) // wav_header.SAMPLE * wav_header.SAMPLE
                pcm, odd = pcm[:whole], pcm[whole:]
                if left < 0 and not size:
                    raise self.server.bad_answer("more speech than a text can have")
                if pcm:
                    yield speech.AudioChunk(form.rate, pcm)
                if left <= 0 and size:
                    return  # other chunks follow
            if form is None:
                raise self.server.bad_answer("something that is not a WAV file")
            if size:
                raise self.server.bad_answer("less sound than its WAV header promises")

    def _format(self, head: bytes) -> wav_header.WavFormat | None:
        """The format of the WAV file; None: more of it is needed."""
        form = wav_header.parse_header(head)
        if form is None:
            if len(head) > LONGEST_HEADER:
                raise self.server.bad_answer("something that is not a WAV file")
            return None
        if not form.is_plain:
            kind = f"{form.bits}-bit sound of {form.channels} channels, coded as {form.code}"
            raise self.server.bad_answer(kind)
        if not limits.MIN_RATE <= form.rate <= limits.MAX_RATE:
            raise self.server.bad_answer(f"sound at {form.rate} Hz")
        return form


ENGINES = {speech.STT: OpenAITranscriber, speech.TTS: OpenAISpeaker}


def block_seconds(speed: float) -> float:
    """Seconds of audio in one request, for a server of this measured speed (0: not known yet): it
    must answer in time."""
    return min(BLOCK, max(SHORTEST_BLOCK, speed * ANSWER_TIMEOUT / 2)) if speed else BLOCK


def as_wav(pcm: NDArray[np.float32], rate: int) -> bytes:
    """Samples as a WAV file."""
    return audio.wav((pcm * 32_767).clip(-32_768, 32_767).astype("<i2").tobytes(), rate)


def _likely(names: Sequence[str], likely: re.Pattern[str], service: str) -> str:
    """The model to use if the owner names none."""
    for name in names:
        if likely.search(name.lower()):
            return name
    return names[0] if names else DEFAULT_MODELS[service]


def _name(entry: Any) -> str:
    """The name in an entry of a list: a string, or an object with an id."""
    if isinstance(entry, dict):
        entry = entry.get("id", entry.get("name"))
    return entry if isinstance(entry, str) else ""


def max_text_length(seconds: float) -> int:
    """The most characters that so many seconds of speech may have."""
    return TEXT_ALLOWANCE + int(seconds * TEXT_PER_SECOND)


def _times(one: Any, offset: float, seconds: float) -> tuple[float, float]:
    """The start and end of a word or segment, from the start of the whole recording."""
    start, end = float(one["start"]), float(one["end"])
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError("no times")
    start = min(max(start, 0.0), seconds)
    end = min(max(end, start), seconds)
    return round(offset + start, 2), round(offset + end, 2)


_start = operator.attrgetter("start")


def _word(word: Any, offset: float, seconds: float) -> speech.Word:
    sure = float(word.get("probability", 1.0))
    start, end = _times(word, offset, seconds)
    return speech.Word(str(word["word"]).strip(), start, end, sure if 0.0 <= sure <= 1.0 else 1.0)


def _segment(
    one: Any, offset: float, seconds: float, separate: Sequence[speech.Word], language: str
) -> speech.Segment:
    start, end = _times(one, offset, seconds)
    own = tuple(_word(word, offset, seconds) for word in one.get("words") or ())
    beside = separate[
        bisect_left(separate, start, key=_start) : bisect_left(separate, end, key=_start)
    ]
    return speech.Segment(str(one["text"]).strip(), start, end, own or tuple(beside), language)
