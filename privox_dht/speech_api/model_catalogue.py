"""The lists of `/v1/models` and `/v1/audio/voices`. Pure.

engines -> models    every engine, and "engine:model" for every model or voice of it
          -> voices    what `voice` may name
"""

from collections.abc import Iterable, Iterator
from typing import Any

from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.speech import SERVICES, TTS, EngineInfo
from privox_dht.speech_api.model_selection import select

MODEL_PREFIX = "/v1/models/"
CREATED = 1_704_067_200  # OpenAI's clients require a date: 2024-01-01


def models(engines: Iterable[EngineInfo]) -> dict[str, Any]:
    """The list of models."""
    known: dict[str, EngineInfo] = {}
    for info in engines:
        for name in _names(info):
            known.setdefault(name, info)
    return {"object": "list", "data": [_model(name, known[name]) for name in known]}


def model(engines: Iterable[EngineInfo], name: str) -> dict[str, Any]:
    """One model.

    Raises:
        RequestRejected: 404, naming what there is.
    """
    offered = list(engines)
    wrong: RequestRejected | None = None
    for service in SERVICES:
        try:
            if chosen := select(offered, service, model=name):
                return _model(name, chosen[0])
        except RequestRejected as exc:
            wrong = exc
    raise wrong or RequestRejected("there is no model here", status=404, code="model_not_found")


def voices(engines: Iterable[EngineInfo]) -> dict[str, Any]:
    """The list of voices. `voices` has only the names, as most apps expect; `language` is empty if
    it is unknown."""
    data = [
        {
            "id": name,
            "object": "voice",
            "name": name,
            "engine": info.engine,
            "language": info.voice_languages.get(voice, ""),
        }
        for info in engines
        if info.service == TTS
        for voice in info.models
        for name in (voice, *_speakers(info, voice))
    ]
    return {"object": "list", "voices": [entry["id"] for entry in data], "data": data}


def _speakers(info: EngineInfo, voice: str) -> Iterator[str]:
    """The names of the speakers of a voice that has several."""
    for speaker in info.speakers.get(voice, ())[: limits.MAX_SPEAKERS]:
        yield f"{voice}+{speaker}"


def _names(info: EngineInfo) -> Iterator[str]:
    yield info.engine
    for name in info.models:
        yield f"{info.engine}:{name}"


def _model(name: str, info: EngineInfo) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": CREATED,
        "owned_by": info.engine,
        "service": info.service,
        "backend": info.backend,
        "languages": list(info.languages or info.all_languages),
        "warm": info.warm,
        "translates": info.translates,
    }
