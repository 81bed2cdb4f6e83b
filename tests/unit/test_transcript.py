"""A transcript as json, verbose_json, text, srt and vtt."""

import json

import pytest

from privox_dht.caption_layout import CaptionLayout
from privox_dht.speech import TEXT_FORMATS, Segment, Transcript, Word
from privox_dht.transcript import CONTENT_TYPES, GROWING, GrowingText, gather, render

HELLO = Segment(
    " Hello there. ", 0.0, 1.5, (Word("Hello", 0.0, 0.7, 0.91), Word("there.", 0.7, 1.5))
)
BYE = Segment("Bye <now> & then", 3661.0421, 3662.9999, language="en")
WHOLE = gather([HELLO, BYE], 3700.25)


def test_every_format_has_a_content_type_and_can_be_rendered() -> None:
    for format in TEXT_FORMATS:
        assert CONTENT_TYPES[format]
        assert "Hello there." in render(WHOLE, format)


def test_an_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        render(WHOLE, "docx")


def test_json_holds_the_text_and_nothing_else() -> None:
    assert json.loads(render(WHOLE, "json")) == {"text": "Hello there. Bye <now> & then"}


def test_text_is_one_line() -> None:
    assert render(WHOLE, "text") == "Hello there. Bye <now> & then\n"


def test_srt_numbers_its_cues_and_writes_hours() -> None:
    assert render(WHOLE, "srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n"
        "\n"
        "2\n01:01:01,042 --> 01:01:03,000\nBye <now> & then\n"
    )


def test_vtt_escapes_what_would_be_markup() -> None:
    assert render(WHOLE, "vtt") == (
        "WEBVTT\n"
        "\n00:00:00.000 --> 00:00:01.500\nHello there.\n"
        "\n01:01:01.042 --> 01:01:03.000\nBye &lt;now&gt; &amp; then\n"
    )


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_a_text_cannot_break_out_of_its_cue(format: str) -> None:
    tricky = gather([Segment("one\n\n2\n00:00:00,000 --> 00:00:01,000\r\ntwo", 0.0, 1.0)], 1.0)
    rendered = render(tricky, format)
    assert rendered.count("-->") == 1
    assert "\n\n2\n" not in rendered


@pytest.mark.parametrize("format", ["srt", "vtt"])
def test_a_segment_without_words_makes_no_cue(format: str) -> None:
    assert "-->" not in render(gather([Segment(" \n ", 0.0, 1.0)], 1.0), format)


def test_a_cue_never_ends_before_it_starts() -> None:
    backwards = gather([Segment("so", 2.0, 1.0), Segment("what", -1.0, 0.5)], 2.0)
    assert "00:00:02,000 --> 00:00:02,000" in render(backwards, "srt")
    assert "00:00:00,000 --> 00:00:00,500" in render(backwards, "srt")


def test_verbose_json_lists_segments_with_the_fields_typed_clients_insist_on() -> None:
    told = json.loads(render(WHOLE, "verbose_json"))
    assert told["task"] == "transcribe"
    assert told["duration"] == 3700.25
    assert told["language"] == "en"
    assert [s["id"] for s in told["segments"]] == [0, 1]
    assert set(told["segments"][0]) == {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob",
        "compression_ratio", "no_speech_prob",
    }  # fmt: skip
    assert "words" not in told


def test_verbose_json_lists_words_when_asked_and_segments_only_when_asked() -> None:
    told = json.loads(render(WHOLE, "verbose_json", words=True, segments=False))
    assert "segments" not in told
    assert told["words"][0] == {"word": "Hello", "start": 0.0, "end": 0.7, "probability": 0.91}


def test_verbose_json_says_that_it_translated() -> None:
    assert json.loads(render(WHOLE, "verbose_json", translated=True))["task"] == "translate"


def test_extra_fields_stand_in_both_json_formats() -> None:
    whole = Transcript((), 1.0, extra={"engine": "echo"})
    assert json.loads(render(whole, "json"))["engine"] == "echo"
    assert json.loads(render(whole, "verbose_json"))["engine"] == "echo"


def test_no_speech_at_all_renders_in_every_format() -> None:
    nothing = gather([], 0.0)
    assert json.loads(render(nothing, "json")) == {"text": ""}
    assert render(nothing, "srt") == ""
    assert render(nothing, "vtt") == "WEBVTT\n"
    assert json.loads(render(nothing, "verbose_json"))["segments"] == []


def test_text_in_any_script_stays_readable_in_json() -> None:
    assert "日本語 ‍😀" in render(gather([Segment("日本語 ‍😀", 0, 1)], 1.0), "json")


def test_the_language_is_the_first_that_an_engine_named_or_the_one_asked_for() -> None:
    assert gather([HELLO, BYE], 1.0, "de").language == "en"
    assert gather([HELLO], 1.0, "de").language == "de"


@pytest.mark.parametrize("format", GROWING)
@pytest.mark.parametrize("layout", [None, CaptionLayout(12, 1)])
def test_a_transcript_that_grows_is_in_the_end_the_whole_one(
    format: str, layout: CaptionLayout | None
) -> None:
    growing = GrowingText(format, layout)
    pieces = [growing.piece(segment) for segment in WHOLE.segments]
    assert all(pieces)
    assert "".join(pieces) + growing.end() == render(WHOLE, format, layout=layout)


@pytest.mark.parametrize("format", GROWING)
def test_each_piece_of_a_growing_transcript_is_whole_cues(format: str) -> None:
    growing = GrowingText(format)
    assert growing.piece(HELLO) == render(gather([HELLO], 1.5), format).rstrip("\n") + (
        "" if format == "text" else "\n"
    )
