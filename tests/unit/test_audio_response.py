"""From an engine's sound to a file, and what no engine may do; no sockets here."""

import random
from collections.abc import AsyncGenerator

import pytest

from privox_dht import limits
from privox_dht.errors import EngineFailed, RequestRejected
from privox_dht.speech import AudioChunk
from privox_dht.speech_api.audio_response import EncodedAudio, ThreadEncoders, negotiate_format


async def sounds(*pieces: AudioChunk) -> AsyncGenerator[AudioChunk]:
    for piece in pieces:
        yield piece


async def written(format: str, *pieces: AudioChunk, most: float = 60.0) -> bytes:
    file = EncodedAudio(format, sounds(*pieces), most, ThreadEncoders())
    return b"".join([piece async for piece in file.pieces()])


TENTH = AudioChunk(16_000, bytes(3200))


async def test_pcm_is_the_sound_itself() -> None:
    assert await written("pcm", TENTH, TENTH) == bytes(6400)


async def test_a_file_knows_its_rate_and_its_length() -> None:
    file = EncodedAudio("wav", sounds(TENTH, TENTH), 60, ThreadEncoders())
    sizes = [len(piece) async for piece in file.pieces()]
    assert sizes == [3244, 3200, 0]
    assert (file.rate, file.content_type) == (16_000, "audio/wav")
    assert file.seconds == pytest.approx(0.2)


@pytest.mark.parametrize("format", ["pcm", "flac"])
async def test_no_piece_is_too_large_for_an_event(format: str) -> None:
    """A minute of an engine's sound in one piece, or a file that is complete before it leaves."""
    noise = AudioChunk(48_000, random.Random(1).randbytes(2 * 48_000 * 60))
    file = EncodedAudio(format, sounds(noise), 120, ThreadEncoders())
    sizes = [len(piece) async for piece in file.pieces()]
    assert sum(sizes) > limits.MAX_EVENT > 2 * max(sizes)


async def test_an_engine_that_says_nothing_has_failed() -> None:
    with pytest.raises(EngineFailed, match="no sound"):
        await written("wav")


async def test_an_engine_that_changes_its_rate_has_failed() -> None:
    with pytest.raises(EngineFailed, match="changed its rate"):
        await written("pcm", TENTH, AudioChunk(22_050, b""))


async def test_an_engine_that_goes_on_and_on_has_failed() -> None:
    with pytest.raises(EngineFailed, match="longer than 0 s"):
        await written("pcm", TENTH, TENTH, TENTH, most=0.25)


async def test_closing_the_file_closes_the_engine() -> None:
    closed = False

    async def endless() -> AsyncGenerator[AudioChunk]:
        nonlocal closed
        try:
            while True:
                yield TENTH
        finally:
            closed = True

    pieces = EncodedAudio("pcm", endless(), 60, ThreadEncoders()).pieces()
    await anext(pieces)
    await pieces.aclose()
    assert closed


class Nothing(ThreadEncoders):
    async def check(self, format: str) -> None:
        raise RequestRejected("cannot be written here", status=501)


async def test_without_a_codec_the_default_is_wav_and_a_named_format_is_refused() -> None:
    assert await negotiate_format("", ThreadEncoders()) == "mp3"
    assert await negotiate_format("", Nothing()) == "wav"
    assert await negotiate_format("pcm", Nothing()) == "pcm"
    with pytest.raises(RequestRejected):
        await negotiate_format("mp3", Nothing())
