"""Captions that fit a screen."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privox_dht.caption_layout import Caption, CaptionLayout, captions, columns
from privox_dht.speech import Segment, Transcript, Word
from privox_dht.transcript import render

LONG = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age"
    " of foolishness, it was the epoch of belief, it was the epoch of incredulity."
)


def laid_out(
    text: str, *, start: float = 0.0, end: float = 10.0,
    words: Sequence[Word] = (), width: int = 42, lines: int = 2,
) -> list[Caption]:  # fmt: skip
    return list(captions(Segment(text, start, end, tuple(words)), CaptionLayout(width, lines)))


def test_what_fits_on_one_line_stays_as_it_is() -> None:
    assert laid_out(" Good  day. ", end=1.5) == [Caption(0.0, 1.5, ("Good day.",))]


def test_a_segment_without_words_has_no_caption() -> None:
    assert laid_out("  ") == []


def test_a_long_segment_becomes_several_captions_of_two_even_lines() -> None:
    shown = laid_out(LONG)
    assert [len(caption.lines) for caption in shown] == [2, 2, 2]
    assert all(columns(line) <= 42 for caption in shown for line in caption.lines)
    assert " ".join(line for caption in shown for line in caption.lines) == LONG
    assert min(columns(line) for caption in shown for line in caption.lines) > 15


def test_two_lines_are_about_as_long() -> None:
    (shown,) = laid_out("Nobody knows how many stars there are in the sky")
    assert shown.lines == ("Nobody knows how many", "stars there are in the sky")


def test_without_times_of_words_the_time_is_shared_out_by_characters() -> None:
    first, second = laid_out("a" * 10 + " " + "b" * 10, end=4.0, width=10, lines=1)
    assert (first.start, first.end, second.start, second.end) == (0.0, 2.0, 2.0, 4.0)


def test_with_times_of_words_no_word_is_shown_before_it_is_spoken() -> None:
    words = [Word(" one", 0.2, 0.5), Word(" two,", 0.6, 0.9), Word(" three", 5.0, 6.0)]
    first, second = laid_out("one two, three", words=words, width=8, lines=1, end=6.5)
    assert (first.lines, first.start, first.end) == (("one two,",), 0.0, 0.9)
    assert (second.lines, second.start, second.end) == (("three",), 5.0, 6.5)


def test_words_that_are_not_those_of_the_text_are_not_believed() -> None:
    words = [Word("something", 7.0, 8.0), Word("else", 8.0, 9.0)]
    assert laid_out("aaaa bbbb", words=words, width=4, lines=1)[0].end == 5.0


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert laid_out("Donaudampfschiff", width=7)[0].lines == ("Donauda", "mpfschi")


def test_a_language_without_spaces_is_cut_between_characters_that_count_twice() -> None:
    shown = laid_out("今日はとても良い天気ですね。明日も晴れるといいですね。", width=20)
    assert shown[0].lines[0].startswith("今日は")
    assert all(columns(line) <= 20 for caption in shown for line in caption.lines)
    assert not any(line.startswith("。") for caption in shown for line in caption.lines)


@given(
    st.text(alphabet=" abc,.語。é\u0301\U0001f600\n", max_size=200),
    st.integers(4, 50),
    st.integers(1, 4),
)
def test_nothing_is_lost_nothing_is_too_long_and_time_goes_forward(
    text: str, width: int, lines: int
) -> None:
    shown = laid_out(text, width=width, lines=lines)
    together = "".join(line for caption in shown for line in caption.lines)
    assert together.replace(" ", "") == "".join(text.split())
    assert all(len(caption.lines) <= lines for caption in shown)
    assert all(columns(line) <= width for caption in shown for line in caption.lines)
    times = [time for caption in shown for time in (caption.start, caption.end)]
    assert times == sorted(times)
    assert all(line == line.strip() and line for caption in shown for line in caption.lines)


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("srt", "1\n00:00:00,000 --> 00:00:02,250\naaaa\nbb ->\n\n2\n00:00:02,250"),
        ("vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.250\naaaa\nbb --&gt;\n\n00:00:02.250"),
    ],
)
def test_subtitles_are_laid_out_as_asked(format: str, expected: str) -> None:
    whole = Transcript((Segment("aaaa bb --> cccc ddd", 0.0, 4.0),), 4.0)
    shown = render(whole, format, layout=CaptionLayout(6, 2))
    assert shown.startswith(expected)
