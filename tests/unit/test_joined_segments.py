"""Words for somebody who reads along, though a producer died in mid-job."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from privox_dht.dispatch.job_events import Dialing, JobEvent, Progress
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.joined_segments import JoinedSegments, part_after, segments_of
from privox_dht.speech import AudioInfo, Segment, Transcript, Word

DIAL = Dialing(None, "fallback http://x")
WORDS = tuple(Word(word, n, n + 1) for n, word in enumerate(["one", "two", "three", "four"]))


def read(*events: Progress) -> str:
    """What somebody reads who is told these events."""
    joined = JoinedSegments()
    return " ".join(new.text for event in events if (new := joined.take(event)))


def test_segments_of_one_producer_are_told_as_they_are_even_if_they_overlap() -> None:
    first, second = Segment("one two", 0, 2.5), Segment("three", 2, 3)
    assert read(DIAL, AudioInfo(3), first, second) == "one two three"


def test_no_word_comes_twice_when_the_next_producer_begins_anew() -> None:
    died = (DIAL, Segment("one two", 0, 2))
    assert read(*died, DIAL, Segment("one two", 0, 2), Segment("three", 2, 3)) == "one two three"


def test_a_segment_that_reaches_over_the_joint_is_cut_by_the_times_of_its_words() -> None:
    whole = Segment("One, two, three, four.", 0, 4, WORDS)
    cut = part_after(whole, 3)
    assert cut == Segment("four.", 3, 4, WORDS[3:])
    assert read(DIAL, Segment("one two three", 0, 3), DIAL, whole) == "one two three four."


@pytest.mark.parametrize(("until", "left"), [(1, "two three four"), (2, "three four"), (3, "four")])
def test_without_times_of_words_it_is_cut_in_proportion(until: float, left: str) -> None:
    cut = part_after(Segment("one two three four", 0, 4), until)
    assert cut is not None
    assert (cut.text, cut.start, cut.end) == (left, until, 4)


@pytest.mark.parametrize(("until", "left"), [(1, "汉字"), (3, None)])
def test_a_script_without_spaces_is_told_whole_or_not_at_all(until: float, left: str) -> None:
    cut = part_after(Segment("汉字", 0, 4), until)
    assert (cut.text if cut else None) == left


@pytest.mark.parametrize("until", [2.2, 2.0, 1.8])
def test_producers_may_differ_a_little_about_where_a_segment_ends(until: float) -> None:
    assert part_after(Segment("one two", 0, 2), until) is None
    assert part_after(Segment("three", 2, 3), until) == Segment("three", 2, 3)


def test_a_producer_that_dies_earlier_than_the_one_before_adds_nothing() -> None:
    first = (DIAL, Segment("one two three", 0, 3))
    second = (DIAL, Segment("one", 0, 1))
    assert read(*first, *second, DIAL, Segment("one two three four", 0, 4)) == "one two three four"


def test_a_time_beyond_the_recording_does_not_swallow_what_the_next_one_hears() -> None:
    joined = JoinedSegments()
    for event in (DIAL, AudioInfo(4.0), Segment("one", 0, 90), DIAL, AudioInfo(4.0)):
        joined.take(event)
    assert joined.end == 4.0


def test_what_was_heard_is_a_transcript() -> None:
    joined = JoinedSegments()
    for event in (DIAL, AudioInfo(9.0), Segment("uno", 0, 1, language="es")):
        joined.take(event)
    heard = joined.transcript("de")
    assert (heard.text, heard.seconds, heard.language, joined.end) == ("uno", 9.0, "es", 1)


async def test_the_segments_of_a_job_come_as_they_are_heard_and_whoever_leaves_ends_it() -> None:
    ended = asyncio.Event()

    async def job() -> AsyncGenerator[JobEvent[Transcript]]:
        try:
            for event in (DIAL, Segment("one two", 0, 2), DIAL, Segment("one two", 0, 2)):
                yield event
            yield Segment("three", 2, 3)
            yield Done(Transcript((), 3.0), None, "direct", 0.1, ())
        finally:
            ended.set()

    assert [segment.text async for segment in segments_of(job())] == ["one two", "three"]
    ended.clear()
    async with aclosing(segments_of(job())) as heard:
        assert (await anext(heard)).text == "one two" and not ended.is_set()
    assert ended.is_set()
