"""Privox's pull producers as providers: each connects to us, and does one job at a time.

    port -> header, then the recording      -> ack before the recording, then the text
    port -> header with a text              -> ack, 8 digits, a WAV file
    port -> ping                            -> pong, while it is idle

A text has no end mark (Privox's own farm took its first 255 bytes). So `ping` is sent as soon as
its first bytes come: all that comes before the `pong` is the text.
"""

import asyncio
import textwrap
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

from nodes.gateway import gateway_limits
from nodes.gateway.keyless_server import send
from nodes.gateway.own_engines import can_do
from nodes.gateway.privox_wire import ACK, DIGITS, PING, PONG, SoundHeader, TextHeader, read_bytes
from privox_dht import limits
from privox_dht.audio import wav_header
from privox_dht.audio.decoding import decode
from privox_dht.errors import BadMessage, EngineFailed, ProducerBusy, ProducerLost
from privox_dht.relay import relay_limits
from privox_dht.speech import (
    STT,
    TTS,
    AudioChunk,
    AudioInfo,
    EngineInfo,
    Segment,
    SpeechRequest,
    TranscriptionRequest,
)

NAME = "privox"  # of their engines
RATE = 16_000  # Hz; they read 16-bit mono at this rate, whatever the header says
MODELS = ("tiny", "base", "small", "medium", "large")  # of Whisper; all of them have these
DEFAULT_MODEL = "base"
VOICE_MODEL, VOICE = "tts_models/en/vctk/vits", "p236"  # the defaults of their programs
LANGUAGE = "en"  # the default; they do not detect it
FAILED = "local client error"  # the start of an error of their programs
HEADER = 900  # bytes of a header with a text; they read at most 1,024 at once
CHECK_EVERY = 1.0  # seconds between two checks whether it has disconnected
PING_AFTER = 2.0  # seconds without a text after which it is pinged
PONG_WITHIN = 2.0  # seconds after the last of a text in which the `pong` must come
SETTLED = 0.2  # seconds in which nothing may follow a `pong`; else it was part of the text
SECONDS = gateway_limits.PRIVOX_UPLOAD / RATE / wav_header.SAMPLE  # of a recording at most


class PullProducer:
    """A pull producer, while it is connected."""

    def __init__(
        self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.service = service
        self.is_idle = True
        self._reader, self._writer = reader, writer
        self._turn = asyncio.Lock()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<PullProducer {self.service} {'idle' if self.is_idle else 'busy'}>"

    @property
    def has_hung_up(self) -> bool:
        """Whether it has disconnected, which `run` may not have noticed yet."""
        return self._reader.at_eof()

    async def run(self) -> None:
        """Until it is lost.

        Raises:
            BadMessage: it does not answer as it should.
        """
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + gateway_limits.PRIVOX_PING
            while loop.time() < due and not (self._lost.done() or self.has_hung_up):
                await asyncio.wait(
                    [self._lost], timeout=min(CHECK_EVERY, gateway_limits.PRIVOX_PING)
                )
            if self.has_hung_up:
                return None
            async with self._turn:
                if self._lost.done():
                    return self._lost.result()
                self._writer.write(PING)
                if await read_bytes(self._reader, len(PONG), gateway_limits.PRIVOX_PONG) != PONG:
                    raise BadMessage("pong", "another answer to a ping")

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        """See `speech.Provider`."""
        wav = await asyncio.to_thread(_to_wav, upload)
        seconds = (len(wav) - wav_header.HEADER.size) / wav_header.SAMPLE / RATE
        yield AudioInfo(seconds)
        language = request.language or LANGUAGE
        model = request.model.rpartition(":")[2]
        header = SoundHeader(model if model in MODELS else DEFAULT_MODEL, len(wav), language)
        async with self._job():
            await self._send(header)
            await send(self._writer, wav)
            text = await self._read_text(gateway_limits.PRIVOX_RESULT + seconds)
        if text.startswith(FAILED):
            raise EngineFailed(f"Privox's producer: {text[: limits.MAX_MESSAGE]}")
        if text.strip():
            yield Segment(text.strip(), 0.0, seconds, language=language)

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        """See `speech.Provider`; a text is spoken in pieces that fit into a header."""
        plain = request.text.replace("&", " and ").replace("=", " equals ")
        for piece in _pieces(plain):
            async with self._job():
                await self._send(TextHeader(VOICE_MODEL, piece, LANGUAGE, VOICE))
                digits = await read_bytes(self._reader, DIGITS, gateway_limits.PRIVOX_RESULT)
                if not digits.isdigit() or int(digits) > gateway_limits.PRIVOX_UPLOAD:
                    raise BadMessage("size", "the length of a sound")
                wav = await read_bytes(self._reader, int(digits), gateway_limits.PRIVOX_STALL)
            form = wav_header.parse_header(wav)
            if form is None or not form.is_plain or form.rate <= 0:
                raise EngineFailed("Privox's producer sent no sound")
            pcm = wav[form.begins :]
            yield AudioChunk(form.rate, pcm[: len(pcm) - len(pcm) % wav_header.SAMPLE])

    @asynccontextmanager
    async def _job(self) -> AsyncIterator[None]:
        """One job at a time. An error or a cancellation closes the connection: the protocol has no
        other way to cancel a job."""
        async with self._turn:
            try:
                yield
            except BaseException as exc:
                if not self._lost.done():
                    self._lost.set_result(None)
                self._writer.close()
                if isinstance(exc, BadMessage | OSError | TimeoutError):
                    raise ProducerLost("Privox's producer was lost", begun=True) from exc
                raise

    async def _send(self, header: SoundHeader | TextHeader) -> None:
        self._writer.write(bytes(header))
        if await read_bytes(self._reader, len(ACK), gateway_limits.PRIVOX_PONG) != ACK:
            raise BadMessage("ack", "another answer to a header")

    async def _read_text(self, within: float) -> str:
        """The text that comes before the `pong`."""
        loop = asyncio.get_running_loop()
        ends, text, pinged = loop.time() + within, b"", False
        while True:
            wait = PONG_WITHIN if text else (PING_AFTER if not pinged else ends - loop.time())
            if pinged and text.endswith(PONG):
                wait = SETTLED
            piece = None
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wait)):
                    piece = await self._reader.read(relay_limits.SPLICE_CHUNK)
            if piece == b"":
                raise BadMessage("end", "it disconnected in mid-message")
            text += piece or b""
            if len(text) > gateway_limits.PRIVOX_TEXT:
                raise BadMessage("size", "a text that is too long")
            if piece is None and text and pinged:
                return text.removesuffix(PONG).decode("utf-8", "replace")
            if piece is None and pinged and loop.time() >= ends:
                raise BadMessage("slow", "no text came")
            if not pinged:
                self._writer.write(PING)
                pinged = True


