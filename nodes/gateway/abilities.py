"""What a mesh can do, from the records and voices that were found. Pure.

records, voices -> abilities     one for each engine that somebody has, with all that is known
                -> room          how many jobs of a service it can do at a time
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from privox_dht.records import Record
from privox_dht.speech import SERVICES, TTS, EngineInfo
from privox_dht.voices import Voices

NO_VOICES = Voices({}, {}, ())


def abilities_of(records: Sequence[Record], voices: Voices = NO_VOICES) -> list[EngineInfo]:
    """What can be asked for: engines of all producers, the fastest of a service first.

    A record lists a few models and may say that there are more: such an engine is listed a second
    time without any, which takes every name. No other does.
    """
    engines: dict[tuple[str, str, str, bool, bool], list[Record]] = {}
    for r in records:
        if r.kind in SERVICES and not r.withdrawn:
            key = (r.kind, r.backend, r.engine, r.translates, r.only_named)
            engines.setdefault(key, []).append(r)
    abilities = [_merged(some, voices) for some in engines.values()]
    abilities.sort(key=lambda a: (SERVICES.index(a.service), a.only_named, -a.speed, a.engine))
    unlisted = [
        replace(ability, models=(), only_listed=False)
        for ability in abilities
        if any(_is_more_than(ability, record) for record in records) and ability.models
    ]
    return [*abilities, *unlisted]


def room(records: Iterable[Record], service: str) -> int:
    """Slots of all producers of a service; one of several engines counts once."""
    return sum(_by_producer(records, service, "slots").values())


def idle(records: Iterable[Record], service: str) -> int:
    """Of these, the ones that were free when the records were signed."""
    return sum(_by_producer(records, service, "idle").values())


def _by_producer(records: Iterable[Record], service: str, what: str) -> dict[bytes, int]:
    return {
        record.publisher: getattr(record, what)
        for record in records
        if record.kind == service and not record.withdrawn
    }


def _merged(records: Sequence[Record], voices: Voices) -> EngineInfo:
    """One engine, as all who have it say."""
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
        spoken=spoken,
    )


def _is_more_than(ability: EngineInfo, record: Record) -> bool:
    """Whether a record of this engine has models that it does not list."""
    return record.more and (record.kind, record.backend, record.engine) == (
        ability.service,
        ability.backend,
        ability.engine,
    )
