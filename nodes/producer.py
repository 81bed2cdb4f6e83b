"""A producer: its engines and slots, and how a job passes through them.

admit        a slot, if the owner lends one, or ProducerBusy          (before the upload)
choose       the engine; else an error that lists the names there are
decode       the upload, at the engine's rate       (in a process of its own, see `codecs`)
quarantine   rejects an input that crashed workers before
engine       segments or sound, as they are ready   -> the API, which streams them
"""

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, BinaryIO, cast

from nodes.admission import Admission
from nodes.codecs import Codecs
from nodes.engines.quarantine import Quarantine
from nodes.lender import Lender
from nodes.marked_text import Break, clamp_speed, parts
from nodes.short_first import ShortFirst
from nodes.slot_queue import SlotQueue
from privox_dht import limits, speech
from privox_dht.errors import ProducerBusy, RequestRejected
from privox_dht.offer import Offer
from privox_dht.recording import Recording
from privox_dht.speech_api.model_selection import select


class Producer:
    """A `speech.Provider` of the node's engines. The caller starts and closes these."""

    def __init__(
        self,
        engines: Sequence[speech.Engine],
        slots: int,
        codecs: Codecs,
        *,
        quarantine: Quarantine | None = None,
        is_up: Callable[[speech.Engine], bool] = lambda engine: True,
        on_change: Callable[[], None] = lambda: None,
        more_status: Callable[[], Mapping[str, Any]] = dict,
        lender: Lender | None = None,
    ) -> None:
        self._engines = list(engines)
        self._codecs = codecs
        self._is_up = is_up
        self._quarantine = Quarantine() if quarantine is None else quarantine
        self.admission = Admission(slots, on_change)
        self._lender = lender
        self._slots = SlotQueue(self.admission)
        self.lend = self._slots.lend
        self._short_first = ShortFirst()
        self._more_status = more_status
        self._since = time.time()

    def __repr__(self) -> str:
        return f"<Producer {len(self._engines)} engines, {self.admission!r}>"

    def engines(self) -> Sequence[speech.EngineInfo]:
        return [engine.info for engine in self._engines if self._is_up(engine)]

    def status(self) -> Mapping[str, Any]:
        return {
            "since": self._since,
            "slots": self.admission.slots,
            "idle": self.admission.idle,
            **self._more_status(),
        }

    @property
    def waiting(self) -> int:
        """Jobs that wait for a slot."""
        return self._slots.waiting

    def admit(self, service: str, offer: Offer) -> AbstractAsyncContextManager[None]:
        if not any(info.service == service for info in self.engines()):
            if any(engine.info.service == service for engine in self._engines):
                raise ProducerBusy(f"the server for {service} is down", limits.RETRY_AFTER)
            raise _not_served(service)
        if self._lender is not None:
            self._lender.check(offer)
        return self._slot(service, offer)

    @asynccontextmanager
    async def _slot(self, service: str, offer: Offer) -> AsyncGenerator[None]:
        """A slot; its bytes and sound are counted when it is released. The terms of lending are
        checked before a slot is given, to this job or to the next."""
        lender = self._lender
        if lender is None:
            async with self._slots.enter(offer):
                yield
            return
        self.lend(*lender.look())
        async with self._slots.enter(offer):
            try:
                with lender.counting(service, offer):
                    yield
            finally:
                self.lend(*lender.look())

    async def transcribe(
        self, upload: BinaryIO, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.AudioInfo | speech.Segment]:
        chosen = self._chosen(
            speech.STT, model=request.model, language=request.language, translate=request.translate
        )
        engine = cast(speech.Transcriber, chosen)
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            recording = await enter(self._codecs.decoded(upload, engine.rate))
            await enter(self._quarantine.guarded(lambda: (_name(engine), recording.samples().data)))
            yield speech.AudioInfo(recording.seconds)
            async for segment in await enter(aclosing(self._segments(engine, recording, request))):
                yield segment

    async def _segments(
        self, engine: speech.Transcriber, recording: Recording, request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        """The engine's segments. An engine in another process maps the sound itself, and runs short
        jobs first there; for an engine in this process both is done here."""
        if isinstance(engine, speech.RecordingTranscriber):
            async with aclosing(engine.transcribe_recording(recording, request)) as segments:
                async for segment in segments:
                    yield segment
            return
        async with (
            self._short_first.working(recording.seconds) as give_way,
            aclosing(engine.transcribe(recording.samples(), request)) as segments,
        ):
            async for segment in segments:
                yield segment
                await give_way()

    async def speak(self, request: speech.SpeechRequest) -> AsyncGenerator[speech.AudioChunk]:
        chosen = self._chosen(
            speech.TTS, model=request.model, voice=request.voice, language=request.language
        )
        async with (
            self._quarantine.guarded(lambda: (_name(chosen), _text(request))),
            aclosing(_spoken(cast(speech.Speaker, chosen), request)) as sounds,
        ):
            left = limits.MAX_SPEECH_SECONDS
            async for sound in sounds:
                left -= sound.seconds
                if left < 0:
                    raise RequestRejected(
                        f"the text is longer than {limits.MAX_SPEECH_SECONDS:.0f} s of speech",
                        status=413, param="input",
                    )  # fmt: skip
                yield sound

    def _chosen(self, service: str, **named: Any) -> speech.Engine:
        """The engine that a request names; rejects unknown names."""
        able = select(self.engines(), service, **named)
        if not able:
            raise _not_served(service)
        return next(engine for engine in self._engines if engine.info is able[0])


def _name(engine: speech.Engine) -> bytes:
    return engine.info.engine.encode() + b"\0"


def _text(request: speech.SpeechRequest) -> bytes:
    """What identifies a text and its voice."""
    fields = (request.model, request.voice, request.language, request.text)
    return "\0".join(fields).encode("utf-8", "replace")


def _not_served(service: str) -> RequestRejected:
    return RequestRejected(f"{service} is not served here", status=404, code="service_not_found")


async def _spoken(
    speaker: speech.Speaker, request: speech.SpeechRequest
) -> AsyncGenerator[speech.AudioChunk]:
    """The parts of a text, with the pauses between them."""
    rate, silence = 0, 0.0
    for part in parts(request.text):
        if isinstance(part, Break):
            silence += part.seconds
            continue
        spoken = replace(request, text=part.text, speed=clamp_speed(request.speed * part.speed))
        async with aclosing(speaker.speak(spoken)) as sounds:
            async for sound in sounds:
                rate = sound.rate
                for pause in _silence(rate, silence):
                    yield pause
                silence = 0.0
                yield sound
    for pause in _silence(rate, silence):
        yield pause


def _silence(rate: int, seconds: float) -> Iterator[speech.AudioChunk]:
    """In pieces of a second: the pauses of one text may take half an hour."""
    left = round(rate * seconds)
    while left:
        count = min(left, rate)
        yield speech.AudioChunk(rate, bytes(2 * count))
        left -= count
