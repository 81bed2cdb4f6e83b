"""What the tests of the speech API share: a provider that really computes, and clips for it.

transcribe   counts the samples of a WAV file: one segment for each second, "16000 samples"
speak        one tone of a tenth of a second for each word
"""

from __future__ import annotations

import asyncio
import functools
import io
import json
import math
import struct
import wave
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from kit import HOST

from privox_dht.errors import ProducerBusy, RequestRejected
from privox_dht.offer import Offer
from privox_dht.speech import (
    STT,
    TTS,
    AudioChunk,
    AudioInfo,
    EngineInfo,
    Segment,
    SpeechRequest,
    TranscriptionRequest,
    Word,
)

RATE = 16_000
TONE = 0.1  # seconds of sound for one word


class Counting:
    """A provider of `slots` jobs at a time; `gate` can hold its work back."""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.held = 0
        self.admitted = 0
        self.closed = asyncio.Event()  # a generator was closed before its end
        self.working = asyncio.Event()  # a generator began
        self.gate = asyncio.Event()  # work goes on only while this is set
        self.gate.set()
        self.breaks_with: BaseException | None = None  # raised after the first segment or sound

    def engines(self) -> Sequence[EngineInfo]:
        return (
            EngineInfo(STT, "cpu", "counter", ("small", "large"), ("en", "de"), translates=True),
            EngineInfo(TTS, "cpu", "toner", ("low", "high"), ("en",)),
        )

    def status(self) -> Mapping[str, Any]:
        return {"slots": self.slots, "idle": self.slots - self.held}

    @asynccontextmanager
    async def admit(self, service: str, offer: Offer) -> AsyncIterator[None]:
        if self.held >= self.slots:
            raise ProducerBusy(retry_after=2.0)
        self.held += 1
        self.admitted += 1
        try:
            yield
        finally:
            self.held -= 1

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        async with self._watched():
            try:
                with wave.open(upload, "rb") as clip:
                    pcm, rate = clip.readframes(clip.getnframes()), max(100, clip.getframerate())
            except (wave.Error, EOFError, RuntimeError) as exc:  # RuntimeError: a bad chunk size
                raise RequestRejected("the file is no WAV file", code="bad_audio") from exc
            count = len(pcm) // 2
            yield AudioInfo(count / rate)
            for second in range(math.ceil(count / rate)):
                await self.gate.wait()
                yield self._segment(request, second, min(rate, count - second * rate), rate)
                if self.breaks_with:
                    raise self.breaks_with

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        async with self._watched():
            for word in request.text.split():
                await self.gate.wait()
                yield AudioChunk(RATE, tone(TONE / request.speed, 200 + 10 * len(word)))
                if self.breaks_with:
                    raise self.breaks_with

    def _segment(
        self, request: TranscriptionRequest, second: int, samples: int, rate: int
    ) -> Segment:
        end = second + samples / rate
        words = (Word(str(samples), second, end), Word("samples", end, end))
        text = f"{samples} samples"
        return Segment(text, second, end, words if request.words else (), request.language or "en")

    def _watched(self) -> _Watched:
        return _Watched(self)


class _Watched:
    def __init__(self, provider: Counting) -> None:
        self._provider = provider

    async def __aenter__(self) -> None:
        self._provider.working.set()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind in (GeneratorExit, asyncio.CancelledError):
            self._provider.closed.set()


@functools.cache
def tone(seconds: float, pitch: float = 440.0) -> bytes:
    """16-bit PCM."""
    samples = range(round(seconds * RATE))
    return b"".join(
        struct.pack("<h", int(8000 * math.sin(2 * math.pi * pitch * n / RATE))) for n in samples
    )


def clip(seconds: float = 1.0) -> bytes:
    """A WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        period = tone(0.1)
        out.writeframes((period * math.ceil(seconds / 0.1))[: 2 * round(seconds * RATE)])
    return file.getvalue()


# -- raw HTTP, for what no decent client would send ------------------------------------------------

BOUNDARY = "bOuNdArY"
FORM_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def field(name: str, value: bytes | str, filename: str = "") -> bytes:
    """One part of a form."""
    value = value.encode() if isinstance(value, str) else value
    file = f'; filename="{filename}"' if filename else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def head(
    path: str, length: int | None, content_type: str = FORM_TYPE, method: str = "POST", **more: str
) -> bytes:
    """Request line and headers."""
    lines = [f"{method} {path} HTTP/1.1", "Host: privox", f"Content-Type: {content_type}"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@dataclass
class Answer:
    """What came back on a raw connection."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        error = json.loads(self.body)["error"]
        assert isinstance(error, dict)
        assert set(error) == {"message", "type", "param", "code"}
        return error


class Raw:
    """A raw connection to a server without TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def to(cls, port: int) -> AsyncIterator[Raw]:
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except ConnectionError:
                pass

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:  # it answered and closed before it took everything
            pass

    async def answer(self, within: float = 5.0) -> Answer:
        """The next answer, an interim one with its status alone."""
        async with asyncio.timeout(within):
            block = await self.reader.readuntil(b"\r\n\r\n")
            first, *lines = block.decode("latin-1").rstrip().split("\r\n")
            headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
            status = int(first.split()[1])
            return Answer(status, headers, await self._body(status, headers))

    async def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status == 100:
            return b""
        if "content-length" in headers:
            return await self.reader.readexactly(int(headers["content-length"]))
        body = b""
        while headers.get("transfer-encoding") == "chunked":
            size = int(await self.reader.readline(), 16)
            body += await self.reader.readexactly(size)
            await self.reader.readline()
            if not size:
                break
        return body


async def ask(port: int, *pieces: bytes) -> Answer:
    """One raw request on a connection of its own."""
    async with Raw.to(port) as raw:
        for piece in pieces:
            await raw.send(piece)
        return await raw.answer()
