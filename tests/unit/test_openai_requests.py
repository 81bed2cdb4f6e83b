"""From form fields and JSON to what is asked."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privox_dht.errors import RequestRejected
from privox_dht.speech import SpeechRequest, TranscriptionRequest
from privox_dht.speech_api import openai_requests

# A busy machine is no reason to fail.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def speech(**fields: Any) -> openai_requests.SpeechCall:
    return openai_requests.speech(json.dumps(fields).encode())


def test_nothing_but_a_file_asks_for_plain_json_in_any_language() -> None:
    wanted = openai_requests.transcription([], translate=False)
    assert wanted == openai_requests.TranscriptionCall(TranscriptionRequest(), "json", False, True)


def test_every_field_finds_its_place() -> None:
    wanted = openai_requests.transcription(
        [
            ("model", "small"),
            ("language", "pt-BR"),
            ("prompt", "Ada, Alan"),
            ("response_format", "verbose_json"),
            ("temperature", "0.4"),
            ("stream", "True"),
            ("timestamp_granularities[]", "word"),
            ("include[]", "logprobs"),
            ("instructions", "be nice"),
        ],
        translate=True,
    )
    request = TranscriptionRequest("small", "pt-BR", True, "Ada, Alan", 0.4, True, streamed=True)
    assert wanted == openai_requests.TranscriptionCall(request, "verbose_json", True, False)


def test_openai_names_are_passed_on_for_whoever_knows_what_there_is() -> None:
    assert (
        openai_requests.transcription([("model", "whisper-1")], translate=False).request.model
        == "whisper-1"
    )
    request = speech(model="gpt-4o-mini-tts", voice="alloy", input="hi").request
    assert (request.model, request.voice) == ("gpt-4o-mini-tts", "alloy")


def test_segments_and_words_can_both_be_asked_for() -> None:
    fields = [("timestamp_granularities[]", "word"), ("timestamp_granularities[]", "segment")]
    wanted = openai_requests.transcription(fields, translate=False)
    assert wanted.segments and wanted.request.words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_format", "docx"),
        ("temperature", "1.5"),
        ("temperature", "warm"),
        ("temperature", "nan"),
        ("stream", "maybe"),
        ("language", "english please"),
        ("language", "e"),
        ("timestamp_granularities[]", "phoneme"),
        ("model", "x" * 200),
        ("model", "a\nb"),
    ],
)
def test_a_field_without_meaning_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(RequestRejected) as caught:
        openai_requests.transcription([(name, value)], translate=False)
    assert caught.value.status == 400
    assert caught.value.param == name.removesuffix("[]")


def test_subtitles_cannot_be_streamed() -> None:
    with pytest.raises(RequestRejected, match="json, text, verbose_json"):
        openai_requests.transcription(
            [("stream", "true"), ("response_format", "srt")], translate=False
        )


def test_a_field_that_stands_twice_is_refused() -> None:
    with pytest.raises(RequestRejected, match="twice"):
        openai_requests.transcription([("model", "a"), ("model", "b")], translate=False)


def test_speech_fields_find_their_place() -> None:
    wanted = speech(
        input="Hello",
        model="piper",
        voice="amy",
        language="en-GB",
        speed=1.5,
        response_format="flac",
        stream_format="sse",
        instructions="softly",
    )
    assert wanted.request == SpeechRequest("Hello", "amy", "en-GB", "piper", 1.5)
    assert (wanted.format, wanted.events) == ("flac", True)


def test_a_voice_may_be_an_object_with_an_id() -> None:
    assert speech(input="x", voice={"id": "amy"}).request.voice == "amy"


def test_fields_that_are_null_are_as_if_left_out() -> None:
    assert speech(input="x", voice=None, speed=None, response_format=None).format == ""


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": " \n "}, "input"),
        ({"input": 5}, "input"),
        ({"input": "\ud800"}, "input"),
        ({"input": "x", "speed": 0.1}, "speed"),
        ({"input": "x", "speed": True}, "speed"),
        ({"input": "x", "speed": [1]}, "speed"),
        ({"input": "x", "speed": 10**400}, "speed"),
        ({"input": "x", "response_format": "midi"}, "response_format"),
        ({"input": "x", "stream_format": "smoke"}, "stream_format"),
        ({"input": "x", "voice": ["amy"]}, "voice"),
        ({"input": "x", "model": 7}, "model"),
        ({"input": "x", "language": "EN us"}, "language"),
    ],
)
def test_a_speech_field_without_meaning_is_refused_by_name(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestRejected) as caught:
        speech(**fields)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_the_longest_text_is_taken_and_one_character_more_is_not() -> None:
    assert speech(input="é" * 4096).request.text
    with pytest.raises(RequestRejected) as caught:
        speech(input="é" * 4097)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"input": ' + b"[" * 60_000, b"1" * 5000],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(RequestRejected) as caught:
        openai_requests.speech(body)
    assert caught.value.code == "bad_json"


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@UNHURRIED
@given(
    st.dictionaries(
        st.sampled_from(
            ["input", "voice", "model", "speed", "language", "response_format", "stream_format"]
        ),
        _ANY,
    )
)
def test_no_json_raises_anything_but_refused(fields: dict[str, Any]) -> None:
    try:
        openai_requests.speech(json.dumps(fields).encode())
    except RequestRejected:
        pass


@UNHURRIED
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["model", "language", "stream", "temperature", "response_format", "x"]),
            st.text(max_size=20),
        )
    )
)
def test_no_form_raises_anything_but_refused(fields: list[tuple[str, str]]) -> None:
    try:
        openai_requests.transcription(fields, translate=False)
    except RequestRejected:
        pass
