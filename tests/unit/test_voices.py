"""Which voices a mesh has."""

from privox_dht.records import Record
from privox_dht.voices import voices_of


def speaker(name: str, *models: str, more: bool = False, engine: str = "piper") -> Record:
    return Record(
        publisher=name.encode().ljust(32), mesh=b"m" * 8, kind="tts", engine=engine,
        models=models, more=more,
    )  # fmt: skip


A, B = speaker("a", "amy", more=True), speaker("b", "amy", "joe")


def test_voices_are_those_of_records_and_those_told_by_producers() -> None:
    voices = voices_of([A, B], [[("ryan", "piper", "en-GB"), ("amy", "piper", "en-US")], None])
    assert voices.found == {
        ("amy", "piper"): (A.peer_id, B.peer_id),
        ("joe", "piper"): (B.peer_id,),
        ("ryan", "piper"): (A.peer_id,),
    }
    assert voices.languages == {
        ("amy", "piper"): "en-US", ("joe", "piper"): "", ("ryan", "piper"): "en-GB"
    }  # fmt: skip
    assert voices.silent == ()


def test_whoever_has_more_and_does_not_say_which_is_silent() -> None:
    assert voices_of([A, B], [None]).silent == (A.peer_id,)


def test_voices_of_another_engine_of_a_node_are_not_those_of_this_record() -> None:
    assert voices_of([B], [[("slt", "pico", "en")]]).found.keys() == {
        ("amy", "piper"), ("joe", "piper")
    }  # fmt: skip


def test_a_language_that_one_producer_tells_is_the_voices_own() -> None:
    answers = [[("amy", "piper", "")], [("amy", "piper", "de")]]
    assert voices_of([A, B], answers).languages["amy", "piper"] == "de"
