"""A speech server elsewhere that does not mean well costs a node a failed job, and nothing more.

Real sockets. The server behaves until the engine has started, unless a test says otherwise.
"""

import asyncio
import functools
import gzip
import json
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
import yarl
from hostile_server import (
    HOST,
    Says,
    answer,
    bytes_once,
    head,
    hostile,
    transcript,
    without_end,
)  # fmt: skip
from speech_servers import RATE, SECOND, OpenAi, Sova
from test_engine_remote import hear, say, started

from nodes.engines import remote
from privox_dht import audio, errors, limits
from privox_dht.speech import TranscriptionRequest as Hear

GROWTH = 64 * limits.MIB  # bytes by which the node may grow
SOON = 10.0  # seconds; nothing here has to wait for a time-out
DIALECTS = {"openai": OpenAi, "sova": Sova}
BOMB = 128 * limits.MIB  # bytes that the bombs become
JUNK = b"x" * 65_536


@asynccontextmanager
async def turned(dialect: str, service: str, says: Says) -> AsyncIterator[Any]:
    """An engine whose server has turned hostile."""
    async with DIALECTS[dialect]() as good, hostile(says) as bad:
        what = f"http://{good.address}" if dialect == "openai" else good.address
        async with started(service, what) as engine:
            engine.server.base = yarl.URL(f"http://{HOST}:{bad.port}")  # type: ignore[attr-defined]
            yield engine


async def ask(engine: Any) -> None:
    await (hear(engine) if engine.info.service == "stt" else say(engine))


