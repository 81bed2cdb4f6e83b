"""Server-sent events, both ways; and what a stranger's events are believed to say."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privox_dht import limits
from privox_dht.errors import (
    BadMessage,
    EngineFailed,
    JobError,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)
from privox_dht.http.sse import HEARTBEAT_COMMENT, Events, event
from privox_dht.speech import AudioInfo, Segment, Word
from privox_dht.speech_api.openai_responses import (
    AUDIO_DELTA,
    AUDIO_DONE,
    TEXT_DELTA,
    TEXT_DONE,
    SpeechEvents,
    TranscriptionEvents,
    parse_verbose_json,
    segment_fields,
)

# A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def hear(**fields: Any) -> list[AudioInfo | Segment]:
    return list(TranscriptionEvents().take({"type": TEXT_DELTA, **fields}))


# -- the stream ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_events_are_read_as_they_were_written_however_cut(size: int) -> None:
    beat = HEARTBEAT_COMMENT
    stream = beat + event("a", text="Grüße\n\nan alle") + beat + beat + event("b", n=1)
    parser = Events()
    found = [e for at in range(0, len(stream), size) for e in parser.feed(stream[at : at + size])]
    assert found == [{"type": "a", "text": "Grüße\n\nan alle"}, {"type": "b", "n": 1}]


def test_an_event_is_one_line_of_data_with_its_type_inside() -> None:
    assert event("x.y", a=1) == b'event: x.y\ndata: {"type":"x.y","a":1}\n\n'


def test_other_dialects_are_read_too() -> None:
    stream = b'id: 7\r\nretry: 10\r\ndata:{"type":\r\ndata: "a"}\r\n\r\ndata: [DONE]\n\n'
    assert Events().feed(stream) == [{"type": "a"}]


def test_half_an_event_at_the_end_is_no_event() -> None:
    assert Events().feed(event("a")[:-1]) == []


def test_half_a_character_cannot_break_the_stream() -> None:
    assert Events().feed(event("a", text="\ud800"))[0]["text"] == "?"


@pytest.mark.parametrize(
    "stream",
    [b"data: {\n\n", b"data: 7\n\n", b"data: {}\n\n", b'data: {"type":7}\n\n', b"data: \xff\n\n"],
)
def test_what_is_no_event_is_a_bad_message(stream: bytes) -> None:
    with pytest.raises(BadMessage):
        Events().feed(stream)


def test_a_line_without_end_is_a_bad_message_before_it_fills_memory() -> None:
    parser = Events(most=1000)
    with pytest.raises(BadMessage, match="too long"):
        for _ in range(20):
            parser.feed(b"x" * 100)


def test_an_event_of_too_many_lines_is_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="too long"):
        Events(most=1000).feed(b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" * 100)


@UNHURRIED
@given(st.lists(st.binary(max_size=60), max_size=5))
def test_no_bytes_raise_anything_but_bad_message(pieces: list[bytes]) -> None:
    parser = Events()
    try:
        for piece in (b"data:", *pieces, b"\n\n"):
            parser.feed(piece)
    except BadMessage:
        pass


# -- a transcription -------------------------------------------------------------------------------


def test_a_delta_tells_the_length_or_a_segment() -> None:
    assert hear(delta="", seconds=2.5) == [AudioInfo(2.5)]
    words = [{"word": "hi", "start": 0.5, "end": 1, "probability": 0.5}]
    told = {"start": 0.5, "end": 1.5, "language": "en", "words": words}
    assert hear(delta=" hi", segment=told) == [
        Segment("hi", 0.5, 1.5, (Word("hi", 0.5, 1.0, 0.5),), "en")
    ]


def test_the_end_is_what_the_last_event_says() -> None:
    heard = TranscriptionEvents()
    assert list(heard.take({"type": "something.new"})) == []
    assert not heard.done
    assert list(heard.take({"type": TEXT_DONE, "text": "hi"})) == []
    assert heard.done


@pytest.mark.parametrize(
    "fields",
    [
        {"seconds": -1},
        {"seconds": "2"},
        {"seconds": True},
        {"seconds": 10**400},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"seconds": None},
        {"segment": 7, "delta": "x"},
        {"segment": {"start": 0}, "delta": "x"},
        {"segment": {"start": 0, "end": 1}},
        {"segment": {"start": 0, "end": 1, "words": 5}, "delta": "x"},
        {"segment": {"start": 0, "end": 1, "words": [{"word": "x"}]}, "delta": "x"},
    ],
)
def test_a_delta_of_another_shape_is_a_bad_message(fields: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        hear(**fields)


def test_control_characters_are_taken_out_of_words_and_scripts_are_left_alone() -> None:
    told = {"start": 0, "end": 1}
    assert isinstance(segment := hear(segment=told, delta="a\x1b[2Jb\x9b\ud800")[0], Segment)
    assert segment.text == "a[2Jb?"
    assert isinstance(segment := hear(segment=told, delta="क्‍ष 😀")[0], Segment)
    assert segment.text == "क्‍ष 😀"


def test_a_segment_never_ends_before_it_starts() -> None:
    assert isinstance(segment := hear(segment={"start": 5, "end": 4}, delta="x")[0], Segment)
    assert segment.end == 5


def test_segments_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_SEGMENTS", 3)
    heard, one = (
        TranscriptionEvents(),
        {"type": TEXT_DELTA, "delta": "", "segment": {"start": 0, "end": 1}},
    )
    for _ in range(3):
        list(heard.take(one))
    with pytest.raises(BadMessage):
        list(heard.take(one))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_audio", RequestRejected),
        (404, "model_not_found", RequestRejected),
        (503, "busy", ProducerBusy),
        (500, "failed", EngineFailed),
        (502, "lost", ProducerLost),
        ("?", None, EngineFailed),
        (200, "odd", EngineFailed),
    ],
)
def test_an_error_in_mid_stream_is_the_job_error_it_tells_of(
    status: Any, code: Any, kind: type[JobError]
) -> None:
    for told in ({"type": "error"}, {"type": "other"}):
        error = {**told, "status": status, "error": {"message": "so\x1b it is", "code": code}}
        for take in (lambda e: list(TranscriptionEvents().take(e)), SpeechEvents().take):
            with pytest.raises(kind, match="so  it is"):
                take(error)


# -- a whole answer --------------------------------------------------------------------------------


def test_verbose_json_is_a_length_and_segments() -> None:
    answer = {
        "duration": 2.0,
        "language": "en",
        "text": "a b",
        "segments": [{"start": 0, "end": 1, "text": " a"}, {"start": 1, "end": 2, "text": "b"}],
    }
    assert list(parse_verbose_json(answer)) == [
        AudioInfo(2.0),
        Segment("a", 0.0, 1.0, language="en"),
        Segment("b", 1.0, 2.0, language="en"),
    ]


def test_plain_json_is_one_segment() -> None:
    assert list(parse_verbose_json({"text": " all "})) == [
        AudioInfo(0.0),
        Segment(" all ", 0.0, 0.0),
    ]


@pytest.mark.parametrize("answer", [None, [], "x", {"segments": 1}, {"segments": [1]}])
def test_a_whole_answer_of_another_shape_is_a_bad_message(answer: object) -> None:
    with pytest.raises(BadMessage):
        list(parse_verbose_json(answer))


# -- speech ----------------------------------------------------------------------------------------


def delta(audio: object) -> Mapping[str, Any]:
    return {"type": AUDIO_DELTA, "audio": audio}


def test_audio_comes_piece_by_piece_until_the_end_says_how_much_it_was() -> None:
    spoken = SpeechEvents()
    assert spoken.take(delta(base64.b64encode(b"\x00\xff").decode())) == b"\x00\xff"
    assert spoken.take({"type": AUDIO_DONE, "bytes": 2}) == b""
    assert spoken.done


@pytest.mark.parametrize("audio", ["!!!", "AAA", "Ä", 5, None, ["AAAA"]])
def test_audio_that_is_not_base64_is_a_bad_message(audio: object) -> None:
    with pytest.raises(BadMessage):
        SpeechEvents().take(delta(audio))


@pytest.mark.parametrize("words", [(), (Word("grüße", 0.25, 0.5, 0.75), Word("dich", 0.5, 1.0))])
def test_a_segment_is_read_as_it_was_written(words: tuple[Word, ...]) -> None:
    segment = Segment("grüße dich", 0.25, 1.0, words, "de")
    assert hear(delta=segment.text, segment=segment_fields(segment)) == [segment]


def test_an_end_that_counts_differently_is_a_bad_message() -> None:
    with pytest.raises(BadMessage, match="missing"):
        SpeechEvents().take({"type": AUDIO_DONE, "bytes": 9})


def test_audio_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWER_AUDIO", 5)
    with pytest.raises(BadMessage, match="too much"):
        SpeechEvents().take(delta(base64.b64encode(b"123456").decode()))


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["start", "end", "words", "word", "text"]), inner)
    ),
    max_leaves=8,
)


@UNHURRIED
@given(
    st.sampled_from([TEXT_DELTA, TEXT_DONE, AUDIO_DELTA, "error"]),
    st.dictionaries(
        st.sampled_from(["delta", "segment", "seconds", "audio", "error", "status"]), _ANY
    ),
)
def test_no_event_raises_anything_but_what_is_said(kind: str, fields: dict[str, Any]) -> None:
    told = json.loads(json.dumps({"type": kind, **fields}))
    for take in (
        lambda e: list(TranscriptionEvents().take(e)),
        SpeechEvents().take,
        lambda e: list(parse_verbose_json(e)),
    ):
        try:
            take(told)
        except (BadMessage, JobError):
            pass
