"""The engines of a mesh, from the records and voices that were found. Pure.

records, voices -> engines_of    each engine once, merged from all producers that have it
records         -> slots         how many jobs of a service they can do at a time, and just now
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from privox_dht.records import Record
from privox_dht.speech import SERVICES, TTS, EngineInfo
from privox_dht.voices import Voices

NO_VOICES = Voices({}, {}, ())


def engines_of(records: Sequence[Record], voices: Voices = NO_VOICES) -> list[EngineInfo]:
    """The engines of all producers, the fastest of a service first.

    A record lists a few models and may say that there are more. Such an engine is listed a second
    time without models, and that entry accepts any name; the others accept only what they list.
    """
    by_engine: dict[tuple[str, str, str, bool, bool], list[Record]] = {}
    for r in records:
        if r.kind in SERVICES and not r.withdrawn:
            key = (r.kind, r.backend, r.engine, r.translates, r.only_named)
            by_engine.setdefault(key, []).append(r)
    merged = [
        (_merged(some, voices), any(record.more for record in some)) for some in by_engine.values()
    ]
    merged.sort(key=lambda one: _rank(one[0]))
    unlisted = [
        replace(info, models=(), only_listed=False) for info, more in merged if more and info.models
    ]
    return [*(info for info, _ in merged), *unlisted]


def _rank(info: EngineInfo) -> tuple[int, bool, float, str]:
    return SERVICES.index(info.service), info.only_named, -info.speed, info.engine


def slots(records: Iterable[Record], service: str) -> tuple[int, int]:
    """Slots of all producers of a service, and how many of them were free when the records were
    signed. A producer with several engines counts once."""
    producers = {r.publisher: r for r in records if r.kind == service and not r.withdrawn}
    return sum(r.slots for r in producers.values()), sum(r.idle for r in producers.values())


def _merged(records: Sequence[Record], voices: Voices) -> EngineInfo:
    """One engine, merged from the records of all producers that have it."""
    first = records[0]
    models = [model for record in records for model in record.models]
    spoken: dict[str, str] = {}
    if first.kind == TTS:
        mine = [voice for voice, engine in voices.found if engine == first.engine]
        models += mine
        spoken = {voice: voices.languages.get((voice, first.engine), "") for voice in mine}
    any_language = any(not record.languages for record in records)
    languages = [language for record in records for language in record.languages]
    return EngineInfo(
        first.kind,
        first.backend,
        first.engine,
        tuple(dict.fromkeys(models)),
        () if any_language else tuple(dict.fromkeys(languages)),
        max(record.speed for record in records),
        first.translates,
        first.only_named,
        only_listed=bool(models) or not any(record.more for record in records),
        voice_languages=spoken,
    )
