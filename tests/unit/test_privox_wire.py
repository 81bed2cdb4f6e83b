"""Privox's headers, as its own programs write them."""

import asyncio

import pytest

from nodes.gateway.privox_wire import (
    SoundHeader,
    TextHeader,
    parse_sound,
    parse_text,
    read_bytes,
)
from nodes.gateway.pull_producers import HEADER, LANGUAGE, VOICE, VOICE_MODEL, _pieces
from privox_dht.errors import BadMessage


def test_a_recording_that_is_to_be_heard() -> None:
    assert parse_sound("model=tiny.en&len=48044&lang=English") == SoundHeader(
        "tiny.en", 48_044, "English"
    )
    assert bytes(SoundHeader("base", 48_044, "en")) == b"model=base&len=00048044&lang=en"


def test_a_text_that_is_to_be_spoken_may_have_signs_in_it() -> None:
    said = TextHeader("m/v", "ones & twos = threes\nfour", "English", "p236")
    assert parse_text(bytes(said).decode()) == said
    assert parse_text("model=m&text=a b") == TextHeader("m", "a b")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("model=base&len=99999999&lang=en", "size"),
        ("model=base&len=-1&lang=en", "shape"),
        ("model=base&len=123456789&lang=en", "shape"),
        ("len=5&lang=en", "shape"),
        ("GET / HTTP/1.1", "shape"),
        ("", "shape"),
    ],
)
def test_what_is_no_header_is_told_apart(said: str, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        parse_sound(said)
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", ["a b c " * 900, "ж" * 3000, "日本語 " * 500, ""])
def test_a_long_text_is_spoken_in_pieces_that_are_read_at_once(text: str) -> None:
    pieces = _pieces(text)
    sizes = [len(bytes(TextHeader(VOICE_MODEL, piece, LANGUAGE, VOICE))) for piece in pieces]
    assert max(sizes, default=0) <= HEADER
    assert "".join("".join(pieces).split()) == "".join(text.split())


async def test_a_recording_that_drips_is_given_up() -> None:
    """A byte now and then kept a job waiting for all of it."""
    reader = asyncio.StreamReader()

    async def drip() -> None:
        while True:
            reader.feed_data(b"x")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(5.0):
            with pytest.raises(BadMessage) as caught:
                await read_bytes(reader, 100_000, 0.1)
    finally:
        dripping.cancel()
    assert caught.value.reason == "slow"


async def test_a_recording_that_comes_fast_enough_is_taken() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    for n in range(8):
        loop.call_later(0.05 * n, reader.feed_data, bytes(1000))
    assert await read_bytes(reader, 8000, 0.3) == bytes(8000)
