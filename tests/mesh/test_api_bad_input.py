"""Every row of the table in `docs/api.md`: what is sent, and what is said to it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_kit import FORM_TYPE, Answer, Counting, Raw, ask, clip, field, form, head
from kit import until

from privox_dht import limits
from privox_dht.http.request_limits import RequestLimits
from privox_dht.speech_api.speech_server import SpeechServer

STT, TTS = "/v1/audio/transcriptions", "/v1/audio/speech"
JSON = "application/json"
FILE = field("file", clip(0.1), "a.wav")
TABLE = Path(__file__).parents[2] / "docs" / "api.md"
Case = Callable[[int], Awaitable[Answer]]


def rows() -> dict[str, tuple[int, str, str]]:
    """The table: input, and what is said to it."""
    _, _, section = TABLE.read_text().partition("## Bounds and bad input")
    lines = re.findall(r"^\| (.+?) \| (\d+) \| (\w*) ?\| (.+) \|$", section, re.MULTILINE)
    return {what: (int(status), code, message) for what, status, code, message in lines}


def heard(*parts: bytes, **headers: str) -> Case:
    """A transcription of these parts."""
    body = form(*parts)
    return lambda port: ask(port, head(STT, len(body), **headers), body)


def body(content: bytes, path: str = STT, content_type: str = FORM_TYPE) -> Case:
    """A body as it stands."""
    return lambda port: ask(port, head(path, len(content), content_type), content)


def spoken(**fields: Any) -> Case:
    """Speech of these fields."""
    return body(json.dumps(fields).encode(), TTS, JSON)


def raw(*pieces: bytes) -> Case:
    return lambda port: ask(port, *pieces)


def chunked(*chunks: bytes) -> Case:
    pieces = [f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks]
    return raw(head(STT, None, Transfer_Encoding="chunked"), *pieces, b"0\r\n\r\n")


async def drip(port: int) -> Answer:
    """Bytes, steadily, and far too few of them."""

    async def send(to: Raw) -> None:
        for byte in form(FILE):
            await to.send(bytes([byte]))
            await asyncio.sleep(0.02)

    async with Raw.to(port) as to:
        await to.send(head(STT, 10_000))
        sending = asyncio.create_task(send(to))
        try:
            return await to.answer()
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def no_chunk(port: int) -> Answer:
    """Nonsense in the middle of a body that was asked for: nothing of it counts as come."""
    async with Raw.to(port) as to:
        await to.send(head(STT, None, Transfer_Encoding="chunked", Expect="100-continue"))
        assert (await to.answer()).status == 100
        await to.send(b"zzz\r\n")
        return await to.answer()


CASES: dict[str, Case] = {
    "a text of 4,097 characters": spoken(input="x" * 4097),
    "an empty text": spoken(input=" \n"),
    "no text": spoken(voice="low"),
    "a text that is a number": spoken(input=7),
    "half a character": spoken(input="\ud800"),
    "a body that is not JSON": body(b"{", TTS, JSON),
    "JSON nested without end": body(b"[" * 60_000, TTS, JSON),
    "JSON that is a list": body(b"[]", TTS, JSON),
    "JSON of more than 64 KiB": spoken(input="x", instructions="x" * limits.MAX_JSON),
    "speech asked for in a form": body(form(field("input", "x")), TTS),
    "an unknown voice": spoken(input="x", voice="nobody"),
    "an unknown model to speak": spoken(input="x", model="gigantic"),
    "an unknown model to hear": heard(FILE, field("model", "gigantic")),
    "an unknown language to speak": spoken(input="x", language="xx"),
    "an unknown language to hear": heard(FILE, field("language", "xx")),
    "a language that is no tag": heard(FILE, field("language", "English!")),
    "a name of 200 characters": heard(FILE, field("model", "x" * 200)),
    "an unknown sound format": spoken(input="x", response_format="midi"),
    "an unknown text format": heard(FILE, field("response_format", "docx")),
    "an unknown stream format": spoken(input="x", stream_format="smoke"),
    "subtitles as a stream": heard(FILE, field("stream", "true"), field("response_format", "srt")),
    "a speed of 5": spoken(input="x", speed=5),
    "a temperature of 2": heard(FILE, field("temperature", "2")),
    "a stream that is maybe": heard(FILE, field("stream", "maybe")),
    "an unknown granularity": heard(FILE, field("timestamp_granularities[]", "phoneme")),
    "a field that stands twice": heard(FILE, field("model", "a"), field("model", "b")),
    "two files": heard(FILE, FILE),
    "no file": heard(field("model", "small")),
    "an empty file": heard(field("file", b"", "a.wav")),
    "a recording without a form": body(clip(0.1), content_type="audio/wav"),
    "a form without a boundary": body(form(FILE), content_type="multipart/form-data"),
    "a form that does not begin": body(b"x" * 5000),
    "a form that ends early": body(FILE),
    "a boundary that goes on": body(b"--bOuNdArYwhat?\r\n"),
    "a part without a name": heard(FILE.replace(b'name="file"; ', b"")),
    "a part in base64": heard(
        FILE.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n", 1)
    ),
    "a part with 5 KiB of headers": heard(
        FILE.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 5120 + b"\r\n\r\n", 1)
    ),
    "a field that is not UTF-8": heard(FILE, field("prompt", b"\xff")),
    "33 parts": heard(FILE, *(field(f"f{n}", "x") for n in range(32))),
    "a field of more than 16 KiB": heard(FILE, field("prompt", "x" * (limits.MAX_FIELD + 1))),
    "an upload announced larger than 256 MiB": raw(
        head(STT, limits.MAX_UPLOAD + 1, Expect="100-continue")
    ),
    "an upload that grows too large": chunked(
        form(field("file", clip(1), "a.wav"))[:-20], *[b"x" * 8000] * 20
    ),
    "a chunk that is none": no_chunk,
    "nothing for 5 s": raw(head(STT, 1000)),
    "less than 2 KiB/s over 10 s": drip,
    "a compressed body": heard(FILE, Content_Encoding="gzip"),
    "an Expect of something else": raw(head(STT, 1000, Expect="a-miracle")),
    "headers of more than 16 KiB": raw(
        head(STT, 0, **{f"X{n}": "x" * 5000 for n in range(4)})
    ),
    "an unknown page": raw(head("/v1/audio/music", 0, method="GET")),
    "another method": raw(head(TTS, 0, method="GET")),
    "every slot taken": heard(FILE),
    "one header of more than 16 KiB": raw(head(STT, 0, X="x" * 20_000)),
    "more than 64 headers": raw(head(STT, 0, **{f"X{n}": "x" for n in range(100)})),
    "bytes that are no HTTP": raw(b"\x16\x03\x01" + bytes(range(200)) + b"\r\n\r\n"),
}  # fmt: skip

SMALLER = {  # bounds made small where the true ones would take gigabytes or minutes
    "an upload that grows too large": RequestLimits(upload=100_000),
    "a chunk that is none": RequestLimits(upload_begin=0.1),
    "nothing for 5 s": RequestLimits(upload_begin=0.1),
    "less than 2 KiB/s over 10 s": RequestLimits(upload_window=0.2),
}


@asynccontextmanager
async def serving(provider: Counting, bounds: RequestLimits) -> AsyncIterator[SpeechServer]:
    async with SpeechServer(provider, host="127.0.0.1", tls=None, bounds=bounds) as server:
        yield server
        await until(lambda: provider.held == 0)


def test_every_row_has_a_case_and_every_case_a_row() -> None:
    assert list(rows()) == list(CASES)


@pytest.mark.parametrize("what", CASES)
async def test_what_is_said_to(what: str, caplog: pytest.LogCaptureFixture) -> None:
    status, code, message = rows()[what]
    provider = Counting(slots=0 if what == "every slot taken" else 1)
    async with serving(provider, SMALLER.get(what, RequestLimits(linger=0.1))) as server:
        answer = await CASES[what](server.port)
        assert answer.status == status
        if code:
            assert answer.error["code"] == code
            pattern = re.escape(message).replace("…", ".+")
            assert re.fullmatch(pattern, answer.error["message"])
        await until(lambda: provider.held == 0)
        provider.slots = 1
        assert (await heard(FILE)(server.port)).status == 200
    assert not [r for r in caplog.records if r.levelname in ("WARNING", "ERROR")]


async def test_the_edge_itself_is_taken() -> None:
    taken = [
        spoken(input="x" * 4096, response_format="pcm"),
        heard(FILE, *(field(f"f{n}", "x") for n in range(31))),
        heard(FILE, field("prompt", "x" * limits.MAX_FIELD)),
        spoken(input="x", speed=4, response_format="pcm"),
        heard(FILE, field("temperature", "1")),
    ]
    async with serving(Counting(), RequestLimits()) as server:
        for case in taken:
            assert (await case(server.port)).status == 200
