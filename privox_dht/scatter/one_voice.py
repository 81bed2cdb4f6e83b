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


def with_one_voice(needs: Requirements, records: Sequence[Record]) -> Requirements:
    """Narrower needs, so that all producers that meet them speak alike; `needs` if there are none.

    Args:
        records: those that meet `needs`, best first.
    """
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.engine, _voice(needs, record)].append(record)
    if not groups:
        return needs
    engine, voice = max(groups, key=lambda key: _worth(needs, groups[key]))
    peers = tuple(record.peer_id for record in groups[engine, voice])
    needs = replace(needs, engine=engine)
    if needs.language and not _named(needs, groups[engine, voice][0]):
        return replace(needs, only=peers)
    return replace(needs, voice=voice)


def _voice(needs: Requirements, record: Record) -> str:
    """What it would be spoken with: the voice that was named, else the default, which is listed
    first."""
    return _named(needs, record) or (record.models[0] if record.models else "")


def _named(needs: Requirements, record: Record) -> str:
    """The voice that was named, as one of this producer's; "": none was."""
    engine, _, model = needs.model.rpartition(":")
    named = model if engine == record.engine or model in record.models else ""
    return model_names.voice(needs.voice, record.models) or named


def _worth(needs: Requirements, records: Sequence[Record]) -> tuple[bool, float]:
    preferred = any(record.peer_id.startswith(needs.prefer) for record in records if needs.prefer)
    speeds = (min(r.speed or UNKNOWN_SPEED, SPEED_CAP) * max(r.slots, 1) for r in records)
    return preferred, sum(speeds)
