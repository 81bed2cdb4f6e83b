"""A remote server with Home Assistant's protocol, Wyoming: `wyoming://host:port`.

    describe                                            -> info: programs, models, voices
    transcribe, audio-start, audio-chunk ..., audio-stop -> transcript
    synthesize                                          -> audio-start, audio-chunk ..., audio-stop

One connection for each. The protocol has no times of words: a recording is sent in blocks that are
cut where it is quiet, each of which becomes one segment. `#NAME` after the address is the default
model or voice.

The server is not trusted: its events are read with limits on their size (the library has none) and
with time-outs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import yarl

from nodes.engines import benchmark
from nodes.engines.remote import (
    ANSWER_TIMEOUT,
    CONNECT_TIMEOUT,
    MAX_ANSWER,
    MAX_ERROR_TEXT,
    ServerEngine,
    names,
)
from nodes.engines.remote_blocks import BlockTranscriber
from privox_dht import errors, languages, limits, model_names, speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from wyoming.event import Event, Eventable

ENGINE = "wyoming"
INSTALL = "pip install 'privox-dht[wyoming]'"
CHUNK = 3200  # samples in one event: 0.2 s, as in a microphone's stream
LONGEST_LINE = 64 * limits.KIB  # bytes of an event's first line
MAX_PAYLOAD = limits.MIB  # bytes of sound in one event; a second at 192 kHz is 0.4


class WyomingClient:
    """The connections to one server."""

    def __init__(self, url: str) -> None:
        try:
            given = yarl.URL(url)
            if not given.host or not given.explicit_port:
                raise ValueError("it is not wyoming://host:port")
        except ValueError as exc:
            raise errors.ConfigError(f"{url!r} is not the address of a server: {exc}") from exc
        self._host, self._port, self.name = given.host, given.explicit_port, given.fragment

    def __str__(self) -> str:
        return f"{self._host}:{self._port}"

    def open(self) -> None:
        if importlib.util.find_spec("wyoming") is None:
            raise errors.EngineUnavailable("wyoming is not installed", INSTALL)

    async def close(self) -> None:
        return

    def bad_answer(self, what: str) -> errors.EngineFailed:
        return errors.EngineFailed(f"the server at {self} answers with {what}")

    async def describe(self) -> Mapping[str, Any]:
        """The server's description of itself."""
        from wyoming.info import Describe

        async with self.connected() as connection:
            await connection.send(Describe())
            while (event := await connection.receive()).type != "info":
                pass
        return event.data

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[_Connection]:
        """A connection for one request; its errors become `EngineFailed`."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                reader, writer = await asyncio.open_connection(
                    self._host, self._port, limit=LONGEST_LINE
                )
        except (OSError, TimeoutError) as exc:
            raise errors.EngineFailed(f"the server at {self} does not answer") from exc
        try:
            yield _Connection(self, reader, writer)
        except (asyncio.IncompleteReadError, OSError) as exc:
            raise errors.EngineFailed(f"the server at {self} closed the connection") from exc
        finally:
            writer.transport.abort()


class _Connection:
    """The connection of one request."""

    def __init__(
        self, server: WyomingClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server, self._reader, self._writer = server, reader, writer

    async def send(self, what: Eventable) -> None:
        from wyoming.event import async_write_event

        async with asyncio.timeout(ANSWER_TIMEOUT):
            await async_write_event(what.event(), self._writer)

    async def receive(self) -> Event:
        """The next event.

        Raises:
            EngineFailed: it is malformed, too long, late, or an error.
        """
        from wyoming.event import Event

        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                head = json.loads(await self._reader.readuntil(b"\n"))
                more = await self._read_exactly(head.get("data_length"), MAX_ANSWER)
                payload = await self._read_exactly(head.get("payload_length"), MAX_PAYLOAD)
            data = {**(head.get("data") or {}), **(json.loads(more) if more else {})}
            event = Event(str(head["type"]), data, payload)
        except TimeoutError as exc:
            raise errors.EngineFailed(f"the server at {self._server} is too slow") from exc
        except (asyncio.LimitOverrunError, ValueError, TypeError, KeyError, AttributeError,
                RecursionError) as exc:  # fmt: skip
            raise self._server.bad_answer("something that is not Wyoming") from exc
        if event.type == "error":
            reason = " ".join(str(data.get("text", "")).split())[:MAX_ERROR_TEXT]
            raise errors.EngineFailed(f"the server at {self._server} failed: {reason}")
        return event

    async def _read_exactly(self, size: Any, most: int) -> bytes:
        if size is None:
            return b""
        if not isinstance(size, int) or not 0 <= size <= most:
            raise ValueError("far too long")
        return await self._reader.readexactly(size)


class _WyomingEngine(ServerEngine):
    """The base of both services."""

    api = ENGINE
    server: WyomingClient

    def __init__(self, url: str, backend: str) -> None:
        super().__init__(WyomingClient(url), backend)

    async def check_alive(self) -> None:
        await self.server.describe()

    async def _probe(self) -> None:
        self.info = self._engine_info(await self.server.describe())

    @abstractmethod
    def _engine_info(self, info: Mapping[str, Any]) -> speech.EngineInfo:
        """What it can do, by its description.

        Raises:
            EngineFailed: it has nothing for this service.
        """

    def _listed(self, info: Mapping[str, Any], kind: str, of: str) -> Sequence[Mapping[str, Any]]:
        """The models or voices of the first program that has some."""
        programs = info.get(kind)
        for program in programs if isinstance(programs, list) else ():
            listed = program.get(of) if isinstance(program, dict) else None
            listed = listed if isinstance(listed, list) else []
            found = [one for one in listed if isinstance(one, dict) and names([one.get("name")])]
            if found:
                ready = [one for one in found if one.get("installed", True)]
                return (ready or found)[: limits.MAX_SLOTS]
        raise errors.EngineFailed(f"the server at {self.server} has nothing for {self.service}")


class WyomingTranscriber(BlockTranscriber, _WyomingEngine):
    """Speech to text at the server."""

    dialect, block = "Wyoming", 30.0

    async def _block(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> tuple[str, str]:
        from wyoming.asr import Transcribe
        from wyoming.audio import AudioChunk, AudioStart, AudioStop

        samples = (pcm * 32_767).clip(-32_768, 32_767).astype("<i2").tobytes()
        model = model_names.for_engine(request.model, ENGINE) or self.server.name or None
        language = languages.primary(request.language) if request.language else None
        async with self.server.connected() as connection:
            await connection.send(Transcribe(name=model, language=language))
            await connection.send(AudioStart(self.rate, 2, 1))
            for at in range(0, len(samples), 2 * CHUNK):
                await connection.send(AudioChunk(self.rate, 2, 1, samples[at : at + 2 * CHUNK]))
            await connection.send(AudioStop())
            while (event := await connection.receive()).type != "transcript":
                pass  # parts of the transcript; the whole follows
        named = event.data.get("language")
        tag = named if isinstance(named, str) and languages.is_tag(named) else ""
        return " ".join(str(event.data.get("text") or "").split()), tag

    def _engine_info(self, info: Mapping[str, Any]) -> speech.EngineInfo:
        models = self._listed(info, "asr", "models")
        tags = {tag for model in models for tag in _tags(model)}
        return replace(
            self.info,
            models=tuple(names([model["name"] for model in models])),
            languages=languages.published(sorted(tags)),
            all_languages=tuple(sorted({languages.primary(tag) for tag in tags})),
        )


class WyomingSpeaker(_WyomingEngine):
    """Text to speech at the server. The protocol has no speed: the server uses its own."""

    service = speech.TTS

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        from wyoming.tts import Synthesize

        left, rate = limits.MAX_SPEECH_SECONDS, 0
        async with self.server.connected() as connection:
            await connection.send(Synthesize(request.speakable, self._voice(request)))
            while (event := await connection.receive()).type != "audio-stop":
                if event.type != "audio-chunk":
                    continue
                rate = self._rate(event, rate)
                pcm = event.payload or b""
                sound = speech.AudioChunk(rate, pcm[: len(pcm) // 2 * 2])
                left -= sound.seconds
                if left < 0:
                    raise self.server.bad_answer("more speech than a text can have")
                if sound.pcm:
                    yield sound
        if not rate:
            raise self.server.bad_answer("no sound")

    def _rate(self, event: Event, before: int) -> int:
        """The rate of a piece of sound, which must be 16-bit mono at one rate."""
        rate, form = event.data.get("rate"), (event.data.get("width"), event.data.get("channels"))
        known = isinstance(rate, int) and limits.MIN_RATE <= rate <= limits.MAX_RATE
        if isinstance(rate, int) and known and form == (2, 1) and before in (0, rate):
            return rate
        raise self.server.bad_answer("sound that is not 16-bit mono at one rate")

    def _voice(self, request: speech.SpeechRequest) -> Any:
        from wyoming.tts import SynthesizeVoice

        named = model_names.for_engine(request.voice or request.model, ENGINE) or (
            "" if request.language else self.server.name
        )
        if named:
            voice, _, speaker = named.partition("+")
            return SynthesizeVoice(name=voice, speaker=speaker or None)
        return SynthesizeVoice(language=request.language) if request.language else None

    def _engine_info(self, info: Mapping[str, Any]) -> speech.EngineInfo:
        voices = self._listed(info, "tts", "voices")
        tags = {tag for voice in voices for tag in _tags(voice)}
        return replace(
            self.info,
            models=tuple(voice["name"] for voice in voices),
            languages=languages.published(sorted(tags)),
            all_languages=tuple(sorted({languages.primary(tag) for tag in tags})),
            voice_languages={v["name"]: languages.written(_tags(v)[0]) for v in voices if _tags(v)},
            speakers={voice["name"]: tuple(_speakers(voice)) for voice in voices},
        )

    async def _measure(self) -> float:
        return await benchmark.speaking_speed(self)


def _tags(one: Mapping[str, Any]) -> list[str]:
    """The languages of a model or voice that are language tags."""
    listed = [str(tag).replace("_", "-") for tag in one.get("languages") or ()]
    return [tag for tag in listed if languages.is_tag(tag)]


def _speakers(voice: Mapping[str, Any]) -> list[str]:
    listed = voice.get("speakers")
    return names([s.get("name") for s in listed or () if isinstance(s, dict)])


ENGINES = {speech.STT: WyomingTranscriber, speech.TTS: WyomingSpeaker}
