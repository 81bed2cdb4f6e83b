"""Who is asked for all of its voices, by which of its addresses, and when none answers."""

import asyncio
from typing import Any

import pytest

from privox_dht import limits
from privox_dht.dispatch.voice_search import find_voices
from privox_dht.errors import ProducerLost
from privox_dht.records import Record
from privox_dht.voices import VoiceAnswer

LONG_LIST = [("amy", "piper", "en-US"), ("joe", "piper", "en-US")]


def speaker(name: str, *, more: bool = True) -> Record:
    key = name.encode().ljust(32)
    return Record(key, b"m" * 8, "tts", engine="piper", models=("amy",), more=more)


class Asking:
    """Both the dispatcher that reaches producers by their addresses, and the client that asks
    there. What stands at an address is an answer, or what is raised instead."""

    def __init__(self, **by_address: Any) -> None:
        self.by_address = by_address
        self.asked: list[str] = []

    async def probe_routes(self, record: Record, dials: Any) -> list[tuple[None, str]]:
        name = record.publisher.rstrip().decode()
        return [(None, address) for address in self.by_address if address.startswith(name)]

    async def voices(self, endpoint: str) -> VoiceAnswer:
        self.asked.append(endpoint)
        answer: Any = self.by_address[endpoint]
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return list(answer)


async def searched(asking: Any, *records: Record) -> Any:
    return await find_voices(records, asking, asking)


async def test_the_next_address_is_asked_where_one_is_lost_or_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "VOICES_TIMEOUT", 0.01)
    asking = Asking(a1=ProducerLost("gone"), a2=None, a3=LONG_LIST, a4=LONG_LIST)
    voices = await searched(asking, speaker("a"))
    assert asking.asked == ["a1", "a2", "a3"]
    assert [voice for voice, _ in voices.found] == ["amy", "joe"] and voices.silent == ()


async def test_of_a_producer_that_gives_no_list_its_record_is_all_there_is() -> None:
    a, b = speaker("a"), speaker("b")
    voices = await searched(Asking(a1=ProducerLost("gone")), a, b)
    assert voices.found == {("amy", "piper"): (a.peer_id, b.peer_id)}
    assert set(voices.silent) == {a.peer_id, b.peer_id}


async def test_no_more_are_asked_than_it_may_take_and_first_those_that_have_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "VOICES_ASKED", 1)
    asking = Asking(a1=LONG_LIST, b1=LONG_LIST)
    await searched(asking, speaker("a", more=False), speaker("b"))
    assert asking.asked == ["b1"]
