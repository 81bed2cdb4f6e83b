"""What the tests of the speech API share: a provider that really computes, and clips for it.

transcribe   counts the samples of a WAV file: one segment for each second, "16000 samples"
speak        one tone of a tenth of a second for each word
"""

from __future__ import annotations

import asyncio
import io
import math
import struct
import wave
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from privox_dht.errors import Busy, Refused
from privox_dht.speech import (
    STT,
    TTS,
    Ability,
    Listening,
    Segment,
    Sound,
    SpeechRequest,
    TranscriptionRequest,
    Word,
)

RATE = 16_000
TONE = 0.1  # seconds of sound for one word


class Counting:
    """A provider of `slots` jobs at a time; `gate` can hold its work back."""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.held = 0
        self.admitted = 0
        self.closed = asyncio.Event()  # a generator was closed before its end
        self.working = asyncio.Event()  # a generator began
        self.gate = asyncio.Event()  # work goes on only while this is set
        self.gate.set()
        self.breaks_with: BaseException | None = None  # raised after the first segment or sound

    def abilities(self) -> Sequence[Ability]:
        return (
            Ability(STT, "cpu", "counter", ("small", "large"), ("en", "de")),
            Ability(TTS, "cpu", "toner", ("low", "high"), ("en",)),
        )

    def status(self) -> Mapping[str, Any]:
        return {"slots": self.slots, "idle": self.slots - self.held}

    @contextmanager
    def admit(self, service: str) -> Iterator[None]:
        if self.held >= self.slots:
            raise Busy(retry_after=2.0)
        self.held += 1
        self.admitted += 1
        try:
            yield
        finally:
            self.held -= 1

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[Listening | Segment]:
        async with self._watched():
            try:
                with wave.open(upload, "rb") as clip:
                    pcm, rate = clip.readframes(clip.getnframes()), clip.getframerate()
            except (wave.Error, EOFError) as exc:
                raise Refused("the file is no WAV file", code="bad_audio") from exc
            count = len(pcm) // 2
            yield Listening(count / rate)
            for second in range(math.ceil(count / rate)):
                await self.gate.wait()
                yield self._segment(request, second, min(rate, count - second * rate), rate)
                if self.breaks_with:
                    raise self.breaks_with

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[Sound]:
        async with self._watched():
            for word in request.text.split():
                await self.gate.wait()
                yield Sound(RATE, tone(TONE / request.speed, 200 + 10 * len(word)))
                if self.breaks_with:
                    raise self.breaks_with

    def _segment(
        self, request: TranscriptionRequest, second: int, samples: int, rate: int
    ) -> Segment:
        end = second + samples / rate
        words = (Word(str(samples), second, end), Word("samples", end, end))
        text = f"{samples} samples"
        return Segment(text, second, end, words if request.words else (), request.language or "en")

    def _watched(self) -> _Watched:
        return _Watched(self)


class _Watched:
    def __init__(self, provider: Counting) -> None:
        self._provider = provider

    async def __aenter__(self) -> None:
        self._provider.working.set()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind in (GeneratorExit, asyncio.CancelledError):
            self._provider.closed.set()


def tone(seconds: float, pitch: float = 440.0) -> bytes:
    """16-bit PCM."""
    samples = range(round(seconds * RATE))
    return b"".join(
        struct.pack("<h", int(8000 * math.sin(2 * math.pi * pitch * n / RATE))) for n in samples
    )


def clip(seconds: float = 1.0) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        period = tone(0.1)
        out.writeframes((period * math.ceil(seconds / 0.1))[: 2 * round(seconds * RATE)])
    return file.getvalue()
