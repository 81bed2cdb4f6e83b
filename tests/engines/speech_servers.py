"""Speech servers elsewhere, played by aiohttp: what they are asked is kept, what they say is set.

OpenAi    as OpenAI's own, and the many that imitate it
Sova      as SOVA ASR and SOVA TTS
"""

import base64
import json
from abc import ABC, abstractmethod
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

from privox_dht import audio

RATE = 24_000
SECOND = b"\1\0" * RATE  # of sound
VERBOSE = {
    "language": "english",
    "text": "hello there",
    "segments": [
        {"text": " hello", "start": 0.0, "end": 0.5},
        {"text": " there", "start": 0.5, "end": 1.0},
    ],
    "words": [
        {"word": "hello", "start": 0.0, "end": 0.4},
        {"word": "there", "start": 0.6, "end": 0.9},
    ],
}


class _Played(ABC):
    """Routes that answer, or break in the way that is set for their path."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.broken: dict[str, web.Response] = {}
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self.server.start_server()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.server.close()

    @property
    def address(self) -> str:
        return f"{self.server.host}:{self.server.port}"

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked: dict[str, Any] = {"path": request.path, "key": request.headers.get("Authorization")}
        if request.content_type == "application/json":
            asked |= await request.json()
        elif request.method == "POST":
            for name, value in (await request.post()).items():
                asked[name] = value.file.read() if isinstance(value, web.FileField) else value
        self.asked.append(asked)
        if request.path in self.broken:
            return self.broken[request.path]
        return await self.answer(request, asked)

    @abstractmethod
    async def answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        """The answer to a request, given its fields."""


class OpenAi(_Played):
    """OpenAI's audio API."""

    transcript: Any = VERBOSE
    models: tuple[str, ...] = ("gpt-5", "some-whisper", "some-tts")
    voices: tuple[str, ...] = ("anna", "bob")
    rate = RATE

    async def answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        match request.path.removeprefix("/below"):
            case "/v1/models":
                return web.json_response({"data": [{"id": name} for name in self.models]})
            case "/v1/audio/voices":
                return web.json_response({"voices": list(self.voices)})
            case "/v1/audio/transcriptions" | "/v1/audio/translations":
                return web.json_response(self.transcript)
            case "/v1/audio/speech":
                return await self._speech(request)
        raise web.HTTPNotFound

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        encoder = audio.Encoder("wav", self.rate)
        stream = encoder.feed(SECOND) + encoder.feed(SECOND) + encoder.finish()
        for at in range(0, len(stream), 997):  # an odd number: pieces end amid samples
            await response.write(stream[at : at + 997])
        return response


class Sova(_Played):
    """SOVA ASR at /asr, SOVA TTS at /synthesize/."""

    text = "добрый  день"
    code = 0
    lists_voices = True

    async def answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        match request.path:
            case "/asr":
                part = {"text": self.text, "time": 0.1, "confidence": 0.9, "words": []}
                answer = {"response_code": self.code, "response": [part]}
                return _as_flask({"r": [answer | {"response_audio_url": None}]})
            case "/get_models/" if self.lists_voices:
                return _as_flask({"response_code": 0, "response": ["Natasha", "Ruslan"]})
            case "/synthesize/":
                file = base64.b64encode(audio.wav(SECOND, RATE)).decode()
                part = {"name": asked["voice"], "time": 0.1, "response_audio": file}
                return _as_flask({"response_code": self.code, "response": [part]})
        raise web.HTTPNotFound


def _as_flask(answer: Any) -> web.Response:
    """JSON that claims to be HTML: so does SOVA ASR."""
    return web.Response(text=json.dumps(answer, ensure_ascii=False), content_type="text/html")
