"""What a gateway says that its mesh can do."""

from typing import Any

import pytest

from nodes.gateway.mesh_engines import engines_of, slots
from privox_dht.errors import RequestRejected
from privox_dht.records import Record
from privox_dht.speech_api.model_selection import select
from privox_dht.voices import Voices


def record(who: int, kind: str, engine: str, **more: Any) -> Record:
    given = {"slots": 2, "idle": 1, **more}
    return Record(bytes([who]) * 32, b"mesh" * 2, kind, engine=engine, **given)


def test_an_engine_of_several_producers_is_one_with_all_that_they_have() -> None:
    (info,) = engines_of(
        [
            record(1, "stt", "whisper", models=("tiny",), languages=("en",), speed=2.0),
            record(2, "stt", "whisper", models=("tiny", "base"), languages=("de",), speed=9.0),
        ]
    )
    assert info.models == ("tiny", "base")
    assert info.languages == ("en", "de")
    assert info.speed == 9.0


def test_any_language_of_one_is_any_language_of_all() -> None:
    (info,) = engines_of(
        [record(1, "stt", "whisper", languages=("en",)), record(2, "stt", "whisper")]
    )
    assert info.languages == ()


def test_what_has_gone_and_what_is_no_speech_is_left_out() -> None:
    assert not engines_of([record(1, "stt", "whisper", withdrawn=True), record(2, "farm", "")])


def test_the_fastest_comes_first_and_what_must_be_named_last() -> None:
    found = engines_of(
        [
            record(1, "tts", "slow", speed=1.0),
            record(2, "tts", "echo", speed=99.0, only_named=True),
            record(3, "tts", "fast", speed=5.0),
            record(3, "stt", "ear"),
        ]
    )
    assert [info.engine for info in found] == ["ear", "fast", "slow", "echo"]


def test_voices_for_which_a_record_has_no_room_are_listed_once_they_are_known() -> None:
    full = record(1, "tts", "piper", models=("amy",), more=True)
    assert select(engines_of([full]), "tts", voice="joe"), "not listed, and perhaps there"
    told = Voices(
        {("amy", "piper"): ("p",), ("joe", "piper"): ("p",)}, {("joe", "piper"): "en"}, ()
    )
    listed = engines_of([full], told)[0]
    assert listed.models == ("amy", "joe")
    assert listed.voice_languages["joe"] == "en"


def test_an_engine_of_the_mesh_that_lists_no_models_takes_no_name_but_its_own() -> None:
    """Its records are looked for by the name, and found by nobody: the app would hear "busy"."""
    told = engines_of([record(1, "stt", "ear")])
    assert select(told, "stt", model="ear") == select(told, "stt") == told
    with pytest.raises(RequestRejected, match="no model 'gigantic' here; there is ear") as caught:
        select(told, "stt", model="gigantic")
    assert caught.value.status == 404
    more = engines_of([record(1, "stt", "ear", more=True)])
    assert select(more, "stt", model="gigantic") == more, "not listed, and perhaps there"


def test_slots_of_a_producer_with_two_engines_count_once() -> None:
    records = [
        record(1, "stt", "a"),
        record(1, "stt", "b"),
        record(2, "stt", "a", slots=5, idle=0),
        record(3, "tts", "c"),
    ]
    assert slots(records, "stt") == (7, 1)