@functools.cache
def bomb(coding: str) -> bytes:
    packer = zlib.compressobj(9, wbits={"gzip": 31, "deflate": 15}[coding])
    zeros = bytes(limits.MIB)
    packed = b"".join(packer.compress(zeros) for _ in range(BOMB // limits.MIB))
    return answer(packed + packer.flush(), f"Content-Encoding: {coding}")


CHUNKED = head("Transfer-Encoding: chunked")
ENDLESS = {
    "body": without_end(head(), JUNK),
    "events": without_end(head("Content-Type: text/event-stream"), b"data: {}\n\n" * 5000),
    "headers": without_end(b"HTTP/1.1 200 OK\r\n", b"X-a: " + b"b" * 4000 + b"\r\n"),
    "one header": without_end(b"HTTP/1.1 200 OK\r\nX-a: ", JUNK),
    "status line": without_end(b"HTTP/1.1 200 ", JUNK),
    "a cookie's headers": without_end(b"HTTP/1.1 200 OK\r\n", b"Set-Cookie: a=b\r\n" * 500),
    "size of a chunk": without_end(CHUNKED, b"0" * 65_536),
    "extension of a chunk": without_end(CHUNKED + b"1;", JUNK),
    "trailers": without_end(CHUNKED + b"0\r\n", b"X-a: b\r\n" * 5000),
}


@pytest.mark.parametrize("service", ["stt", "tts"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("what", ENDLESS)
async def test_what_has_no_end_fails_the_job_soon(
    what: str, dialect: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "READ_TIMEOUT", 1.0)
    monkeypatch.setattr(remote, "BODY_TIMEOUT", 1.0)
    async with turned(dialect, service, ENDLESS[what]) as engine:
        before, began = psutil.Process().memory_info().rss, time.monotonic()
        with pytest.raises(errors.EngineFailed):
            async with asyncio.timeout(SOON):
                await ask(engine)
        print(f"{time.monotonic() - began:.2f} s")
        assert psutil.Process().memory_info().rss - before < GROWTH


@pytest.mark.parametrize("service", ["stt", "tts"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_compressed_bomb_is_not_unpacked(coding: str, dialect: str, service: str) -> None:
    packed = bomb(coding)
    async with turned(dialect, service, bytes_once(packed)) as engine:
        before = psutil.Process().memory_info().rss
        with pytest.raises(errors.EngineFailed, match="compressed"):
            await ask(engine)
        assert psutil.Process().memory_info().rss - before < GROWTH


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "identity, gzip"])
async def test_what_was_not_asked_for_packed_is_not_taken_packed(coding: str) -> None:
    packed = answer(gzip.compress(transcript()), f"Content-Encoding: {coding}")
    async with turned("openai", "stt", bytes_once(packed)) as engine:
        with pytest.raises(errors.EngineFailed, match="compressed"):
            await ask(engine)


SLOW = {  # and every byte was in time
    "head": without_end(b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.05),
    "interim answers": without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.01),
    "body": without_end(head("Content-Length: 1000000"), b" ", 0.05),
}


@pytest.mark.parametrize("what", SLOW)
async def test_what_drips_fails_the_job_in_time(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ANSWER_TIMEOUT", 0.6)
    monkeypatch.setattr(remote, "BODY_TIMEOUT", 0.6)
    async with turned("openai", "stt", SLOW[what]) as engine:
        with pytest.raises(errors.EngineFailed, match="in time"):
            async with asyncio.timeout(SOON):
                await ask(engine)


WRONG_LENGTHS = {
    "more is promised": head("Content-Length: 1000") + transcript(),
    "less is promised": head("Content-Length: 3") + transcript(),
    "a negative one": head("Content-Length: -1") + transcript(),
    "two of them": head("Content-Length: 3", "Content-Length: 5") + transcript(),
    "no number": head("Content-Length: a") + transcript(),
    "a chunk that does not come": CHUNKED + b"ffff\r\n" + transcript(),
    "a chunk of a negative size": CHUNKED + b"-1\r\n" + transcript(),
    "no last chunk": CHUNKED + b"5\r\nhello\r\n",
}


@pytest.mark.parametrize("what", WRONG_LENGTHS)
@pytest.mark.parametrize("service", ["stt", "tts"])
async def test_wrong_lengths_fail_the_job(what: str, service: str) -> None:
    async with turned("openai", service, bytes_once(WRONG_LENGTHS[what])) as engine:
        with pytest.raises(errors.EngineFailed):
            async with asyncio.timeout(SOON):
                await ask(engine)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_is_sent_elsewhere(status: int) -> None:
    async with hostile(bytes_once(b"")) as elsewhere:
        here = f"{HOST}:{elsewhere.port}/"  # type: ignore[attr-defined]
        places = [f"http://{here}", f"//{here}", "http://169.254.169.254/latest/meta-data/",
                  "file:///etc/passwd", "gopher://127.0.0.1:1/", "http://[::1]:1/"]  # fmt: skip
        for place in places:
            said = answer(b"", f"Location: {place}").replace(b"200 OK", f"{status} No".encode())
            for dialect in DIALECTS:
                async with turned(dialect, "stt", bytes_once(said)) as engine:
                    with pytest.raises(errors.EngineFailed):
                        await ask(engine)
        assert elsewhere.callers == 0


async def test_cookies_are_neither_kept_nor_sent_back() -> None:
    lines = [f"Set-Cookie: c{n}=v" for n in range(100)]
    async with turned("openai", "stt", bytes_once(answer(transcript(), *lines))) as engine:
        await ask(engine)
        assert len(engine.server._session.cookie_jar) == 0


# -- transcripts -----------------------------------------------------------------------------------

NESTED = b"[" * 200_000
BUSHY = b'{"text": "x", "segments": [' + b"[]," * 600_000 + b"[]]}"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("body", [NESTED, BUSHY], ids=["deep", "wide"])
async def test_json_that_grows_when_it_is_read_fails(body: bytes, dialect: str) -> None:
    async with turned(dialect, "stt", bytes_once(answer(body))) as engine:
        before = psutil.Process().memory_info().rss
        with pytest.raises(errors.EngineFailed):
            await ask(engine)
        assert psutil.Process().memory_info().rss - before < GROWTH / 2


async def test_a_sound_that_takes_four_bytes_a_character_fails() -> None:
    """One character beyond the 65,536th in a string does that to all others."""
    file = b"A" * (14 * limits.MIB) + b"\\ud83e\\udd37"
    body = b'{"response_code": 0, "response": [{"response_audio": "' + file + b'"}]}'
    async with turned("sova", "tts", bytes_once(answer(body))) as engine:
        before = psutil.Process().memory_info().rss
        with pytest.raises(errors.EngineFailed, match="not JSON"):
            await ask(engine)
        assert psutil.Process().memory_info().rss - before < GROWTH


def segment(start: object, end: object) -> bytes:
    return transcript(segments=[{"text": "hello", "start": start, "end": end}])


@pytest.mark.parametrize(
    ("start", "end"),
    [(float("nan"), 1), (0, float("inf")), (-5, 1), (0, 1e300), ("-1e400", 1), (1, 0)],
)
async def test_times_are_within_what_was_sent(start: object, end: object) -> None:
    async with turned("openai", "stt", bytes_once(answer(segment(start, end)))) as engine:
        try:
            heard = await hear(engine, Hear(words=True), seconds=2)
        except errors.EngineFailed:
            return
        assert all(0.0 <= one.start <= one.end <= 2.0 for one in heard)


async def test_words_without_end_fail() -> None:
    body = transcript(text="word " * 3_000)
    async with turned("openai", "stt", bytes_once(answer(body))) as engine:
        with pytest.raises(errors.EngineFailed, match="more text than 2 s of sound hold"):
            await ask(engine)


# -- sound -----------------------------------------------------------------------------------------


def with_sizes(riff: int, data: int, pcm: bytes = SECOND) -> bytes:
    file = bytearray(audio.wav(pcm, RATE))
    file[4:8], file[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
    return bytes(file)


async def spoken(wav: bytes, *lines: str) -> bytes:
    async with turned("openai", "tts", bytes_once(answer(wav, *lines))) as engine:
        return await say(engine)


async def test_a_wav_that_does_not_know_its_size_is_taken_to_its_end() -> None:
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0):
        assert await spoken(with_sizes(size, size)) == SECOND


async def test_half_of_a_wav_is_not_passed_off_as_all_of_it() -> None:
    with pytest.raises(errors.EngineFailed, match="less sound than"):
        await spoken(with_sizes(36 + 4 * len(SECOND), 4 * len(SECOND)))


async def test_what_stands_behind_the_sound_of_a_wav_is_not_played() -> None:
    tags = b"LIST" + struct.pack("<I", 20_000) + b"INFO" + b"noise!" * 3_332 + b"n!!!"
    assert await spoken(audio.wav(SECOND, RATE) + tags) == SECOND


LYING: dict[str, Callable[[bytes], bytes]] = {
    "1 Hz": lambda f: f[:24] + struct.pack("<I", 1) + f[28:],
    "4 GHz": lambda f: f[:24] + struct.pack("<I", 0xFFFFFFFF) + f[28:],
    "no channel": lambda f: f[:22] + struct.pack("<H", 0) + f[24:],
    "65,535 channels": lambda f: f[:22] + struct.pack("<H", 65_535) + f[24:],
    "no bits": lambda f: f[:34] + struct.pack("<H", 0) + f[36:],
    "A-law": lambda f: f[:20] + struct.pack("<H", 6) + f[22:],
    "a chunk of 4 GB first": lambda f: f[:12] + b"junk" + b"\xff\xff\xff\xff" + f[12:],
    "chunks without end": lambda f: f[:12] + b"junk\0\0\0\0" * 100_000,
    "format that is too short": lambda f: f[:16] + struct.pack("<I", 4) + f[20:],
    "RIFF alone": lambda f: b"RIFF",
}


@pytest.mark.parametrize("lie", LYING)
async def test_a_wav_header_that_lies_fails_the_job(lie: str) -> None:
    with pytest.raises(errors.EngineFailed):
        await spoken(LYING[lie](audio.wav(SECOND, RATE)))


# -- at the start of a node ------------------------------------------------------------------------

LISTS = {
    "a number": b'{"data": 5}',
    "numbers": b'{"data": [1, 2]}',
    "text": b'{"data": "whisper"}',
    "nested": NESTED,
    "wide": BUSHY,
    "long names": json.dumps({"data": [{"id": "x" * 100_000}, {"id": "tts-whisper"}]}).encode(),
    "names that move the cursor": b'{"data": [{"id": "\\u001b[2Jwhisper"}, {"id": "w\\nhisper"}]}',
}


@pytest.mark.parametrize("what", LISTS)
@pytest.mark.parametrize("service", ["stt", "tts"])
async def test_a_list_of_models_that_is_none_does_not_break_a_node(
    what: str, service: str, openai: OpenAi
) -> None:
    from aiohttp import web

    for path in ("/v1/models", "/v1/audio/voices"):
        openai.broken[path] = web.Response(body=LISTS[what])
    try:
        async with started(service, f"http://{openai.address}") as engine:
            for name in (*engine.info.models, engine.model):
                assert name.isprintable() and len(name) <= remote.MAX_NAME_LENGTH
    except errors.EngineUnavailable as unavailable:
        assert len(str(unavailable)) < 300


@pytest.mark.parametrize("what", ["body", "headers", "one header", "trailers", "events"])
async def test_a_server_without_an_end_is_told_at_start(what: str) -> None:
    async with hostile(ENDLESS[what]) as bad:
        for where in (f"http://{HOST}:{bad.port}", f"{HOST}:{bad.port}"):  # type: ignore[attr-defined]
            with pytest.raises(errors.EngineUnavailable):
                async with asyncio.timeout(SOON), started("tts", where):
                    pass


@pytest.fixture
async def openai() -> AsyncIterator[OpenAi]:
    async with OpenAi() as server:
        yield server
