"""Which of a provider's engines a request means, and the error if it means none.

    model     "", an engine, a model, or "engine:model"
    voice     "", or a voice (one of an engine's models), perhaps with "+variant"
    language  a BCP 47 tag (see `languages`); an engine that lists none does any

Apps made for OpenAI's API always name one of its models and voices: `resolve` removes these first.
Pure.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from privox_dht import languages, model_names
from privox_dht.errors import RequestRejected
from privox_dht.model_names import explain_only_named
from privox_dht.speech import TTS, EngineInfo, SpeechRequest, TranscriptionRequest

Request = TypeVar("Request", TranscriptionRequest, SpeechRequest)

LISTED = 20  # names in a message, which a client shows on a terminal


def validate_language(tag: str) -> str:
    """`tag` as it was given, if it is a BCP 47 tag or empty.

    Raises:
        RequestRejected: it is not.
    """
    if tag and not languages.is_tag(tag):
        raise RequestRejected(
            "language is not a language tag such as 'en' or 'pt-BR'",
            code="bad_language",
            param="language",
        )
    return tag


def resolve(request: Request, engines: Iterable[EngineInfo]) -> Request:
    """`request` without OpenAI's names for the default, unless an engine lists them."""
    offered = [info for info in engines if info.service == request.service]
    model = model_names.model(request.model, _names(offered))
    if isinstance(request, TranscriptionRequest):
        return replace(request, model=model)
    listed = _flat(info.models for info in offered)  # "echo" is a voice, and an engine
    return replace(request, model=model, voice=model_names.voice(request.voice, listed))


def select(
    engines: Iterable[EngineInfo],
    service: str,
    *,
    model: str = "",
    voice: str = "",
    language: str = "",
    translate: bool = False,
) -> list[EngineInfo]:
    """The engines of `service` that have what is named, in their order; the first is to be used.

    An empty list means that the engines of the service are not known here; the provider decides.

    Raises:
        RequestRejected: 404 or 400, naming what there is.
    """
    offered = [info for info in engines if info.service == service]
    if not offered:
        return []
    fitting = [info for info in offered if _is_engine(info, model)]
    fitting = fitting or [info for info in offered if _has_model(info, model)]
    if not fitting:
        raise _not_found("model", model, _names(offered)) if model else _only_named(offered)
    if translate:
        fitting = [info for info in fitting if info.translates]
        if not fitting:
            raise RequestRejected(
                f"nothing here translates{f' by {model!r}' if model else ''}; ask for a transcript",
                status=404,
                code="translation_not_found",
            )
    chosen = fitting
    if voice and service == TTS:
        chosen = [info for info in fitting if _lists(info, voice)]
        if not chosen:
            raise _not_found("voice", voice, _flat(info.models for info in fitting))
    if language and not voice:
        chosen = [info for info in chosen if _speaks(info, language)]
        if not chosen:
            raise RequestRejected(
                f"there is no language {language!r} here; there is "
                f"{_listing(_flat(info.languages for info in fitting))}",
                code="unknown_language",
                param="language",
            )
    return _best_for(chosen, language) if model else chosen


def _best_for(engines: list[EngineInfo], language: str) -> list[EngineInfo]:
    """Order the entries of one engine: those with a list of languages first if `language` is given,
    and last if not."""
    engine = engines[0].engine
    return sorted(engines, key=lambda a: (a.engine != engine, bool(a.languages) != bool(language)))


def _has_model(info: EngineInfo, model: str) -> bool:
    return not info.only_named and (not model or _lists(info, model))


def _is_engine(info: EngineInfo, model: str) -> bool:
    """Whether `model` names this engine, with or without one of its models. Checked first, since an
    engine that lists no models accepts any name, another engine's too."""
    engine, colon, rest = model.partition(":")
    return engine == info.engine and (not colon or _lists(info, rest))


def _lists(info: EngineInfo, name: str) -> bool:
    """Whether `name` is listed, as it is or without its `+variant`; an empty list allows any name,
    unless only listed ones exist."""
    models = info.models
    if not models:
        return not info.only_listed
    return name in models or name.partition("+")[0] in models


def _speaks(info: EngineInfo, language: str) -> bool:
    return not info.languages or languages.nearest(language, info.languages) is not None


def _not_found(what: str, name: str, there_is: list[str]) -> RequestRejected:
    return RequestRejected(
        f"there is no {what} {name[:64]!r} here; there is {_listing(there_is)}",
        status=404,
        code=f"{what}_not_found",
        param=what,
    )


def _only_named(offered: list[EngineInfo]) -> RequestRejected:
    return RequestRejected(
        explain_only_named(f"{a.service}/{a.backend}/{a.engine}" for a in offered),
        status=404,
        code="model_not_found",
        param="model",
    )


def _names(offered: Iterable[EngineInfo]) -> list[str]:
    return _flat((info.engine, *info.models) for info in offered)


def _flat(groups: Iterable[Iterable[str]]) -> list[str]:
    return list(dict.fromkeys(name for group in groups for name in group))


def _listing(names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
