"""The lists of `/v1/models` and `/v1/audio/voices`. Pure.

abilities -> models    every engine, and "engine:model" for every model or voice of it
          -> voices    what `voice` may name
"""

from collections.abc import Iterable, Iterator
from typing import Any

from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.speech import SERVICES, TTS, EngineInfo
from privox_dht.speech_api.model_selection import select

MODEL_PREFIX = "/v1/models/"
CREATED = 1_704_067_200  # OpenAI's clients want a date; models here have none: 2024-01-01


def models(abilities: Iterable[EngineInfo]) -> dict[str, Any]:
    """The list of models."""
    known: dict[str, EngineInfo] = {}
    for ability in abilities:
        for name in _names(ability):
            known.setdefault(name, ability)
    return {"object": "list", "data": [_model(name, known[name]) for name in known]}


def model(abilities: Iterable[EngineInfo], name: str) -> dict[str, Any]:
    """One model.

    Raises:
        RequestRejected: 404, naming what there is.
    """
    offered = list(abilities)
    wrong: RequestRejected | None = None
    for service in SERVICES:
        try:
            if chosen := select(offered, service, model=name):
                return _model(name, chosen[0])
        except RequestRejected as exc:
            wrong = exc
    raise wrong or RequestRejected("there is no model here", status=404, code="model_not_found")


def voices(abilities: Iterable[EngineInfo]) -> dict[str, Any]:
    """The list of voices. `voices` holds bare names, which is what most apps look for; a voice's
    `language` is empty where its engine does not say."""
    data = [
        {
            "id": name,
            "object": "voice",
            "name": name,
            "engine": ability.engine,
            "language": ability.spoken.get(voice, ""),
        }
        for ability in abilities
        if ability.service == TTS
        for voice in ability.models
        for name in (voice, *_speakers(ability, voice))
    ]
    return {"object": "list", "voices": [entry["id"] for entry in data], "data": data}


def _speakers(ability: EngineInfo, voice: str) -> Iterator[str]:
    """Those of a voice that has several."""
    for speaker in ability.speakers.get(voice, ())[: limits.MAX_SPEAKERS]:
        yield f"{voice}+{speaker}"


def _names(ability: EngineInfo) -> Iterator[str]:
    yield ability.engine
    for name in ability.models:
        yield f"{ability.engine}:{name}"


def _model(name: str, ability: EngineInfo) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": ability.engine,
        "service": ability.service,
        "backend": ability.backend,
        "languages": list(ability.languages or ability.all_languages),
        "warm": ability.warm,
        "translates": ability.translates,
    }
