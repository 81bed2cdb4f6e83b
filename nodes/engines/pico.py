"""SVOX Pico: six languages in six megabytes, and the clearest voice of its size.

voice    "en-US", "de-DE", ...: one for each language, and two for English
""       the voice of the requested language, else American English

A text is spoken sentence by sentence, since Pico returns no sound before the end of a text.
"""

import importlib.util
import re
import textwrap
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.engines import benchmark, pico_worker
from nodes.engines.pooled_engine import PooledEngine, not_found
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, languages, model_names, speech

DEFAULT_VOICE = "en-US"
MARKUP = str.maketrans("<>", "  ")  # Pico would execute markup instead of speaking it
SENTENCE = re.compile(r"(?<=[.!?;:…])\s+|\n+")  # between two sentences
LONGEST = 300  # characters spoken at a time, about 20 s of sound; sentences are shorter
LONG_WORD = re.compile(r"\S{40}")  # a space is inserted after it: Pico fails on longer numbers


class Pico(PooledEngine):
    """Text to speech in a process of its own."""

    service, name, rank = speech.TTS, "pico", 15
    reinstall = "pip install --force-reinstall py-nanotts"

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._default = model or DEFAULT_VOICE
        self._voices: tuple[str, ...] = ()
        info = speech.EngineInfo(self.service, backend, self.name)
        super().__init__(WorkerPool("nodes.engines.pico_worker"), info)

    @classmethod
    def check(cls, backend: str) -> None:
        if backend != "cpu":
            raise errors.EngineUnavailable("pico works on the CPU only", "use tts/cpu")
        if importlib.util.find_spec("py_nanotts") is None:
            raise errors.EngineUnavailable(
                "py-nanotts is not installed", "pip install py-nanotts (Linux), or use espeak-ng"
            )

    async def _self_test(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        self._voices = tuple(hello["voices"])
        self._default = choose(self._default, "", "", self._voices)
        return replace(
            self.info,
            models=tuple(dict.fromkeys((self._default, *self._voices))),
            languages=languages.published(self._voices),
            speed=await benchmark.speaking_speed(self),
            voice_languages={voice: languages.written(voice) for voice in self._voices},
        )

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        named = model_names.for_engine(request.voice or request.model, self.name)
        message = {
            "texts": sentences(request.speakable),
            "voice": choose(named, request.language, self._default, self._voices),
            "speed": request.speed,
        }
        async with aclosing(self._ask(message)) as answer:
            async for _, pcm in answer:
                yield speech.AudioChunk(pico_worker.RATE, pcm)


def choose(named: str, language: str, default: str, voices: Sequence[str]) -> str:
    """The voice to speak with.

    Raises:
        RequestRejected: 404, no such voice, or no voice for the language.
    """
    if named:
        plain = named.lower().replace("_", "-")
        found = next((voice for voice in voices if voice.lower() == plain), None)
    elif language:
        found = languages.nearest(language, (default, *voices))
    else:
        found = default
    if found is None:
        kind, missing = ("voice", named) if named else ("language", language)
        raise not_found(Pico.name, kind, missing, voices)
    return found


def sentences(text: str) -> list[str]:
    """`text` without markup, in pieces of at most `LONGEST` characters."""
    plain = LONG_WORD.sub(r"\g<0> ", text.translate(MARKUP))
    return [
        piece
        for sentence in SENTENCE.split(plain)
        for piece in textwrap.wrap(sentence, LONGEST, break_on_hyphens=False)
    ]
