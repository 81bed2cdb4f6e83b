"""What a coroutine emits, as an async iterator."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from privox_dht.dispatch.event_stream import EventQueue, file_of, last_of, streamed
from privox_dht.dispatch.job_events import Dialing, Emit, FileChunk, JobEvent, Uploading
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed
from privox_dht.speech import Segment

ONE, TWO = Segment("one", 0, 1), Segment("two", 1, 2)
DIAL = Dialing(None, "direct x")
DONE = Done("one two", None, "direct", 0.1, ())


async def test_events_come_in_order_and_the_result_comes_last() -> None:
    async def work(emit: Emit) -> str:
        emit(ONE)
        await asyncio.sleep(0)
        emit(TWO)
        return "whole"

    assert [event async for event in streamed(work)] == [ONE, TWO, "whole"]


async def test_an_event_is_there_before_the_work_goes_on() -> None:
    go_on = asyncio.Event()

    async def work(emit: Emit) -> str:
        emit(ONE)
        await go_on.wait()
        return "whole"

    async with aclosing(streamed(work)) as events:
        assert await anext(events) == ONE
        go_on.set()
        assert await anext(events) == "whole"


async def test_an_error_comes_after_what_was_told_before_it() -> None:
    async def work(emit: Emit) -> str:
        emit(ONE)
        raise AllProducersFailed("nobody")

    told = []
    with pytest.raises(AllProducersFailed, match="nobody"):
        async for event in streamed(work):
            told.append(event)
    assert told == [ONE]


@pytest.mark.parametrize("way", ["close", "cancel"])
async def test_nothing_of_the_work_is_left_when_its_reader_is_gone(way: str) -> None:
    ended = asyncio.Event()

    async def work(emit: Emit) -> None:
        emit(ONE)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # it takes its time
            ended.set()

    async def read() -> None:
        async for _ in streamed(work):
            begun.set()

    if way == "close":
        async with aclosing(streamed(work)) as events:
            await anext(events)
    else:
        begun = asyncio.Event()
        reader = asyncio.create_task(read())
        await begun.wait()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
    assert ended.is_set()


async def test_a_slow_reader_does_not_hold_up_the_work() -> None:
    ended = asyncio.Event()

    async def work(emit: Emit) -> str:
        for _ in range(1000):
            emit(ONE)
        ended.set()
        return "whole"

    async with aclosing(streamed(work)) as events:
        await anext(events)
        await ended.wait()
        assert len([event async for event in events]) == 1000


def test_of_an_upload_the_newest_is_kept_and_of_an_answer_that_begins_anew_no_sound() -> None:
    queue = EventQueue()
    for event in (Uploading(1, 9), Uploading(9, 9), FileChunk(b"x"), ONE, Dialing(None, "r")):
        queue.put(event)
    assert list(queue) == [Uploading(9, 9), ONE, Dialing(None, "r")]


async def test_the_end_of_a_job_is_returned_once_all_was_shown() -> None:
    async def work(emit: Emit) -> Done[str]:
        emit(ONE)
        return DONE

    shown: list[object] = []
    assert await last_of(streamed(work), shown.append) == DONE
    assert shown == [ONE, DONE]


async def test_a_job_that_ends_without_its_end_is_a_mistake_of_ours() -> None:
    async def job() -> AsyncGenerator[JobEvent[str]]:
        yield ONE

    with pytest.raises(AssertionError, match="ended without Done"):
        await last_of(job())


async def test_a_spoken_file_is_told_as_it_comes_whoever_was_called_in_vain_before() -> None:
    async def job() -> AsyncGenerator[JobEvent[bytes]]:
        for event in (DIAL, DIAL, FileChunk(b"a"), Uploading(1, 1), FileChunk(b"b")):
            yield event
        yield Done(b"ab", None, "direct", 0.1, ())

    assert [part async for part in file_of(job())] == [b"a", b"b"]


async def test_what_was_played_already_is_not_played_again_by_the_next_producer() -> None:
    async def job() -> AsyncGenerator[JobEvent[bytes]]:
        for event in (DIAL, FileChunk(b"a"), DIAL, FileChunk(b"a")):
            yield event

    played = []
    with pytest.raises(AllProducersFailed, match=r"lost after it had begun.*\(direct x\)"):
        async for part in file_of(job()):
            played.append(part)
    assert played == [b"a"]
