"""A producer's uploads: decoded by a process of its own, which no file can get out of."""

import asyncio
import io
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import BinaryIO, cast

import hostile_sound
import psutil
import pytest
from kit import until

from nodes.codecs import Codecs
from nodes.engines.echo import EchoTranscriber
from nodes.producer import Producer
from privox_dht import audio, limits
from privox_dht.errors import RequestRejected
from privox_dht.speech import Segment, TranscriptionRequest

MIB = limits.MIB
RATE = 16_000
FREED = 1.0  # seconds in which whoever hangs up frees everything
AT_WORK = 0.02  # seconds of processor time; a copy that waits takes less
GROWTH = 64 * MIB  # bytes that the node may grow by, whatever it is sent


@pytest.fixture
async def codecs() -> AsyncIterator[Codecs]:
    async with Codecs(2) as codecs:
        await codecs.start()
        yield codecs


async def heard(codecs: Codecs, upload: BinaryIO | bytes) -> list[str]:
    producer = Producer([EchoTranscriber()], 1, codecs)
    file = io.BytesIO(upload) if isinstance(upload, bytes) else upload
    request = TranscriptionRequest(model="echo")
    async with aclosing(producer.transcribe(file, request)) as events:
        return [event.text async for event in events if isinstance(event, Segment)]


async def until_idle(codecs: Codecs) -> None:
    async with asyncio.timeout(FREED):
        while codecs.busy:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


def encoded(format: str, seconds: int = 2) -> bytes:
    encoder = audio.Encoder(format, RATE)
    return encoder.feed(hostile_sound.SECOND * seconds) + encoder.finish()


@pytest.mark.parametrize("format", ["wav", "mp3", "flac", "opus", "aac", "m4a"])
async def test_every_format_is_heard_from_memory_and_from_disk(codecs: Codecs, format: str) -> None:
    file = encoded(format)
    with tempfile.TemporaryFile() as on_disk:
        on_disk.write(file)
        said = [await heard(codecs, file), await heard(codecs, cast(BinaryIO, on_disk))]
    assert said[0] == said[1]
    assert float(said[0][0].split()[0]) == pytest.approx(2.0, abs=0.2)


@pytest.mark.parametrize("spooled", [True, False])
async def test_a_large_upload_is_handed_over_as_a_file(codecs: Codecs, spooled: bool) -> None:
    file = audio.wav(hostile_sound.SECOND * 40, RATE)
    assert len(file) > limits.SPOOL_IN_MEMORY
    with tempfile.TemporaryFile() as on_disk:
        on_disk.write(file)
        upload = cast(BinaryIO, on_disk) if spooled else io.BytesIO(file)
        assert await heard(codecs, upload) == ["40.00 seconds of sound"]


async def test_a_plain_wav_needs_no_process(codecs: Codecs) -> None:
    await codecs.close()
    assert await heard(codecs, audio.wav(hostile_sound.SECOND, RATE)) == ["1.00 seconds of sound"]


async def test_tables_that_claim_millions_of_samples_cost_the_node_nothing(codecs: Codecs) -> None:
    """3.6 kB of M4A grew the node to 5.7 GB."""
    process = psutil.Process()
    before = process.memory_info().rss
    with pytest.raises(RequestRejected) as refused:
        await heard(codecs, hostile_sound.m4a_of_claims())
    assert refused.value.status in (400, 413)
    assert process.memory_info().rss - before < GROWTH
    assert await heard(codecs, encoded("mp3"))


async def test_a_cover_picture_is_not_decoded(codecs: Codecs) -> None:
    """2 MB of MP3 with a PNG as cover took 1.2 GB."""
    assert await heard(codecs, hostile_sound.mp3_with_cover(6000))


@pytest.mark.parametrize("left_after", [0.0, 0.3])
async def test_whoever_leaves_ends_the_decoding_at_once(codecs: Codecs, left_after: float) -> None:
    """A FLAC with 150,000 comments held its slot for 244 s after the client had hung up."""
    job = asyncio.create_task(heard(codecs, hostile_sound.flac_of_comments(150_000)))
    await asyncio.wait([job], timeout=left_after)
    assert not job.done()
    began = time.monotonic()
    job.cancel()
    await asyncio.wait([job])
    assert time.monotonic() - began < FREED
    await until_idle(codecs)
    assert await heard(codecs, encoded("mp3"))


async def test_a_file_that_is_not_understood_in_time_is_refused(
    codecs: Codecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OPEN_TIMEOUT", 0.3)
    with pytest.raises(
        RequestRejected, match="finding the file's format took more than"
    ) as refused:
        await heard(codecs, hostile_sound.flac_of_comments(150_000))
    assert refused.value.status == 413
    await until_idle(codecs)


async def test_a_file_that_brings_the_decoder_down_is_refused_and_nobody_else_notices(
    codecs: Codecs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = asyncio.create_task(heard(codecs, hostile_sound.flac_of_comments(150_000)))
    [server] = codecs.pids
    copies = psutil.Process(server).children
    decoding = await until(lambda: [c for c in copies() if c.cpu_times().user > AT_WORK])
    decoding[0].send_signal(11)
    with pytest.raises(RequestRejected, match=r"crashed the decoder \(SIGSEGV\)"):
        await job
    assert codecs.pids == (server,)
    assert await heard(codecs, encoded("mp3"))


@pytest.mark.parametrize("format", ["mp3", "flac", "opus", "aac", "m4a"])
async def test_an_answer_is_encoded_as_in_this_process(codecs: Codecs, format: str) -> None:
    pcm = hostile_sound.SECOND * 3
    async with codecs.encoder(format, RATE) as encoder:
        pieces = [piece async for piece in encoder.feed(pcm[:50_001])]
        pieces += [piece async for piece in encoder.feed(pcm[50_001:])]
        pieces += [piece async for piece in encoder.finish()]
    assert max(map(len, pieces)) <= limits.KIB * 64
    written = b"".join(pieces)
    assert audio.decode(written, RATE).size / RATE == pytest.approx(3.0, abs=0.2)


async def test_leaving_an_answer_in_mid_encoding_ends_its_process(codecs: Codecs) -> None:
    async with codecs.encoder("mp3", RATE) as encoder:
        assert [piece async for piece in encoder.feed(hostile_sound.SECOND)]
    await until_idle(codecs)
