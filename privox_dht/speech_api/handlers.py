"""The three jobs of the API, from an admitted request to its answer.

    transcribe, translate   form -> request -> provider -> events, or one answer at the end
    speak                   JSON -> request -> provider -> encoder -> audio, or events

Events begin as soon as the request is valid, with a heartbeat whenever the engine has no result for
a second, so that the client can tell a working server from a dead one.
"""

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from aiohttp import web

from privox_dht import limits, transcript
from privox_dht.errors import JobError
from privox_dht.http import request_checks, sse
from privox_dht.http.connections import log_bug
from privox_dht.http.error_mapping import status_of, to_error_object
from privox_dht.http.request_body import SpooledFile, read_form, read_json
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.responses import StreamingResponse, text_response
from privox_dht.http.sse import with_heartbeats
from privox_dht.offer import Offer
from privox_dht.speech import (
    STT,
    TTS,
    AudioInfo,
    EngineInfo,
    Provider,
    Segment,
    Transcript,
    TranscriptionRequest,
)
from privox_dht.speech_api import openai_requests
from privox_dht.speech_api.audio_response import EncodedAudio, Encoders, negotiate_format
from privox_dht.speech_api.job_log import ServedJob
from privox_dht.speech_api.model_selection import resolve, select
from privox_dht.speech_api.openai_responses import (
    AUDIO_DELTA,
    AUDIO_DONE,
    TEXT_DELTA,
    TEXT_DONE,
    segment_fields,
)
from privox_dht.speech_api.transcript_rendering import render_off_loop

ENGINE, MODEL, RATE = "X-Privox-Engine", "X-Privox-Model", "X-Privox-Rate"


