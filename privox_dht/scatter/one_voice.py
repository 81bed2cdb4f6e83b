"""Which engine and which voice speak all of a long text. Pure.

    records   producers that could speak it        grouped by engine and voice
    chosen    the group with the highest speed     slots times speed, added up
    needs     that engine, and that voice by name

If a language is named and no voice, the engine chooses the voice. Producers with the same default
voice choose the same one; then only the producers known now are asked.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from privox_dht import model_names
from privox_dht.dispatch.selection import SPEED_CAP, UNKNOWN_SPEED, Requirements
from privox_dht.records import Record


def with_one_voice(needs: Requirements, records: Sequence[Record]) -> Requirements:
    """Narrower needs, so that all producers that meet them use one voice; `needs` itself if there
    are no records.

    Args:
        records: those that meet `needs`, best first.
    """
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.engine, _voice(needs, record)].append(record)
    if not groups:
        return needs
    engine, voice = max(groups, key=lambda key: _preference(needs, groups[key]))
    peers = tuple(record.peer_id for record in groups[engine, voice])
    needs = replace(needs, engine=engine)
    if needs.language and not _named(needs, groups[engine, voice][0]):
        return replace(needs, only=peers)
    return replace(needs, voice=voice)


def _voice(needs: Requirements, record: Record) -> str:
    """The voice that this producer would use: the one that was named, else its default, which is
    listed first."""
    return _named(needs, record) or (record.models[0] if record.models else "")


def _named(needs: Requirements, record: Record) -> str:
    """The voice that was named, by its name at this producer; "": none was named."""
    engine, _, model = needs.model.rpartition(":")
    named = model if engine == record.engine or model in record.models else ""
    return model_names.voice(needs.voice, record.models) or named


def _preference(needs: Requirements, records: Sequence[Record]) -> tuple[bool, float]:
    preferred = any(record.peer_id.startswith(needs.prefer) for record in records if needs.prefer)
    speeds = (min(r.speed or UNKNOWN_SPEED, SPEED_CAP) * max(r.slots, 1) for r in records)
    return preferred, sum(speeds)
