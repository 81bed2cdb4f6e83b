"""A generator watched from outside, and an upload read again and again; no sockets here."""

import asyncio
import io
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.http.client_body import multipart_body
from privox_dht.http.multipart import Form, boundary_of
from privox_dht.http.sse import AHEAD, with_heartbeats


async def counting(closed: asyncio.Event, gate: asyncio.Event) -> AsyncGenerator[int]:
    try:
        async with asyncio.timeout(60):  # would break if each step ran in another task
            for n in range(3):
                yield n
            await gate.wait()
            yield 3
    finally:
        closed.set()


async def test_items_come_in_order_and_nothing_in_the_silence() -> None:
    closed, gate = asyncio.Event(), asyncio.Event()
    seen: list[list[int]] = []
    async with with_heartbeats(counting(closed, gate), 0.01) as batches:
        async for batch in batches:
            seen.append(batch)
            if not batch:
                gate.set()
    assert [item for batch in seen for item in batch] == [0, 1, 2, 3]
    assert [] in seen
    assert closed.is_set()


async def test_what_comes_together_is_handed_over_together() -> None:
    gate = asyncio.Event()
    gate.set()
    async with with_heartbeats(counting(asyncio.Event(), gate), 10) as batches:
        assert [batch async for batch in batches] == [[0, 1, 2, 3]]


async def test_the_source_runs_ahead_only_so_far() -> None:
    made: list[int] = []

    async def endless() -> AsyncGenerator[int]:
        while True:
            made.append(len(made))
            yield len(made)

    async with with_heartbeats(endless(), 10) as batches:
        await anext(batches)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(made) <= 2 * AHEAD + 2


async def test_leaving_early_closes_the_source_before_it_returns() -> None:
    closed, gate = asyncio.Event(), asyncio.Event()
    async with with_heartbeats(counting(closed, gate), 10) as batches:
        async for _ in batches:
            break
    assert closed.is_set()


async def test_cancelling_the_reader_closes_the_source() -> None:
    closed, gate = asyncio.Event(), asyncio.Event()
    waiting = asyncio.Event()

    async def read() -> None:
        async with with_heartbeats(counting(closed, gate), 10) as batches:
            async for _ in batches:
                waiting.set()

    task = asyncio.create_task(read())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()


async def test_what_the_source_raises_comes_out_after_its_items() -> None:
    async def breaking() -> AsyncGenerator[int]:
        yield 1
        raise KeyError("x")

    seen: list[int] = []
    with pytest.raises(KeyError):
        async with with_heartbeats(breaking(), 10) as batches:
            async for batch in batches:
                seen.extend(batch)
    assert seen == [1]


# -- the body of an upload -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 40_000, 3_000_000])
async def test_a_recording_is_sent_as_it_is_from_memory_a_path_or_a_file(
    size: int, tmp_path: Path
) -> None:
    content = bytes(n % 251 for n in range(size))
    path = tmp_path / "clip"
    path.write_bytes(content)
    file = io.BytesIO(content)
    file.seek(size // 2)
    for source in (content, path, file):
        async with multipart_body(source, [("model", "small")], 'a"b\r\n.wav') as body:
            assert body.large == (body.size > limits.OFFER_ABOVE)
            for _ in range(2):  # a second attempt sends the same
                sent: list[int] = []
                pieces = [piece async for piece in body.pieces(sent.append)]
                assert sum(map(len, pieces)) == body.size
                assert max(map(len, pieces)) <= limits.UPLOAD_PIECE
                assert sent == sorted(sent) and sent[-1] == size
                boundary = boundary_of(body.content_type)
                assert boundary is not None
                parser = Form(boundary)
                assert b"".join(p for piece in pieces for p in parser.feed(piece)) == content
                assert parser.finish() == [("model", "small")]
    assert not file.closed


async def test_what_cannot_be_read_is_refused_in_plain_words(tmp_path: Path) -> None:
    for source, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(RequestRejected, match=why):
            async with multipart_body(source, [], "x"):
                pass


async def test_a_recording_that_shrinks_while_it_is_sent_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(b"x" * 100)
    async with multipart_body(path, [], "x") as body:
        path.write_bytes(b"x" * 50)
        with pytest.raises(RequestRejected, match="shorter"):
            await body.whole()
