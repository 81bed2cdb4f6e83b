"""SOVA's dialect, as its programs and clients use it.

    POST /asr           a form with `audio_blob`
         -> {"response_code": 0, "r": [{"response_code": 0, "response": [{"text": ...}]}]}
    POST /synthesize    `text` and `voice`, as JSON or a form
         -> {"response_code": 0, "response": [{"response_audio": a WAV file in base64}]}
    POST /get_models    -> {"response_code": 0, "response": [voices]}

A failure has response code 1 and its message in `response`, beside the HTTP status. The page `/asr`
is shared with whisper-asr-webservice (see `whisper_asr`).
"""

import base64
import math
from contextlib import aclosing

from aiohttp import web

from nodes.gateway.dialects import Dialects
from privox_dht.http.error_mapping import status_of, to_error_object, to_headers
from privox_dht.http.request_body import SpooledFile, too_large
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.responses import json_response
from privox_dht.speech import TTS, Transcript
from privox_dht.speech_api.job_log import ServedJob
from privox_dht.speech_api.openai_requests import FASTEST, SLOWEST

FILE = "audio_blob"
SPEED = "speed_factor="  # in the field `options`


class Sova:
    """The pages that only SOVA has."""

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects
        dialects.add("/synthesize", TTS, check_text_body, self._synthesize, error_response)
        for path in ("/get_models", "/get_models/"):
            dialects.server.add_page("POST", path, self._models)

    async def _synthesize(self, request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        async with aclosing(SpooledFile(self._dialects.bounds.in_memory)) as upload:
            given = await self._dialects.fields(request, job, upload)
        file = self._dialects.speech(
            job.offer,
            given.get("text", ""),
            given.get("voice", ""),
            "",
            _speed(given.get("options", "")),
        )
        audio = base64.b64encode(await file.whole()).decode("ascii")
        return json_response({"response_code": 0, "response": [{"response_audio": audio}]})

    async def _models(self, request: web.Request) -> web.StreamResponse:
        engines = self._dialects.provider.engines()
        voices = [name for e in engines if e.service == TTS for name in e.models]
        return json_response({"response_code": 0, "response": list(dict.fromkeys(voices))})


def transcript_response(transcript: Transcript) -> web.Response:
    """A transcript in SOVA's form."""
    texts = [{"text": transcript.text}]
    return json_response({"response_code": 0, "r": [{"response_code": 0, "response": texts}]})


def error_response(request: web.BaseRequest, exc: Exception) -> web.Response:
    """An error in SOVA's form and in OpenAI's."""
    error = to_error_object(exc)
    body = {"response_code": 1, "response": error["message"], "error": error}
    answer = json_response(body, status=status_of(exc)[0], headers=to_headers(exc))
    answer.force_close()
    return answer


def check_text_body(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Reject a body that is too large for a text.

    Raises:
        RequestRejected: 413.
    """
    if (request.content_length or 0) > bounds.json:
        raise too_large(bounds.json)


def _speed(options: str) -> float:
    """The speed in `options`; 1.0 where it is not a number, as SOVA does."""
    try:
        speed = float(options.partition(SPEED)[2])
    except ValueError:
        return 1.0
    return 1.0 if math.isnan(speed) else min(max(speed, SLOWEST), FASTEST)
