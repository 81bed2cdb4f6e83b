"""espeak-ng: a hundred languages in a few megabytes; fast, with a robotic voice.

voice    "en-us", "de", ...: a language; or with a variant, "en-us+edward", "de+f3"
""       the voice of the requested language, else the most intelligible English one

Only voices that make sound are offered: each is tried when the engine starts.
"""

import importlib.util
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.engines import benchmark
from nodes.engines.espeak_text import make_safe
from nodes.engines.pooled_engine import PooledEngine, not_found
from nodes.engines.worker_pool import WorkerPool
from privox_dht import errors, languages, model_names, speech

DEFAULT_VOICE = "en-us+edward"  # the variant that speech recognition understands best
WPM = 150  # words per minute at speed 1; espeak-ng's own 175 is harder to understand
CALM, LIVELY = 20, 50  # pitch range of the default voice, and of others (espeak-ng's default)
LOWEST = 256  # a priority below all others


class EspeakNg(PooledEngine):
    """Text to speech in a process of its own."""

    service, name, rank = speech.TTS, "espeak-ng", 20
    reinstall = "pip install --force-reinstall espeakng-loader"

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._default = model or DEFAULT_VOICE
        self._rate = 0
        self._voices = EspeakVoices((), ())
        info = speech.EngineInfo(self.service, backend, self.name)
        super().__init__(WorkerPool("nodes.engines.espeak_worker"), info)

    @classmethod
    def check(cls, backend: str) -> None:
        if backend != "cpu":
            raise errors.EngineUnavailable("espeak-ng works on the CPU only", "use tts/cpu")
        if importlib.util.find_spec("espeakng_loader") is None:
            raise errors.EngineUnavailable(
                "espeakng-loader is not installed", "pip install 'privox-dht[embedded]'"
            )

    async def _self_test(self, hello: Mapping[str, Any]) -> speech.EngineInfo:
        self._voices = EspeakVoices(await self._listed(), hello["variants"])
        self._rate = hello["rate"]
        self._default = self._voices.choose(self._default, "", "")
        voices = (self._default, *self._voices.files)
        return replace(
            self.info,
            models=voices,
            languages=languages.published(self._voices.tags),
            speed=await benchmark.speaking_speed(self),
            voice_languages={voice: languages.written(voice.partition("+")[0]) for voice in voices},
        )

    async def _listed(self) -> list[Mapping[str, Any]]:
        """The audible voices, as the worker lists them."""
        async with aclosing(self._pool.ask({"list": True})) as answer:
            return [voice async for head, _ in answer for voice in head["voices"]]

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        named = model_names.for_engine(request.voice or request.model, self.name)
        voice = self._voices.choose(named, request.language, self._default)
        message = {
            "text": make_safe(request.speakable),
            "voice": self._voices.file(voice),
            "wpm": round(WPM * request.speed),
            "range": CALM if voice == DEFAULT_VOICE else LIVELY,
        }
        async with aclosing(self._ask(message)) as answer:
            async for _, pcm in answer:
                yield speech.AudioChunk(self._rate, pcm)


class EspeakVoices:
    """The installed voices. A voice has the name of its first language tag, or, if an earlier voice
    has that tag, of its file."""

    def __init__(self, listed: Iterable[Mapping[str, Any]], variants: Iterable[str]) -> None:
        """
        Args:
            listed: each voice's `file`, and its `tags` as (priority, tag), the best first.
            variants: the names that may follow a "+".
        """
        self.files: dict[str, str] = {}
        self.tags: dict[str, str] = {}  # by language tag: the name of the best voice for it
        self._variants = frozenset(variants)
        best: dict[str, int] = {}
        for voice in listed:
            own = voice["tags"][0][1]
            name = own if own not in self.files else Path(voice["file"]).name.lower()
            self.files[name] = voice["file"]
            for priority, tag in voice["tags"]:
                if priority < best.get(tag, LOWEST):
                    self.tags[tag], best[tag] = name, priority
        self.tags |= {name: name for name in self.files}
        self._names = {name.lower(): name for name in self.files}

    def file(self, voice: str) -> str:
        """The file of a voice that `choose` returned, with its variant."""
        base, plus, variant = voice.partition("+")
        return self.files[base] + plus + variant

    def choose(self, named: str, language: str, default: str) -> str:
        """The voice to speak with.

        Raises:
            RequestRejected: 404, no such voice, or no voice for the language.
        """
        if named:
            return self._named(named)
        if not language:
            return default
        own = default.partition("+")[0]
        tags = {languages.primary(own): default, own: default}
        tags |= {tag: name for tag, name in self.tags.items() if tag not in tags}
        tag = languages.nearest(language, tags)
        if tag is None:
            raise not_found(EspeakNg.name, "language", language, list(self.files))
        return tags[tag]

    def _named(self, named: str) -> str:
        base, plus, variant = named.partition("+")
        name = self._names.get(base.lower().replace("_", "-"))
        if name is None:
            raise not_found(EspeakNg.name, "voice", base, list(self.files))
        if plus and variant not in self._variants:
            raise not_found(EspeakNg.name, "voice", variant, sorted(self._variants))
        return name + plus + variant
