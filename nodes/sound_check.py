"""Before a service is lent: encode and decode a second of sound as jobs do.

    tts    it is encoded in the format that is sent where a request names none
    stt    the same, and as WAV, and `Producer.transcribe` must be able to decode both

Otherwise a node whose codecs are missing or broken would publish records, and fail every job.
"""

import io
from collections.abc import AsyncGenerator
from typing import Any

from nodes.codecs import Codecs
from nodes.producer import Producer
from privox_dht import errors, speech
from privox_dht.speech_api.audio_response import PLAIN_DEFAULT, EncodedAudio, negotiate_format

RATE = 24_000  # Hz of the sound that is written
SECONDS = 1.0
TOLERANCE = 0.1  # seconds by which the decoded length may differ: codecs add padding
MISSING = "pip install 'privox-dht[audio]'"
BROKEN = "pip install --force-reinstall 'privox-dht[audio]'"


class _Sink:
    """A transcriber that ignores its input."""

    rate = 16_000
    info = speech.EngineInfo(speech.STT, "cpu", "sound-check")

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def transcribe_recording(
        self, recording: Any, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        return
        yield

    transcribe = transcribe_recording


async def start(codecs: Codecs) -> None:
    """Start a codec process.

    Raises:
        EngineUnavailable: it cannot be started; says why, and how to fix it.
    """
    try:
        await codecs.start()
    except errors.EngineFailed as exc:
        raise _unavailable("no sound can be read or written here", exc) from exc


async def check(codecs: Codecs, service: str) -> None:
    """Check that audio files can be decoded (stt) or encoded (tts) here.

    Raises:
        EngineUnavailable: they cannot; says in which format, why, and how to fix it.
    """
    if service == speech.TTS:
        await _written(codecs, "")
    elif service == speech.STT:
        for requested in (PLAIN_DEFAULT, ""):
            await _read(codecs, *await _written(codecs, requested))


async def _written(codecs: Codecs, requested: str) -> tuple[str, bytes]:
    """A second of sound in the format that answers a request for `requested`."""
    format = requested or "any format"
    try:
        format = await negotiate_format(requested, codecs)
        pieces = EncodedAudio(format, _tone(), 2 * SECONDS, codecs).pieces()
        return format, b"".join([piece async for piece in pieces])
    except Exception as exc:
        raise _unavailable(f"a second of sound cannot be written in {format}", exc) from exc


async def _read(codecs: Codecs, format: str, file: bytes) -> None:
    producer = Producer([_Sink()], 1, codecs)
    try:
        request = speech.TranscriptionRequest()
        events = [event async for event in producer.transcribe(io.BytesIO(file), request)]
    except Exception as exc:
        raise _unavailable(f"a second of sound in {format} cannot be read", exc) from exc
    seconds = sum(event.seconds for event in events if isinstance(event, speech.AudioInfo))
    if abs(seconds - SECONDS) > TOLERANCE:
        raise errors.EngineUnavailable(
            f"a second of sound in {format} is read as {seconds:.2f} s", BROKEN
        )


async def _tone() -> AsyncGenerator[speech.AudioChunk]:
    """A soft square wave of 240 Hz."""
    half = RATE // 240 // 2
    wave = b"\x00\x08" * half + b"\x00\xf8" * half
    yield speech.AudioChunk(RATE, wave * int(SECONDS * RATE / (2 * half)))


def _unavailable(what: str, exc: Exception) -> errors.EngineUnavailable:
    if isinstance(exc, errors.RequestRejected):
        missing = exc.status == 501
        return errors.EngineUnavailable(f"{what}: {exc.message}", MISSING if missing else BROKEN)
    return errors.EngineUnavailable(f"{what} ({type(exc).__name__}: {exc})", BROKEN)