class SpeechHandlers:
    """Does the jobs, any number at a time."""

    def __init__(
        self,
        provider: Provider,
        bounds: RequestLimits,
        encoders: Encoders,
        *,
        any_engine: bool = False,
        pcm_rate: int | None = None,
    ) -> None:
        self._provider = provider
        self._any_engine = any_engine
        self._pcm_rate = pcm_rate
        self._encoders = encoders
        self._bounds = bounds

    async def speak(self, request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        """`POST /v1/audio/speech`."""
        call = openai_requests.speech(
            await read_json(request, self._bounds, job.offer), text=self._bounds.text
        )
        job.offer.check_length(len(call.request.text) * limits.SPEECH_PER_CHARACTER)
        able = self._provider.engines()
        r = resolve(call.request, able)
        engines = select(able, TTS, model=r.model, voice=r.voice, language=r.language)
        headers = self._engine_headers(engines, r.voice)
        format = await negotiate_format(call.format, self._encoders)
        sounds = self._provider.speak(r)
        file = EncodedAudio(
            format, sounds, self._bounds.speech_seconds, self._encoders, pcm_rate=self._pcm_rate
        )
        stream = StreamingResponse(request, self._bounds.answer_stall)
        if call.events:
            await stream.open(sse.CONTENT_TYPE, headers)
            return await self._stream_events(stream, job, _audio_events(file))
        return await stream_audio(stream, job, file, headers)

    def _engine_headers(self, engines: list[EngineInfo], voice: str) -> dict[str, str]:
        """Headers that name the engine, if it is known already."""
        names = {info.engine for info in engines}
        if not names or (self._any_engine and len(names) > 1):
            return {}
        first = engines[0]
        headers = {ENGINE: first.engine}
        if model := voice or (first.models[0] if len(first.models) == 1 else ""):
            headers[MODEL] = model.encode("ascii", "replace").decode()
        return headers

    async def transcribe(
        self, request: web.BaseRequest, job: ServedJob, *, translate: bool = False
    ) -> web.StreamResponse:
        """`POST /v1/audio/transcriptions`, or `/v1/audio/translations`."""
        async with aclosing(SpooledFile(self._bounds.in_memory)) as upload:
            stream = StreamingResponse(request, self._bounds.answer_stall)
            if request_checks.wants_heartbeats(request):
                await stream.open(sse.CONTENT_TYPE, {})
                return await self._stream_events(
                    stream, job, self._upload_and_transcribe(request, upload, job.offer, translate)
                )
            call, able = await self._read_request(request, upload, job.offer, translate)
            file = await upload.rewind()
            items = transcription_items(self._provider, file, call.request, job.offer)
            headers = self._engine_headers(able, "")
            if call.stream:
                await stream.open(sse.CONTENT_TYPE, headers)
                return await self._stream_events(stream, job, _text_events(items))
            return await _whole_response(items, call, headers)

    async def _read_request(
        self, request: web.BaseRequest, upload: SpooledFile, offer: Offer, translate: bool
    ) -> tuple[openai_requests.TranscriptionCall, list[EngineInfo]]:
        """Read the upload to its end; returns the request and the engines that can do it (none: not
        known)."""
        fields = await read_form(request, self._bounds, upload, offer)
        call = openai_requests.transcription(fields, translate=translate)
        engines = self._provider.engines()
        r = resolve(call.request, engines)
        able = select(engines, STT, model=r.model, language=r.language, translate=r.translate)
        return replace(call, request=r), able

    async def _upload_and_transcribe(
        self, request: web.BaseRequest, upload: SpooledFile, offer: Offer, translate: bool
    ) -> AsyncGenerator[bytes]:
        """The upload and its answer as one stream: only heartbeats are sent during the upload;
        errors are events."""
        call, _ = await self._read_request(request, upload, offer, translate)
        items = transcription_items(self._provider, await upload.rewind(), call.request, offer)
        async with aclosing(_text_events(items)) as events:
            async for piece in events:
                yield piece

    async def _stream_events(
        self, stream: StreamingResponse, job: ServedJob, pieces: AsyncGenerator[bytes]
    ) -> web.StreamResponse:
        """Send events as they come, with heartbeats; an error is an event, too."""
        try:
            async with with_heartbeats(pieces, self._bounds.heartbeat) as batches:
                async for batch in batches:
                    await stream.send(b"".join(batch) or sse.HEARTBEAT_COMMENT)
            job.ended(None)  # the client has the whole answer: it may disconnect now
        except ConnectionError:
            raise
        except Exception as exc:
            record_error(job, exc)
            status, _ = status_of(exc)
            await stream.send(sse.event(sse.ERROR, error=to_error_object(exc), status=status))
        return await stream.close()


async def transcription_items(
    provider: Provider, upload: BinaryIO, request: TranscriptionRequest, offer: Offer
) -> AsyncGenerator[AudioInfo | Segment]:
    """The provider's transcript, if a recording of that length is admitted."""
    async with aclosing(provider.transcribe(upload, request)) as items:
        async for item in items:
            if isinstance(item, AudioInfo):
                offer.check_length(item.seconds)
            yield item


async def whole_transcript(items: AsyncGenerator[AudioInfo | Segment], language: str) -> Transcript:
    """All of a transcript, in the language that was asked for."""
    seconds, segments = 0.0, []
    async with aclosing(items):
        async for item in items:
            if isinstance(item, AudioInfo):
                seconds = item.seconds
            else:
                segments.append(item)
    return transcript.gather(segments, seconds, language)


async def stream_audio(
    stream: StreamingResponse, job: ServedJob, file: EncodedAudio, headers: dict[str, str]
) -> web.StreamResponse:
    """Send plain audio; an error before the first piece is an error response."""
    try:
        async with aclosing(file.pieces()) as pieces:
            async for piece in pieces:
                if not stream.begun:
                    headers[RATE] = str(file.rate)
                    await stream.open(file.content_type, headers)
                await stream.send(piece)
    except ConnectionError:
        raise
    except Exception as exc:
        if not stream.begun:
            raise
        record_error(job, exc)
        return stream.abort()
    return await stream.close()


async def _whole_response(
    items: AsyncGenerator[AudioInfo | Segment],
    call: openai_requests.TranscriptionCall,
    headers: dict[str, str],
) -> web.StreamResponse:
    """One answer at the end."""
    whole = await whole_transcript(items, call.request.language)
    text = await render_off_loop(
        whole,
        partial(
            transcript.render,
            whole,
            call.format,
            translated=call.request.translate,
            words=call.request.words,
            segments=call.segments,
        ),
    )
    return text_response(text, transcript.CONTENT_TYPES[call.format], headers=headers)


async def _text_events(items: AsyncGenerator[AudioInfo | Segment]) -> AsyncGenerator[bytes]:
    """`transcript.text.delta` for the recording's length and for every segment, then `.done`. The
    deltas joined are the whole text."""
    seconds, segments, text = 0.0, [], ""
    async with aclosing(items):
        async for item in items:
            if isinstance(item, AudioInfo):
                seconds = item.seconds
                yield sse.event(TEXT_DELTA, delta="", seconds=round(seconds, 3))
                continue
            segments.append(item)
            delta = item.text.strip()
            delta = f" {delta}" if delta and text else delta
            text += delta
            yield sse.event(TEXT_DELTA, delta=delta, segment=segment_fields(item))
    whole = transcript.gather(segments, seconds)
    yield sse.event(TEXT_DONE, text=text, language=whole.language, seconds=round(seconds, 3))


async def _audio_events(file: EncodedAudio) -> AsyncGenerator[bytes]:
    """`speech.audio.delta` for every piece, then `.done`."""
    size = 0
    async with aclosing(file.pieces()) as pieces:
        async for piece in pieces:
            if piece:
                size += len(piece)
                audio = base64.b64encode(piece).decode("ascii")
                yield sse.event(AUDIO_DELTA, audio=audio)
    yield sse.event(AUDIO_DONE, bytes=size, seconds=round(file.seconds, 3), rate=file.rate)


def record_error(job: ServedJob, exc: Exception) -> None:
    """Record an error that is sent in the answer instead of raised."""
    job.ended(exc)
    if not isinstance(exc, JobError):
        log_bug(f"job {job.number}", exc)
