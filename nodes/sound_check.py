"""Before a service is lent: a second of sound, by the very path that jobs take.

    tts    written in the format that is sent where none is asked for
    stt    the same, and as WAV, and each must come out of `Producer.transcribe` again

An installation whose codecs are missing or broken would otherwise announce itself, and fail every
job.
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
CLOSE = 0.1  # seconds by which what is decoded may differ: codecs pad
MISSING = "pip install 'privox-dht[audio]'"
BROKEN = "pip install --force-reinstall 'privox-dht[audio]'"


class _Sink:
    """An engine that only takes in what it is given, and does not look at it."""

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
    """Have a process for codecs ready.

    Raises:
        EngineUnavailable: none can be started; says why, and how to fix it.
    """
    try:
        await codecs.start()
    except errors.EngineFailed as exc:
        raise _unavailable("no sound can be read or written here", exc) from exc


async def check(codecs: Codecs, service: str) -> None:
    """Whether sound can be read (stt) or written (tts) here.

    Raises:
        EngineUnavailable: it cannot; says in which format, why, and how to fix it.
    """
    if service == speech.TTS:
        await _written(codecs, "")
    elif service == speech.STT:
        for asked in (PLAIN_DEFAULT, ""):
            await _read(codecs, *await _written(codecs, asked))


async def _written(codecs: Codecs, asked: str) -> tuple[str, bytes]:
    """A second of sound in the format that is sent where `asked` is asked for."""
    format = asked or "any format"
    try:
        format = await negotiate_format(asked, codecs)
        pieces = EncodedAudio(format, _tone(), 2 * SECONDS, codecs).pieces()
        return format, b"".join([piece async for piece in pieces])
    except Exception as exc:
        raise _unavailable(f"a second of sound cannot be written in {format}", exc) from exc


async def _read(codecs: Codecs, format: str, file: bytes) -> None:
    producer = Producer([_Sink()], 1, codecs)
    try:
        asked = speech.TranscriptionRequest()
        heard = [event async for event in producer.transcribe(io.BytesIO(file), asked)]
    except Exception as exc:
        raise _unavailable(f"a second of sound in {format} cannot be read", exc) from exc
    seconds = sum(event.seconds for event in heard if isinstance(event, speech.AudioInfo))
    if abs(seconds - SECONDS) > CLOSE:
        raise errors.EngineUnavailable(
            f"a second of sound in {format} is read as {seconds:.2f} s", BROKEN
        )


async def _tone() -> AsyncGenerator[speech.AudioChunk]:
    """A rectangle of 240 Hz, not loud."""
    half = RATE // 240 // 2
    wave = b"\x00\x08" * half + b"\x00\xf8" * half
    yield speech.AudioChunk(RATE, wave * int(SECONDS * RATE / (2 * half)))


def _unavailable(what: str, exc: Exception) -> errors.EngineUnavailable:
    if isinstance(exc, errors.RequestRejected):
        missing = exc.status == 501
        return errors.EngineUnavailable(f"{what}: {exc.message}", MISSING if missing else BROKEN)
    return errors.EngineUnavailable(f"{what} ({type(exc).__name__}: {exc})", BROKEN)
