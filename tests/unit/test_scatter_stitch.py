"""One transcript from pieces: at joints, across languages, in order."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privox_dht.scatter.cut import OVERLAP, RATE, Piece
from privox_dht.scatter.stitch import Stitcher, join, main_language
from privox_dht.speech import Segment, Word

NAMES = ["oak", "elm", "ash", "fir", "yew", "bay", "box", "fig", "nut", "tea", "rye", "oat"]


def segment(*words: tuple[str, float, float], timed: bool = True, language: str = "") -> Segment:
    text = " ".join(word for word, _, _ in words)
    return Segment(
        text, words[0][1], words[-1][2], tuple(Word(*w) for w in words) if timed else (), language
    )


def texts(segments: list[Segment]) -> str:
    return " ".join(s.text for s in segments)


def test_a_word_belongs_to_the_piece_in_which_its_middle_lies() -> None:
    first = segment(("we", 8.0, 8.2), ("meet", 9.0, 9.4), ("at", 10.1, 10.3), ("no", 11.6, 12.0))
    second = segment(("et", 9.2, 9.4), ("at", 10.1, 10.3), ("noon", 11.6, 12.1))
    left, right = join([first], [second], 10.0)
    assert (texts(left), texts(right)) == ("we meet", "at noon")
    assert left[0].end == 9.4
    assert right[0].start == 10.1


def test_a_word_on_which_both_differ_by_a_moment_is_told_once() -> None:
    """By its middle it belonged to both."""
    first = segment(("one", 8.0, 8.5), ("two", 9.8, 10.1), ("three", 10.6, 11.0))
    second = segment(("two", 9.95, 10.25), ("three", 10.6, 11.0), ("four", 12.5, 13.0))
    left, right = join([first], [second], 10.0)
    assert texts(left + right) == "one two three four"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("timed", [True, False])
def test_thousands_of_words_in_an_overlap_hold_nobody_up(timed: bool) -> None:
    """Two producers had sent as many as they may, and each was compared with each: for minutes."""
    words = tuple(Word("a", 28.0, 32.0) for _ in range(20_000))
    made_up = [Segment(" ".join(word.text for word in words), 28.0, 32.0, words if timed else ())]
    before, after = join(made_up, made_up, 30.0)
    assert before and after


def test_punctuation_and_capitals_are_no_difference() -> None:
    first = segment(("So", 9.0, 9.2), ("Noon,", 9.9, 10.0), ("then.", 10.3, 10.5))
    second = segment(("noon", 9.9, 10.2), ("Then", 10.3, 10.5), ("we", 11.0, 11.2))
    left, right = join([first], [second], 10.0)
    assert texts(left + right) == "So Noon, Then we"


def test_without_common_words_the_middles_decide() -> None:
    first = segment(("a", 9.0, 9.2), ("b", 10.5, 10.7))
    second = segment(("c", 9.0, 9.2), ("d", 10.5, 10.7))
    left, right = join([first], [second], 10.0)
    assert texts(left + right) == "a d"


@pytest.mark.parametrize(
    "spoken", ["今天我们开会讨论新的计划然后去吃饭", "nine ten eleven twelve then"]
)
def test_without_times_of_words_the_common_run_decides(spoken: str) -> None:
    units = spoken.split() if " " in spoken else list(spoken)
    space = " " if " " in spoken else ""
    n = len(units)
    first = Segment("x" + space + space.join(units[: n - 1]), 5.0, 12.0)
    second = Segment(space.join(units[1:]) + space + "y", 8.0, 15.0)
    left, right = join([first], [second], 10.0)
    assert space.join(s.text for s in left + right) == "x" + space + spoken + space + "y"


def test_words_that_do_not_stand_in_the_text_are_cut_by_their_times() -> None:
    words = (Word("$5", 9.0, 9.2), Word("today", 10.5, 10.9))
    first = Segment("five dollars today", 9.0, 10.9, words)
    second = Segment("five dollars today", 9.0, 10.9, words)
    left, right = join([first], [second], 10.0)
    assert texts(left + right) == "five dollars today"


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32), st.booleans())
def test_what_two_pieces_heard_of_one_talk_is_the_talk(seed: int, timed: bool) -> None:
    """Both hear half words at their ends as other words, and differ a little about times."""
    rng = random.Random(seed)
    at, talk = 0.0, []
    while at < 40:
        length = rng.uniform(0.15, 0.5)
        talk.append((rng.choice(NAMES), at, at + length))
        at += length + rng.uniform(0.02, 0.2)
    joint = rng.uniform(15, 25)

    def heard(begin: float, end: float) -> list[Segment]:
        words = []
        for text, start, stop in talk:
            if stop <= begin or start >= end:
                continue
            whole = start >= begin and stop <= end
            shift = rng.uniform(-0.05, 0.05)
            name = text if whole else f"{text}half"
            words.append((name, max(begin, start + shift), min(end, stop + shift)))
        size = rng.randint(1, 8)
        return [segment(*words[i : i + size], timed=timed) for i in range(0, len(words), size)]

    left, right = join(heard(0, joint + OVERLAP), heard(joint - OVERLAP, 60), joint)
    assert texts(left + right) == " ".join(word for word, _, _ in talk)
    ends = [s.end for s in left]
    assert not timed or max(ends) <= min(s.start for s in right) + 0.2


def piece(number: int, joint_after: float | None = None) -> Piece:
    return Piece(number, number * 20 * RATE, np.zeros(20 * RATE, np.int16), None, joint_after)


def said(number: int, text: str, language: str = "") -> list[Segment]:
    return [segment((text, number * 20.0 + 1, number * 20.0 + 2), language=language)]


def test_pieces_are_told_in_order_whoever_is_first() -> None:
    one = Stitcher("en")
    one.add(piece(2), said(2, "c"))
    one.add(piece(1), [])
    assert one.take_ready() == []
    one.add(piece(0), said(0, "a"))
    assert texts(one.take_ready()) == "a c"
    one.add(piece(3), said(3, "d"))
    assert texts(one.take_ready()) == "d"


def test_a_piece_that_overlaps_the_next_waits_for_it() -> None:
    one = Stitcher("en")
    one.add(piece(0, joint_after=20.0), said(0, "a"))
    assert one.take_ready() == []
    one.add(piece(1), said(1, "b"))
    assert texts(one.take_ready()) == "a b"


def test_the_first_three_pieces_with_speech_decide_the_language() -> None:
    one = Stitcher()
    for number, language in ((0, "de"), (1, ""), (2, "en"), (4, "fr"), (5, "de-AT")):
        one.add(piece(number), said(number, "x", language) if language else [])
    assert one.decide_language(None) == []
    assert one.take_ready() == []
    one.add(piece(3), said(3, "x", "de"))
    assert one.decide_language(None) == [2, 4]
    assert one.language == "de"
    assert {segment.language for segment in one.take_ready()} == {"de"}
    one.add(piece(2), said(2, "y", "de"))
    assert texts(one.take_ready()) == "y x"
    assert one.is_other_language(said(6, "x", "en"))
    assert not one.is_other_language(said(6, "x", "de"))
    assert not one.is_other_language(said(6, "x"))


def test_a_short_recording_decides_with_what_it_has() -> None:
    one = Stitcher()
    one.add(piece(0), said(0, "x", "nl"))
    assert one.decide_language(2) == []
    one.add(piece(1), [])
    assert one.decide_language(2) == []
    assert one.language_decided
    assert one.language == "nl"


def test_seconds_spoken_decide_and_not_the_number_of_pieces() -> None:
    assert main_language([("en", 2.0), ("en", 3.0), ("de", 9.0)]) == "de"
    assert main_language([("", 2.0), ("", 3.0)]) == ""


def test_no_segment_begins_before_the_last_one_has_ended() -> None:
    one = Stitcher("en")
    one.add(piece(0), [Segment("a", 1.0, 20.4)])
    one.add(piece(1), [Segment("b", 20.1, 21.0)])
    assert [(s.start, s.end) for s in one.take_ready()] == [(1.0, 20.4), (20.4, 21.0)]
