"""Measures how fast an engine is, with sound that resembles speech."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from privox_dht import speech
from privox_dht.errors import EngineUnavailable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))  # Hz
VOWEL_SECONDS = 0.18
PITCH, BANDWIDTH = 120.0, 120.0  # Hz
FORMANT_GAINS = (1.0, 0.5, 0.33)
SAMPLE = "The quick brown fox jumps over the lazy dog near the old river bank."


def babble(seconds: float, rate: int) -> NDArray[np.float32]:
    """Mono float32 samples of vowels, which cost a recogniser as much work as speech does."""
    import numpy

    t = numpy.arange(int(seconds * rate)) / rate
    formants = numpy.array(VOWELS)[(t / VOWEL_SECONDS).astype(int) % len(VOWELS)]
    sound = numpy.zeros_like(t)
    for pitch in numpy.arange(PITCH, max(map(max, VOWELS)) + 2 * BANDWIDTH, PITCH):
        gain = numpy.exp(-(((pitch - formants) / BANDWIDTH) ** 2)) @ FORMANT_GAINS
        sound += gain * numpy.sin(2 * numpy.pi * pitch * t)
    loudness = 0.2 * numpy.abs(numpy.sin(numpy.pi * t / VOWEL_SECONDS))
    return (sound * loudness).astype(numpy.float32)


async def speaking_speed(engine: speech.Speaker, text: str = SAMPLE) -> float:
    """Seconds of speech per second of work of a warm engine.

    Raises:
        EngineUnavailable: it made no sound.
    """
    began, seconds = time.monotonic(), 0.0
    async with contextlib.aclosing(engine.speak(speech.SpeechRequest(text))) as sounds:
        async for sound in sounds:
            seconds += sound.seconds
    if not seconds:
        raise EngineUnavailable(f"it made no sound for the text {text!r}")
    return round(seconds / max(time.monotonic() - began, 1e-6), 1)


async def transcribing_speed(engine: speech.Transcriber, pcm: NDArray[np.float32]) -> float:
    """Seconds of audio per second of work of a warm engine."""
    began = time.monotonic()
    request = speech.TranscriptionRequest()
    async with contextlib.aclosing(engine.transcribe(pcm, request)) as segments:
        async for _ in segments:
            pass
    return round(pcm.size / engine.rate / max(time.monotonic() - began, 1e-6), 1)
