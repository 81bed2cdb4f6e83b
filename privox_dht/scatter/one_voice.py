"""Which engine and which voice speak all of a long text. Pure.

    records   who could speak any of it           by engine and voice
    chosen    the voice that is spoken fastest    all its producers' slots and speeds together
    asked     that engine, and that voice by its name

Where a language is asked for and no voice, an engine chooses the voice. Two that have the same
default choose the same; who comes later is not asked then.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from privox_dht import model_names
from privox_dht.dispatch.selection import SPEED_CAP, UNKNOWN_SPEED, Requirements
from privox_dht.records import Record


def with_one_voice(wish: Requirements, records: Sequence[Record]) -> Requirements:
    """What to ask for, so that all who fit it speak alike; `wish` itself if nobody fits.

    Args:
        records: those who fit `wish`, best first.
    """
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.engine, _voice(wish, record)].append(record)
    if not groups:
        return wish
    engine, voice = max(groups, key=lambda key: _worth(wish, groups[key]))
    peers = tuple(record.peer_id for record in groups[engine, voice])
    wish = replace(wish, engine=engine)
    if wish.language and not _named(wish, groups[engine, voice][0]):
        return replace(wish, only=peers)
    return replace(wish, voice=voice)


def _voice(wish: Requirements, record: Record) -> str:
    """What it would be spoken with: the voice that was named, else the default, which is listed
    first."""
    return _named(wish, record) or (record.models[0] if record.models else "")


def _named(wish: Requirements, record: Record) -> str:
    """The voice that was named, as one of this producer's; "": none was."""
    engine, _, model = wish.model.rpartition(":")
    named = model if engine == record.engine or model in record.models else ""
    return model_names.voice(wish.voice, record.models) or named


def _worth(wish: Requirements, records: Sequence[Record]) -> tuple[bool, float]:
    preferred = any(record.peer_id.startswith(wish.prefer) for record in records if wish.prefer)
    speeds = (min(r.speed or UNKNOWN_SPEED, SPEED_CAP) * max(r.slots, 1) for r in records)
    return preferred, sum(speeds)
