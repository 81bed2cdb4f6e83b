"""One connection of a Wyoming client, such as Home Assistant.

    describe                                            -> info
    transcribe? audio-start audio-chunk* audio-stop     -> transcript-start transcript-chunk*
                                                           transcript transcript-stop
    synthesize                                          -> audio-start audio-chunk* audio-stop
    synthesize-start synthesize-chunk* synthesize? synthesize-stop
                             sentence by sentence       -> audio-start audio-chunk* audio-stop
                                                           synthesize-stopped
    ping                                                -> pong

The `synthesize` inside a streamed text is for servers that do not stream, and ignored here. A job
that fails ends with an `error` event and the connection, since clients that do not know the event
would wait for ever. A client that breaks the protocol is disconnected; one that disconnects ends
its job.
"""

import asyncio
import io
import wave
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable, write_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from nodes.gateway import gateway_limits
from nodes.gateway.keyless_server import send
from nodes.gateway.wyoming_events import read_event
from nodes.gateway.wyoming_speech import SpokenStream, request_for, tag_of
from privox_dht import limits
from privox_dht.audio import patch_sizes
from privox_dht.errors import BadMessage, JobError
from privox_dht.http.error_mapping import status_of
from privox_dht.http.request_body import SpooledFile
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes
from privox_dht.speech import STT, TTS, AudioInfo, Provider, SpeechRequest, TranscriptionRequest
from privox_dht.speech import AudioChunk as Sound
from privox_dht.speech_api.job_log import JobLog
from privox_dht.speech_api.model_selection import resolve, select

MAX_QUEUED = 64  # events that wait while a job runs


