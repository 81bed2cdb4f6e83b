"""What the gateway's other dialects share: a form or fields in, a whole transcript or sound out.

A dialect is one module: the names of its fields and the format of its answers. It adds its pages
with `Dialects.add`; errors, such as a busy mesh, are answered in its own format.
"""

from collections.abc import Mapping, Sequence
from typing import BinaryIO
from urllib.parse import parse_qsl

from aiohttp import web

from nodes.gateway.access import Access
from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.http.multipart import boundary_of
from privox_dht.http.request_body import SpooledFile, read_form, read_json
from privox_dht.http.request_limits import RequestLimits
from privox_dht.offer import Offer
from privox_dht.speech import (
    STT,
    TTS,
    Provider,
    SpeechRequest,
    Transcript,
    TranscriptionRequest,
)
from privox_dht.speech_api.audio_response import EncodedAudio, ThreadEncoders
from privox_dht.speech_api.handlers import record_error, transcription_items, whole_transcript
from privox_dht.speech_api.job_log import ServedJob
from privox_dht.speech_api.model_selection import resolve, select
from privox_dht.speech_api.openai_requests import json_object, text_to_speak
from privox_dht.speech_api.speech_server import Check, ErrorResponse, SpeechServer, Work

FORM = "application/x-www-form-urlencoded"
YES = ("1", "true", "yes", "on")


class Dialects:
    """The pages of all dialects of a server, answered by one provider."""

    def __init__(
        self, server: SpeechServer, provider: Provider, bounds: RequestLimits, access: Access
    ) -> None:
        self.server = server
        self.access = access
        self.provider = provider
        self.bounds = bounds

    def add(
        self, path: str, service: str, check: Check, work: Work, error_response: ErrorResponse
    ) -> None:
        """A page that is a job, with and without a slash at its end.

        Args:
            check: rejects a body by its headers.
            error_response: makes the answer to an error.
        """

        async def answer(request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
            try:
                return await work(request, job)
            except ConnectionError:
                raise
            except Exception as exc:
                record_error(job, exc)
                return error_response(request, exc)

        for name in (path, path + "/"):
            self.server.add_job(name, service, check, answer, error=error_response)
            self.access.error_responses[name] = error_response

    async def transcript(
        self, file: BinaryIO, request: TranscriptionRequest, offer: Offer
    ) -> Transcript:
        """The transcript of `file`, for the job of `offer`.

        Raises:
            JobError: see `speech.Provider`; or no engine has what the request names.
        """
        engines = self.provider.engines()
        r = resolve(request, engines)
        select(engines, STT, model=r.model, language=r.language, translate=r.translate)
        items = transcription_items(self.provider, file, r, offer)
        return await whole_transcript(items, r.language)

    def speech(
        self, offer: Offer, text: str, voice: str, language: str, speed: float = 1.0
    ) -> EncodedAudio:
        """A WAV file of `text`. An unknown voice means the default, since these apps name voices of
        another server.

        Raises:
            RequestRejected: there is no text, too much of it, or no engine for the language.
        """
        text = text_to_speak({"text": text}, "text", self.bounds.text)
        offer.check_length(len(text) * limits.SPEECH_PER_CHARACTER)
        engines = self.provider.engines()
        listed = {name for e in engines if e.service == TTS for name in e.models}
        voice = voice if voice in listed else ""
        select(engines, TTS, voice=voice, language=language)
        request = SpeechRequest(text, voice, language, speed=speed)
        spoken = self.provider.speak(request)
        return EncodedAudio("wav", spoken, self.bounds.speech_seconds, ThreadEncoders())

    async def fields(
        self,
        request: web.BaseRequest,
        job: ServedJob,
        upload: SpooledFile,
        files: Sequence[str] = (),
        bounds: RequestLimits | None = None,
    ) -> Mapping[str, str]:
        """The fields of a body: a form of either kind, or JSON. The file of a form, if `files` has
        its name, goes to `upload`.

        Raises:
            RequestRejected: it is none of these, or too large; 400, 408, 413 or 415.
        """
        bounds = bounds or self.bounds
        kind = request.headers.get("Content-Type", "")
        if boundary_of(kind) is not None:
            return dict(await read_form(request, bounds, upload, job.offer, files))
        body = await read_json(request, bounds, job.offer)
        if kind.partition(";")[0].strip().lower() == FORM:
            try:
                return dict(parse_qsl(body.decode(), max_num_fields=bounds.fields))
            except ValueError as exc:
                raise RequestRejected("the form cannot be read", code="broken_form") from exc
        return {name: str(value) for name, value in json_object(body).items() if value is not None}


def query(request: web.BaseRequest, name: str, default: str = "") -> str:
    """A parameter of the URL."""
    return request.query.get(name, default).strip()


def is_yes(value: str) -> bool:
    """Whether the value of a field means yes."""
    return value.strip().lower() in YES
