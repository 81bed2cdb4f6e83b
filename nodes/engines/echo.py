"""Dummy engines, to try a mesh, and to measure everything but an engine.

    stt/cpu/echo       its transcript is the length of the recording
    stt/cpu/echo:5     the same in five parts, one a second
    tts/cpu/echo       a tone, 50 ms long for each character
    tts/cpu/echo:5     the same, in five seconds

They are used only where they are named, both by a node and for a job.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

from privox_dht import errors, speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16_000  # Hz
TONE = 440.0  # Hz
SECONDS_PER_CHARACTER = 0.05
STEP = 1.0  # seconds between two segments of a slow echo
NEVER_CHOSEN = 1000  # a rank: see `nodes.engines`


class _Echo:
    service = ""
    name, rank = "echo", NEVER_CHOSEN

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        try:
            self._takes = float(model or 0)
        except ValueError as exc:
            raise errors.EngineUnavailable(
                f"echo:{model} is not echo:SECONDS", "name it echo or echo:5"
            ) from exc
        self.info = speech.EngineInfo(self.service, backend, self.name, only_named=True)

    @classmethod
    def check(cls, backend: str) -> None:
        return

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return


class EchoTranscriber(_Echo):
    """Its transcript is the length of the recording."""

    service = speech.STT
    rate = RATE

    async def transcribe(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        seconds = len(pcm) / RATE
        if not self._takes:
            yield speech.Segment(f"{seconds:.2f} seconds of sound", 0.0, seconds)
            return
        parts = math.ceil(self._takes / STEP)
        for n in range(parts):
            await asyncio.sleep(self._takes / parts)
            start, end = seconds * n / parts, seconds * (n + 1) / parts
            yield speech.Segment(f"{start:.2f} to {end:.2f} seconds,", start, end)


class EchoSpeaker(_Echo):
    """Its speech is a tone as long as the text."""

    service = speech.TTS

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        samples = int(RATE * SECONDS_PER_CHARACTER / request.speed)
        step = 2 * math.pi * TONE / RATE
        tone = array("h", (round(8000 * math.sin(step * i)) for i in range(samples)))
        for _ in request.text:
            if self._takes:
                await asyncio.sleep(self._takes / len(request.text))
            yield speech.AudioChunk(RATE, tone.tobytes())