class WyomingSession:
    """Answers one client.

    Args:
        prefixes: the networks that the client counts for.
        check: rejects a job of a client that has used up its quota of sound.
        info: the description of the mesh.
        voices: language by name, of all voices that were ever listed.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        provider: Provider,
        jobs: JobLog,
        prefixes: Prefixes,
        check: Callable[[Prefixes], None],
        info: Callable[[], Info],
        voices: Mapping[str, str],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._provider, self._jobs, self._info = provider, jobs, info
        self._prefixes, self._check, self._voices = prefixes, check, voices
        self._events: asyncio.Queue[Event] = asyncio.Queue(MAX_QUEUED)
        self._is_busy = False
        self._asked = Transcribe()
        self._upload: SpooledFile | None = None
        self._max_size = 0  # bytes of the upload at most
        self._spoken: SpokenStream | None = None

    async def run(self) -> None:
        """Until either side ends the connection.

        Raises:
            BadMessage: the client broke the protocol.
        """
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._work())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._upload is not None:
                await self._upload.aclose()

    async def _read(self) -> None:
        """Put events into the queue, until the client disconnects or is silent for too long."""
        while True:
            try:
                async with asyncio.timeout(gateway_limits.WYOMING_SILENCE):
                    event = await read_event(self._reader)
            except TimeoutError:
                if self._is_busy:
                    continue
                return
            if event is None:
                return
            await self._events.put(event)

    async def _work(self) -> None:
        while True:
            event = await self._events.get()
            self._is_busy = True
            try:
                await self._handle(event)
            except (KeyError, TypeError, AttributeError) as exc:  # raised by the library's classes
                raise BadMessage("shape", event.type[: limits.MAX_NAME]) from exc
            except JobError as exc:
                await self._write(Error(str(exc), status_of(exc)[1]))
                return
            self._is_busy = False

    async def _handle(self, event: Event) -> None:
        """One event; unknown kinds are ignored."""
        if Describe.is_type(event.type):
            await self._write(self._info())
        elif Ping.is_type(event.type):
            text = Ping.from_event(event).text
            await self._write(Pong(None if text is None else _text(text)))
        elif Transcribe.is_type(event.type):
            self._asked = Transcribe.from_event(event)
        elif AudioStart.is_type(event.type):
            await self._start_recording(AudioStart.from_event(event))
        elif AudioChunk.is_type(event.type):
            await self._add_audio(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type):
            await self._transcribe()
        else:
            await self._handle_text(event)

    async def _handle_text(self, event: Event) -> None:
        if SynthesizeStart.is_type(event.type):
            self._spoken = self._stream(SynthesizeStart.from_event(event).voice)
        elif SynthesizeChunk.is_type(event.type):
            if self._spoken is None:
                raise BadMessage("order", "a chunk of text before its start")
            await self._spoken.add(_text(SynthesizeChunk.from_event(event).text))
        elif SynthesizeStop.is_type(event.type):
            if self._spoken is None:
                raise BadMessage("order", "the end of a text before its start")
            await self._spoken.finish()
            self._spoken = None
            await self._write(SynthesizeStopped())
        elif Synthesize.is_type(event.type) and self._spoken is None:
            asked = Synthesize.from_event(event)
            spoken = self._stream(asked.voice)
            await spoken.add(_text(asked.text))
            await spoken.finish()

    # -- speech to text ---------------------------------------------------------------------------

    async def _start_recording(self, start: AudioStart) -> None:
        if self._upload is not None:
            await self._upload.aclose()
        self._upload = SpooledFile(limits.SPOOL_IN_MEMORY)
        await self._upload.write(_wav_header(start))
        second = start.rate * start.width * start.channels
        most = min(gateway_limits.MAX_UPLOAD, int(gateway_limits.MAX_SECONDS) * second)
        self._max_size = self._upload.size + most

    async def _add_audio(self, chunk: AudioChunk) -> None:
        if self._upload is None:
            raise BadMessage("order", "sound before its start")
        if self._upload.size + len(chunk.audio) > self._max_size:
            raise BadMessage("size", "a recording that is too long")
        await self._upload.write(chunk.audio)

    async def _transcribe(self) -> None:
        """Send the transcript as it is recognised."""
        if self._upload is None:
            raise BadMessage("order", "the end of sound before its start")
        async with aclosing(self._upload) as upload:
            self._upload = None
            self._check(self._prefixes)
            file = await upload.rewind()
            patch_sizes(file)
            file.seek(0)
            language = tag_of(self._asked.language)
            asked = resolve(
                TranscriptionRequest(language=language, streamed=True), self._provider.engines()
            )
            select(self._provider.engines(), STT, language=language)
            self._asked, text = Transcribe(), ""
            unsent: list[Eventable] = [TranscriptStart(language=language or None)]
            async with AsyncExitStack() as held:
                offer = await self._job(held, STT)
                items = await held.enter_async_context(
                    aclosing(self._provider.transcribe(file, asked))
                )
                async for item in items:
                    if isinstance(item, AudioInfo):
                        offer.check_length(item.seconds)
                        continue
                    if not item.text.strip():
                        continue
                    piece = f" {item.text.strip()}" if text else item.text.strip()
                    text += piece
                    language = language or item.language
                    await self._write(*unsent, TranscriptChunk(piece))
                    unsent = []
            whole = Transcript(text, language=language or None)
            await self._write(*unsent, whole, TranscriptStop())

    # -- text to speech ---------------------------------------------------------------------------

    def _stream(self, voice: SynthesizeVoice | None) -> SpokenStream:
        self._check(self._prefixes)  # once for the whole text
        request = request_for(voice, self._provider.engines(), self._voices)
        return SpokenStream(self._speak, self._write, request)

    async def _speak(self, request: SpeechRequest) -> AsyncGenerator[Sound]:
        """Have a sentence spoken: one job."""
        async with AsyncExitStack() as held:
            offer = await self._job(held, TTS)
            offer.check_length(len(request.text) * limits.SPEECH_PER_CHARACTER)
            sounds = await held.enter_async_context(aclosing(self._provider.speak(request)))
            async for sound in sounds:
                yield sound

    async def _job(self, held: AsyncExitStack, service: str) -> Offer:
        """Admit a job, for as long as `held` is open; it is counted and logged."""
        offer = Offer(self._prefixes, gateway_limits.QUEUE_WAIT)
        await held.enter_async_context(self._provider.admit(service, offer))
        held.enter_context(self._jobs.job(service, offer))
        return offer

    async def _write(self, *events: Eventable) -> None:
        """Send several events in one packet, which costs no more than one of them."""
        packet = io.BytesIO()
        for event in events:
            write_event(event.event(), packet)
        await send(self._writer, packet.getvalue())


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise BadMessage("shape", "a text is not a string")
    return value.encode("utf-8", "replace").decode()


def _wav_header(start: AudioStart) -> bytes:
    """The WAV header of the following sound; its sizes are set later."""
    numbers = (start.rate, start.width, start.channels)
    if not all(type(number) is int for number in numbers):
        raise BadMessage("shape", "the format of a sound is not in numbers")
    if not limits.MIN_RATE <= start.rate <= limits.MAX_RATE:
        raise BadMessage("size", "the rate of a sound")
    if start.width not in (1, 2, 3, 4) or not 1 <= start.channels <= limits.MAX_CHANNELS:
        raise BadMessage("size", "the format of a sound")
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((start.channels, start.width, start.rate, 0, "NONE", ""))
        wav.writeframes(b"")
        return file.getvalue()
