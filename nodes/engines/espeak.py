"""espeak-ng: a hundred languages in a few megabytes; it sounds like a robot, and at once.

voice    "en-us", "de", ...: a language; or with a variant, "en-us+edward", "de+f3"
""       the voice of the language that was asked for, else the most intelligible English one
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from nodes.engines import measure
from nodes.engines.worker import Crew
from privox_dht import errors, limits, speech

DEFAULT_VOICE = "en-us+edward"  # of all variants, the one that recognisers understand best
WPM = 150  # words per minute at speed 1; espeak-ng's own 175 is harder to understand
CALM, LIVELY = 20, 50  # how far the default voice rises and falls, and others (espeak-ng's own)
NAMED = 6  # voices named in a refusal, beside their number
SAMPLE = "The quick brown fox jumps over the lazy dog near the old river bank."


class EspeakNg:
    """Text to speech in a process of its own."""

    service, name, rank = speech.TTS, "espeak-ng", 20

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._default = model or DEFAULT_VOICE
        self._crew = Crew("nodes.engines.espeak_worker")
        self._rate = 0
        self._voices: tuple[str, ...] = ()
        self._variants: frozenset[str] = frozenset()
        self.ability = speech.Ability(self.service, backend, self.name)

    @classmethod
    def check(cls, backend: str) -> None:
        if backend != "cpu":
            raise errors.EngineUnavailable("espeak-ng works on the CPU only", "use tts/cpu")
        if importlib.util.find_spec("espeakng_loader") is None:
            raise errors.EngineUnavailable(
                "espeakng-loader is not installed", "pip install 'privox-dht[embedded]'"
            )

    async def start(self) -> None:
        self.check(self.ability.backend)
        try:
            hello = await self._crew.start()
        except errors.Failed as exc:
            fix = "pip install --force-reinstall espeakng-loader"
            raise errors.EngineUnavailable(str(exc), fix) from exc
        self._rate = hello["rate"]
        self._voices, self._variants = tuple(hello["voices"]), frozenset(hello["variants"])
        try:
            self._default = choose(self._default, "", "", self._voices, self._variants)
        except errors.Refused as exc:
            await self._crew.close()
            raise errors.EngineUnavailable(exc.message, "name another voice, or none") from exc
        self.ability = speech.Ability(
            self.service,
            self.ability.backend,
            self.name,
            models=(self._default, *self._voices),
            languages=measure.languages(self._voices),
            speed=await measure.speaking(self, SAMPLE),
        )

    async def close(self) -> None:
        await self._crew.close()

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.Sound]:
        named = measure.named(request.voice or request.model, self.name)
        voice = choose(named, request.language, self._default, self._voices, self._variants)
        asked = {
            "text": measure.speakable(request.text),
            "voice": voice,
            "wpm": round(WPM * request.speed),
            "range": CALM if voice == DEFAULT_VOICE else LIVELY,
            "most": limits.MAX_SPEECH_SECONDS,
        }
        async with self._crew.worker() as worker, aclosing(worker.ask(asked)) as answer:
            async for _, pcm in answer:
                yield speech.Sound(self._rate, pcm)


def choose(
    named: str, language: str, default: str, voices: Sequence[str], variants: frozenset[str]
) -> str:
    """The voice to speak with.

    Raises:
        Refused: 404, there is no such voice, or none for the language.
    """
    if named:
        base, plus, variant = named.partition("+")
        tag = _find(base, voices, exact=True)
        if tag is None or (plus and variant not in variants):
            missing, known = (base, voices) if tag is None else (variant, sorted(variants))
            raise _unknown("voice", missing, known)
        return tag + plus + variant
    if not language or measure.primary_tag(language) == measure.primary_tag(default):
        return default
    tag = _find(language, voices, exact=False)
    if tag is None:
        raise _unknown("language", language, voices)
    return tag


def _find(wanted: str, voices: Sequence[str], *, exact: bool) -> str | None:
    """The voice of a language tag, or (unless `exact`) of its nearest relative."""
    wanted = wanted.lower().replace("_", "-")
    primary = measure.primary_tag(wanted)
    for fits in (
        lambda tag: tag.lower() == wanted,
        lambda tag: not exact and tag.lower() == primary,
        lambda tag: not exact and measure.primary_tag(tag) == primary,
    ):
        for tag in voices:
            if fits(tag):
                return tag
    return None


def _unknown(kind: str, missing: str, known: Sequence[str]) -> errors.Refused:
    some = ", ".join(known[:NAMED])
    return errors.Refused(
        f"espeak-ng has no {kind} {missing[: limits.MAX_NAME]!r};"
        f" it has {len(known)}, such as {some}",
        status=404,
        code=f"{kind}_not_found",
        param=kind,
    )
