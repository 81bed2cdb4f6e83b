"""The voices of a mesh, from records and producers' lists. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from privox_dht.records import Record

VoiceAnswer = Sequence[tuple[str, str, str]]  # a producer's list: voice, engine, language or ""


@dataclass(frozen=True, slots=True)
class Voices:
    """The voices that could be found."""

    found: Mapping[tuple[str, str], tuple[str, ...]]  # (voice, engine): peer ids, in order
    languages: Mapping[tuple[str, str], str]  # (voice, engine): a BCP 47 tag, "" if unknown
    silent: tuple[str, ...]  # peer ids of producers that have more and did not list them


def voices_of(records: Sequence[Record], answers: Sequence[VoiceAnswer | None]) -> Voices:
    """All voices of `records`.

    Args:
        records: of producers that speak; each lists a few voices, without their languages.
        answers: the lists of the first of them, as they answered; None: no answer.
    """
    found: dict[tuple[str, str], list[str]] = {}
    languages: dict[tuple[str, str], str] = {}
    answered: set[str] = set()
    for record, answer in zip_longest(records, answers):
        if answer:
            answered.add(record.peer_id)
        own = {voice: "" for voice in record.models}
        own |= {v: language for v, engine, language in answer or () if engine == record.engine}
        for voice, language in own.items():
            key = voice, record.engine
            found.setdefault(key, []).append(record.peer_id)
            languages[key] = languages.get(key, "") or language
    silent = {record.peer_id for record in records if record.more} - answered
    return Voices(
        {key: tuple(found[key]) for key in sorted(found)}, languages, tuple(sorted(silent))
    )
