"""Texts as espeak-ng can take them: what is put in, and what is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.engines.espeak_text import MAX_DOTS, MAX_MARKS, MAX_RUN, make_safe


@pytest.mark.parametrize(
    "text",
    [
        "Good day, it's 10:30 on 24.12.2026 (a Thursday)...",
        "https://example.org/a/page",
        "Donaudampfschifffahrtsgesellschaft",
        "मैं हिन्दी बोलता हूँ",
        "a\nb\tc",
        "",
    ],
)
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert make_safe(text) == text


def test_a_long_run_gets_spaces_and_loses_nothing() -> None:
    assert make_safe("a" * 1000).replace(" ", "") == "a" * 1000
    assert max(map(len, make_safe("a" * 1000).split())) == MAX_RUN


def test_marks_are_few_between_two_spaces() -> None:
    for run in make_safe("A." * 193).split():
        assert run.count(".") <= MAX_MARKS


def test_a_braille_pattern_keeps_the_six_dots_of_a_letter() -> None:
    assert make_safe("\u2813\u28ff\u28fe") == "\u2813\u283f\u283e"


@pytest.mark.parametrize("before", ["(", '"', ".", "\u2026", "\u00a0", "\u200d", "", " "])
def test_a_hyphen_that_begins_a_word_is_dropped(before: str) -> None:
    assert make_safe(f"{before}-\u0916\u0922") == f"{before} \u0916\u0922"


@pytest.mark.parametrize("sign", ["\u0901", "\u200d"])
def test_a_hyphen_before_a_sign_of_a_word_is_dropped_too(sign: str) -> None:
    assert make_safe(f"\u0965-{sign}\u0916\u0922") == f"\u0965 {sign}\u0916\u0922"
    assert make_safe(f"({sign}-\u0916\u0922") == f"({sign} \u0916\u0922"


@pytest.mark.parametrize(
    "text", ["-5", "(-5)", "well-known", "\u0927\u0940-\u0927", "a - b", "7-a"]
)
def test_a_hyphen_within_a_word_and_a_minus_are_kept(text: str) -> None:
    assert make_safe(text) == text


def test_dots_between_letters_are_few_in_a_clause() -> None:
    said = make_safe("b." * 60 + "b, " + "c." * 10 + "c")
    assert said.count(".") == MAX_DOTS + 10
    assert said.replace(" ", "").replace(".", "") == "b" * 61 + "," + "c" * 11


def test_the_same_mark_stands_three_times_in_a_row_at_most() -> None:
    assert make_safe("wait......... what????") == "wait... what???"


@given(st.text(max_size=300))
def test_whatever_comes_no_run_is_long(text: str) -> None:
    assert all(len(run) <= MAX_RUN + 5 for run in make_safe(text).split())


def test_a_picture_before_a_letter_is_a_word_by_itself() -> None:
    assert make_safe("\u24c2\u105d") == "\u24c2 \u105d"
    assert make_safe("20 \u00b0C \u2600!") == "20 \u00b0C \u2600!"


def test_dots_before_signs_are_few_in_a_clause_too() -> None:
    assert make_safe(".\u0949" * 100).count(".") == MAX_DOTS
