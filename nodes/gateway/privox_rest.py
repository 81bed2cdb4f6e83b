"""Privox's HTTP API, in plain text and WAV.

    POST /stt    a form: file, key, quality, language, xlate     -> the text
    POST /tts    a form or JSON: text, key, voice, language      -> a WAV file, as it is spoken

A language is given by its English name ("german") or its tag. `xlate` asked Privox to convert a
file that is not WAV, which is always done here. An error is a line of text, beside the HTTP status.
"""

from contextlib import aclosing
from dataclasses import replace

from aiohttp import web

from nodes.gateway import gateway_limits
from nodes.gateway.dialects import Dialects
from nodes.gateway.sova import check_text_body
from nodes.gateway.whisper_languages import tag_of
from privox_dht.http.error_mapping import status_of, to_error_object, to_headers
from privox_dht.http.request_body import SpooledFile
from privox_dht.http.request_checks import check_form
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.responses import StreamingResponse, text_response
from privox_dht.speech import STT, TTS, TranscriptionRequest
from privox_dht.speech_api.handlers import stream_audio
from privox_dht.speech_api.job_log import ServedJob
from privox_dht.speech_api.model_selection import validate_language

TEXT = "text/plain"


class PrivoxRest:
    """The two pages."""

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects
        dialects.add("/stt", STT, check_form, self._stt, _error_response)
        dialects.add("/tts", TTS, check_text_body, self._tts, _error_response)

    async def _stt(self, request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        async with aclosing(SpooledFile(self._dialects.bounds.in_memory)) as upload:
            given = await self._dialects.fields(request, job, upload, ("file",), self._bounds(job))
            self._dialects.access.identify(job.offer, given.get("key", ""))
            asked = TranscriptionRequest(
                model=self._model(given.get("quality", "")),
                language=validate_language(tag_of(given.get("language", ""))),
            )
            found = await self._dialects.transcript(await upload.rewind(), asked, job.offer)
        return text_response(found.text + "\n", TEXT)

    async def _tts(self, request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        async with aclosing(SpooledFile(self._dialects.bounds.in_memory)) as upload:
            given = await self._dialects.fields(request, job, upload, (), self._bounds(job))
        self._dialects.access.identify(job.offer, given.get("key", ""))
        language = validate_language(tag_of(given.get("language", "")))
        file = self._dialects.speech(
            job.offer, given.get("text", ""), given.get("voice", ""), language
        )
        stream = StreamingResponse(request, self._dialects.bounds.answer_stall)
        return await stream_audio(stream, job, file, {})

    def _bounds(self, job: ServedJob) -> RequestLimits:
        bounds = self._dialects.bounds
        if job.offer.client or self._dialects.access.keys is None:
            return bounds
        return replace(bounds, upload_wall=gateway_limits.FORM_KEY_UPLOAD)

    def _model(self, quality: str) -> str:
        """The quality ("fast", "best") if an engine lists a model of that name; else ""."""
        engines = self._dialects.provider.engines()
        listed = {name for e in engines if e.service == STT for name in e.models}
        return quality if quality in listed else ""


def _error_response(request: web.BaseRequest, exc: Exception) -> web.Response:
    message = f"{to_error_object(exc)['message']}\n"
    answer = text_response(message, TEXT, status=status_of(exc)[0], headers=to_headers(exc))
    answer.force_close()
    return answer