class PullProducers:
    """All pull producers that are connected.

    Args:
        on_change: called when one connects, disconnects, or ends a job.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._all: list[PullProducer] = []
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        return f"<PullProducers {self._all!r}>"

    def engines(self) -> Sequence[EngineInfo]:
        """What the connected ones can do."""
        hears = EngineInfo(STT, "cpu", NAME, MODELS)
        speaks = EngineInfo(TTS, "cpu", NAME, (), (LANGUAGE,))
        return [info for info in (hears, speaks) if self.slots(info.service)]

    def slots(self, service: str) -> int:
        """Jobs of a service at a time."""
        return sum(p.service == service and not p.has_hung_up for p in self._all)

    async def run(
        self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a pull producer that has connected, until it is lost."""
        producer = PullProducer(service, reader, writer)
        self._all.append(producer)
        await self._notify()
        try:
            await producer.run()
        finally:
            self._all.remove(producer)
            self._on_change()

    @asynccontextmanager
    async def acquire(
        self, request: TranscriptionRequest | SpeechRequest, wait: float
    ) -> AsyncIterator[PullProducer | None]:
        """One of them, held for this job; None: none can do it, or is idle.

        Raises:
            ProducerBusy: none was idle within `wait` seconds, if `wait` is not 0.
        """
        able = can_do(self.engines(), request)
        producer = await self._idle(request.service, wait) if able else None
        if able and producer is None and wait > 0:
            raise ProducerBusy("all of Privox's producers are busy")
        try:
            yield producer
        finally:
            if producer is not None:
                producer.is_idle = True
                await self._notify()

    async def _idle(self, service: str, wait: float) -> PullProducer | None:
        def one() -> PullProducer | None:
            some = (
                p for p in self._all if p.service == service and p.is_idle and not p.has_hung_up
            )
            return next(some, None)

        async with self._changed:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait_for(one)
            if producer := one():
                producer.is_idle = False
            return producer

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
        self._on_change()


def _to_wav(upload: BinaryIO) -> bytes:
    """A recording as a WAV file that they can read.

    Raises:
        RequestRejected: it cannot be decoded, or is too long for them.
    """
    pcm = decode(upload, RATE, max_seconds=SECONDS)
    samples = (pcm * 32_767).round().clip(-32_768, 32_767).astype("<i2")
    return wav_header.wav(samples.tobytes(), RATE)


def _pieces(text: str) -> list[str]:
    """A text in pieces that fit into a header, counted in bytes of UTF-8."""
    rest = HEADER - len(bytes(TextHeader(VOICE_MODEL, "", LANGUAGE, VOICE)))
    widest = max((len(character.encode("utf-8", "replace")) for character in text), default=1)
    return textwrap.wrap(text, rest // widest)
