"""Which engine and which voice speak all of a long text."""

from privox_dht.dispatch.selection import Requirements, matches
from privox_dht.records import Record
from privox_dht.scatter.one_voice import with_one_voice


def record(number: int, engine: str, *voices: str, speed: float = 10.0, slots: int = 1) -> Record:
    return Record(
        bytes([number]) * 32, b"m" * 8, "tts", engine=engine, models=voices, speed=speed,
        slots=slots, idle=slots, languages=("en",),
    )  # fmt: skip


PIPER = [record(n, "piper", "en_US-joe", speed=8) for n in range(3)]
OTHER = record(5, "piper", "en_US-amy", speed=9)
ESPEAK = [record(6, "espeak-ng", "en-us+edward", "de", "fr"), record(7, "espeak-ng", "de", "fr")]
ALL = [*PIPER, OTHER, *ESPEAK]


def fitting(needs: Requirements) -> list[Record]:
    alike = with_one_voice(needs, [r for r in ALL if matches(r, needs)])
    return [r for r in ALL if matches(r, alike)]


def test_it_is_the_voice_that_is_spoken_fastest_by_all_its_producers_together() -> None:
    assert fitting(Requirements("tts")) == PIPER
    assert with_one_voice(Requirements("tts"), ALL).voice == "en_US-joe"


def test_a_voice_that_is_named_is_that_of_all() -> None:
    assert fitting(Requirements("tts", voice="en_US-amy")) == [OTHER]
    assert fitting(Requirements("tts", voice="de")) == ESPEAK
    assert fitting(Requirements("tts", model="espeak-ng:fr")) == ESPEAK


def test_an_engine_alone_means_the_default_voice_of_one_of_its_producers() -> None:
    alike = with_one_voice(Requirements("tts", model="espeak-ng"), ESPEAK)
    assert alike.voice in ("en-us+edward", "de")


def test_where_the_engine_chooses_by_language_its_defaults_must_be_alike() -> None:
    needs = Requirements("tts", model="espeak-ng", language="en")
    alike = with_one_voice(needs, ESPEAK)
    assert alike.voice == ""
    assert len([r for r in ALL if matches(r, alike)]) == 1


def test_names_of_openais_mean_the_default() -> None:
    needs = Requirements("tts", voice="alloy", model="tts-1")
    assert with_one_voice(needs, ALL).voice == "en_US-joe"


def test_those_who_are_preferred_come_first() -> None:
    assert fitting(Requirements("tts", prefer=(OTHER.peer_id,))) == [OTHER]


def test_nobody_changes_nothing() -> None:
    needs = Requirements("tts")
    assert with_one_voice(needs, []) is needs
