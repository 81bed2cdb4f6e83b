"""A remote server with SOVA's API.

    POST /asr           form: audio_blob, a file
         <- {"r": [{"response_code": 0, "response": [{"text": "...", "confidence": ...}, ...]}]}
    POST /get_models/   <- {"response_code": 0, "response": ["Natasha", ...]}      (newer servers)
    POST /synthesize/   form: text, voice, options ("speed_factor=1.5")
         <- {"response_code": 0, "response": [{"name": ..., "response_audio": base64 of a WAV}]}

Any response code other than 0 is a failure, with its reason in `response`. The API has no times of
words and does not stream: a recording is sent in blocks, each of which becomes one segment.
"""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp

from nodes.codecs import Codecs
from nodes.cores import usable_cores
from nodes.engines import benchmark
from nodes.engines.pooled_engine import not_found
from nodes.engines.remote import MAX_SOUND, Server, ServerEngine, names
from nodes.engines.remote_blocks import BlockTranscriber
from nodes.engines.remote_openai import as_wav
from privox_dht import errors, limits, model_names, speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENGINE = "sova"
DEFAULT_VOICE = "Natasha"
SAMPLE = "Добрый день, как ваши дела?"
RATE = 22_050  # Hz of the speech that is passed on
SLOWEST, FASTEST = 0.5, 2.0  # speed factors that the server honours
PIECE = 1 << 15  # samples passed on at a time
NO_SOUND = "something that is not sound"


class _SovaEngine(ServerEngine):
    """The base of both services."""

    api = ENGINE
    server: Server

    def __init__(self, url: str, backend: str) -> None:
        super().__init__(Server(url), backend)

    async def check_alive(self) -> None:
        """See `nodes.engine_watch`."""
        await self.server.check_connection()

    def _response(self, answer: Any) -> list[Any]:
        """The `response` of an answer whose code is 0."""
        if not isinstance(answer, dict) or "response_code" not in answer:
            raise self.server.bad_answer("something that is not SOVA's")
        response = answer.get("response")
        if answer["response_code"] != 0 or not isinstance(response, list):
            raise errors.EngineFailed(f"the server at {self.server} failed")
        return response


class SovaTranscriber(BlockTranscriber, _SovaEngine):
    """Speech to text at the server."""

    dialect, block = "SOVA's dialect", 20.0

    async def _block(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> tuple[str, str]:
        file = await asyncio.to_thread(as_wav, pcm, self.rate)
        form = aiohttp.FormData()
        form.add_field("audio_blob", file, filename="audio.wav", content_type="audio/wav")
        return self._text(await self.server.json("POST", "asr", data=form)), ""

    def _text(self, answer: Any) -> str:
        try:
            [recognised] = answer["r"]
            texts = [str(part["text"]) for part in self._response(recognised)[:1]]
        except (KeyError, TypeError, ValueError) as exc:
            raise self.server.bad_answer("something that is not a transcript") from exc
        return " ".join(" ".join(texts).split())


class SovaSpeaker(_SovaEngine):
    """Text to speech at the server."""

    service = speech.TTS
    voice = DEFAULT_VOICE

    def __init__(self, url: str, backend: str) -> None:
        super().__init__(url, backend)
        # The server is not trusted: its files are decoded in the sandbox
        self._codecs = Codecs(usable_cores())

    async def close(self) -> None:
        await super().close()
        await self._codecs.close()

    async def _probe(self) -> None:
        voices = await self._voices()
        self.voice = voices[0]
        self.info = replace(self.info, models=tuple(voices))

    async def _measure(self) -> float:
        return await benchmark.speaking_speed(self, SAMPLE)

    async def _voices(self) -> list[str]:
        try:
            listed = self._response(await self.server.json("POST", "get_models/"))
        except errors.RequestRejected:  # an older server has no such page
            listed = []
        return names(listed) or [DEFAULT_VOICE]

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        named = model_names.for_engine(request.voice or request.model, ENGINE) or self.voice
        if named not in self.info.models:
            raise not_found(f"the server at {self.server}", "voice", named, self.info.models)
        speed = min(max(request.speed, SLOWEST), FASTEST)
        form = {"text": request.text, "voice": named, "options": f"speed_factor={speed}"}
        answer = await self.server.json("POST", "synthesize/", MAX_SOUND, data=form)
        file = self._file(answer)
        try:
            async with self._codecs.decoded(file, RATE, limits.MAX_SPEECH_SECONDS) as recording:
                for at in range(0, recording.count, PIECE):
                    samples = recording.part(at, at + PIECE)
                    yield speech.AudioChunk(RATE, (samples * 32_767).astype("<i2").tobytes())
        except errors.RequestRejected as exc:
            raise self.server.bad_answer(NO_SOUND) from exc

    def _file(self, answer: Any) -> io.BytesIO:
        """The sound file in an answer, of any format."""
        try:
            coded = self._response(answer)[0]["response_audio"]
            return io.BytesIO(base64.b64decode(coded, validate=True))
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            raise self.server.bad_answer(NO_SOUND) from exc


ENGINES = {speech.STT: SovaTranscriber, speech.TTS: SovaSpeaker}
