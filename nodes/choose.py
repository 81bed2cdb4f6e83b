"""Which of a node's engines does a request, or a refusal that names what there is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from privox_dht.errors import Refused
from privox_dht.speech import STT, Ability

# What apps send when they mean "whatever you have": the names of OpenAI's own models.
ANY_MODEL = frozenset(
    ("", "whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe", "tts-1", "tts-1-hd",
     "gpt-4o-mini-tts", "default")
)  # fmt: skip
# OpenAI's voices, likewise: apps have them built in.
ANY_VOICE = frozenset(
    ("", "alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer",
     "verse", "marin", "cedar", "default")
)  # fmt: skip
NAMED = 8  # names told in a refusal


def choose(
    abilities: Sequence[Ability], service: str, model: str, voice: str, language: str
) -> tuple[int, str, str]:
    """Who does it: (index into `abilities`, model, voice), the names stripped of "engine:".

    Raises:
        Refused: nobody here has it (404), in words that name what there is.
    """
    of_service = [i for i, ability in enumerate(abilities) if ability.service == service]
    if not of_service:
        raise Refused(f"{service} is not served here", status=404, code="service_not_found")
    model = "" if model in ANY_MODEL else model
    voice = "" if voice in ANY_VOICE else voice
    able = [i for i in of_service if _has(abilities[i], model)]
    if not able:
        raise _unknown("model", model, [abilities[i] for i in of_service])
    model = _bare(abilities[able[0]], model)
    if service != STT and model and not voice:
        model, voice = "", model
    voiced = [i for i in able if _has(abilities[i], voice)]
    if not voiced:
        raise _unknown("voice", voice, [abilities[i] for i in able])
    spoken = [i for i in voiced if _speaks(abilities[i], language)]
    if not spoken:
        there = sorted({tag for i in voiced for tag in abilities[i].languages})
        raise Refused(
            f"language {language!r} is not served here; there is: {_some(there)}",
            status=404, code="language_not_found", param="language",
        )  # fmt: skip
    return spoken[0], model, _bare(abilities[spoken[0]], voice)


def _has(ability: Ability, name: str) -> bool:
    bare, models = _bare(ability, name), ability.models
    return not bare or not models or bare in models or bare.partition("+")[0] in models


def _bare(ability: Ability, name: str) -> str:
    """`name` without this engine's name: "small" of "faster-whisper:small", "" of the engine."""
    if name == ability.engine:
        return ""
    return name.removeprefix(f"{ability.engine}:")


def _speaks(ability: Ability, language: str) -> bool:
    tag = language.replace("_", "-").split("-")[0].lower()
    return not tag or not ability.languages or tag in ability.languages


def _unknown(what: str, name: str, abilities: Sequence[Ability]) -> Refused:
    there = [a.engine for a in abilities] + [m for a in abilities for m in a.models]
    return Refused(
        f"there is no {what} {name[:60]!r} here; there is: {_some(there)}",
        status=404, code=f"{what}_not_found", param=what,
    )  # fmt: skip


def _some(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
