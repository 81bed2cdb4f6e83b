"""The protocol of Privox's ports, read within limits: plain text without line ends.

    port -> who              the other side answers: a letter, and a key of 16 characters
    c...      a pull producer: it waits for jobs, and answers `ping` with `pong` meanwhile
    s...      a consumer: it has one job

A header has no end mark; it ends when nothing more comes:

    model=M&len=N&lang=L           N bytes of a WAV file follow after `ack`
    model=M&text=T&lang=L&idx=V    the last two may be missing

The answer to the first is the text, to the second 8 digits and so many bytes of a WAV file.
"""

import asyncio
import re
from dataclasses import dataclass

from nodes.gateway import gateway_limits
from privox_dht.errors import BadMessage
from privox_dht.http.request_body import MinimumRate
from privox_dht.http.request_limits import RequestLimits
from privox_dht.relay import relay_limits

WHO, ACK, NAK, PING, PONG = b"who", b"ack", b"nak", b"ping", b"pong"
PRODUCER, CONSUMER = "c", "s"
IDENTITY = 17  # bytes: the letter and the key
DIGITS = 8  # of a length
HEADER_PAUSE = 0.05  # seconds without a byte, after which a header has ended
_SOUND = re.compile(r"model=(?P<model>[^&]*)&len=(?P<size>\d{1,8})(&lang=(?P<language>[^&]*))?")
_TEXT = re.compile(
    r"model=(?P<model>[^&]*)&text=(?P<text>.*?)"
    r"(&lang=(?P<language>[^&]*)(&idx=(?P<voice>[^&]*))?)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class SoundHeader:
    """The header of a recording to transcribe."""

    model: str
    size: int  # bytes of the WAV file
    language: str = ""

    def __bytes__(self) -> bytes:
        return f"model={self.model}&len={self.size:0{DIGITS}d}&lang={self.language}".encode()


@dataclass(frozen=True, slots=True)
class TextHeader:
    """The header of a text to speak."""

    model: str
    text: str
    language: str = ""
    voice: str = ""

    def __bytes__(self) -> bytes:
        fields = f"model={self.model}&text={self.text}&lang={self.language}&idx={self.voice}"
        return fields.encode("utf-8", "replace")


def parse_sound(text: str) -> SoundHeader:
    """
    Raises:
        BadMessage: it is not such a header, or the recording is too large.
    """
    match = _SOUND.fullmatch(text)
    if match is None:
        raise BadMessage("shape", "no header of a recording")
    if int(match["size"]) > gateway_limits.PRIVOX_UPLOAD:
        raise BadMessage("size", "a recording that is too long")
    return SoundHeader(match["model"], int(match["size"]), (match["language"] or "").strip())


def parse_text(text: str) -> TextHeader:
    """
    Raises:
        BadMessage: it is not such a header.
    """
    match = _TEXT.fullmatch(text)
    if match is None:
        raise BadMessage("shape", "no header of a text")
    language, voice = match["language"] or "", match["voice"] or ""
    return TextHeader(match["model"], match["text"], language.strip(), voice)


async def read_identity(reader: asyncio.StreamReader) -> str:
    """What the other side is, `PRODUCER` or `CONSUMER`; its key is ignored.

    Raises:
        BadMessage: it does not answer, or not in time.
    """
    try:
        async with asyncio.timeout(gateway_limits.PRIVOX_WHO):
            data = await reader.readexactly(IDENTITY)
    except (TimeoutError, asyncio.IncompleteReadError) as exc:
        raise BadMessage("who", "it did not answer `who` in time") from exc
    kind = data[:1].decode("latin-1")
    if kind not in (PRODUCER, CONSUMER):
        raise BadMessage("who", "it is neither a producer nor a consumer")
    return kind


async def read_header(reader: asyncio.StreamReader) -> str:
    """A header: all that comes until `HEADER_PAUSE`.

    Raises:
        BadMessage: nothing comes, or too much, or not UTF-8.
    """
    data = b""
    wait = gateway_limits.PRIVOX_WHO
    while True:
        try:
            async with asyncio.timeout(wait):
                piece = await reader.read(gateway_limits.PRIVOX_HEADER + 1)
        except TimeoutError:
            break
        data += piece
        if len(data) > gateway_limits.PRIVOX_HEADER:
            raise BadMessage("size", "a header that is too long")
        if not piece:
            break
        wait = HEADER_PAUSE
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise BadMessage("shape", "a header that is no text") from exc


async def read_bytes(reader: asyncio.StreamReader, size: int, within: float) -> bytes:
    """`size` bytes, the first within so many seconds, and the others not too slowly either.

    Raises:
        BadMessage: they do not come.
    """
    loop = asyncio.get_running_loop()
    bounds = RequestLimits(upload_begin=within, upload_window=within)
    pace, got = MinimumRate(bounds, loop.time()), bytearray()
    while len(got) < size:
        try:
            async with asyncio.timeout_at(pace.due):
                piece = await reader.read(min(size - len(got), relay_limits.SPLICE_CHUNK))
        except TimeoutError as exc:
            raise BadMessage("slow", "too little came") from exc
        if not piece:
            raise BadMessage("end", "it disconnected in mid-message")
        got += piece
        pace.received(len(piece), loop.time())
    return bytes(got)
