"""whisper-asr-webservice's dialect, which Bazarr and many tools speak.

    POST /asr?output=srt&encode=false&...    a form with `audio_file`    -> the transcript
    POST /detect-language                    the same                    -> its language
    GET  /status                                                         -> a version

With `encode=false` the file is headerless 16-bit mono PCM at 16 kHz. Bazarr writes any body into
the subtitle, whatever the status, so an error has no body. `video_file`, which names the film, is
neither logged nor passed on.
"""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import BinaryIO

from aiohttp import web

from nodes.gateway import gateway_limits, sova
from nodes.gateway.dialects import Dialects, is_yes, query
from nodes.gateway.whisper_languages import english_name
from privox_dht import __version__, limits, transcript
from privox_dht.audio import patch_sizes, wav_header
from privox_dht.errors import EngineFailed, RequestRejected
from privox_dht.http.error_mapping import status_of, to_headers
from privox_dht.http.request_body import SpooledFile
from privox_dht.http.request_checks import check_form
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.responses import json_response, text_response
from privox_dht.speech import STT, EngineInfo, Transcript, TranscriptionRequest, Word
from privox_dht.speech_api.job_log import ServedJob
from privox_dht.speech_api.model_selection import validate_language
from privox_dht.speech_api.openai_requests import one_of
from privox_dht.speech_api.transcript_rendering import render_off_loop

FILE = "audio_file"
FORMATS = {"txt": "text", "json": "verbose_json", "srt": "srt", "vtt": "vtt", "tsv": "tsv"}
RATE = 16_000  # Hz of a file without a header
SECOND = RATE * wav_header.SAMPLE  # bytes
MAX_RAW = int(gateway_limits.MAX_SECONDS) * SECOND
DETECTED_IN = 30 * SECOND  # bytes from which the language is detected, as Whisper does
NO_PROBABILITY = Word("", 0.0, 0.0).probability  # of a word if its engine gives none
FRAMING = 64 * limits.KIB  # bytes of a form beside its file


class WhisperAsr:
    """The pages. `/asr` is SOVA's as well; the name of the file field tells which is meant."""

    def __init__(self, dialects: Dialects) -> None:
        self._dialects = dialects
        dialects.add("/asr", STT, check_size, self._asr, _error_response)
        dialects.add("/detect-language", STT, check_size, self._detect, _error_response)
        dialects.server.add_page("GET", "/status", _status)

    async def _asr(self, request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        asked = _request(request)
        output = one_of("output", query(request, "output", "txt"), tuple(FORMATS))
        async with aclosing(SpooledFile(self._dialects.bounds.in_memory)) as upload:
            file = await self._file(request, job, upload)
            found = await self._dialects.transcript(file, asked, job.offer)
        if upload.field == sova.FILE:
            return sova.transcript_response(found)
        text = await render_off_loop(found, partial(_rendered, found, asked, output))
        return text_response(text, transcript.CONTENT_TYPES[FORMATS[output]])

    async def _detect(self, request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        async with aclosing(SpooledFile(self._dialects.bounds.in_memory)) as upload:
            file = await self._file(request, job, upload, DETECTED_IN)
            asked = TranscriptionRequest(words=True)
            found = await self._dialects.transcript(file, asked, job.offer)
        language = found.language or _only_language(self._dialects.provider.engines())
        if not language:
            raise EngineFailed("no producer reported the language")
        words = [word.probability for segment in found.segments for word in segment.words]
        tells = any(probability != NO_PROBABILITY for probability in words)
        return json_response(
            {
                "detected_language": english_name(language),
                "language_code": language,
                "confidence": round(sum(words) / len(words), 4) if tells else None,
            }
        )

    async def _file(
        self, request: web.BaseRequest, job: ServedJob, upload: SpooledFile, most: int = MAX_RAW
    ) -> BinaryIO:
        """The file of the form; a headerless one is given a WAV header."""
        raw = _is_raw(request)
        if raw:
            await upload.write(wav_header.header(RATE))
        files = (FILE, sova.FILE) if request.path.startswith("/asr") else (FILE,)
        try:
            await self._dialects.fields(request, job, upload, files)
        except RequestRejected as exc:
            if exc.code in ("two_files", "no_file"):
                raise _wrong_files(exc.code) from exc
            raise
        file = await upload.rewind()
        if raw:
            _check_raw(upload)
            if upload.size > most + wav_header.HEADER.size:
                file.truncate(most + wav_header.HEADER.size)
            patch_sizes(file)
            file.seek(0)
        return file


def check_size(request: web.BaseRequest, bounds: RequestLimits) -> None:
    """Reject a body by its headers.

    Raises:
        RequestRejected: 413 or 415.
    """
    check_form(request, bounds)
    if _is_raw(request) and (request.content_length or 0) > MAX_RAW + FRAMING:
        raise _too_long()


def _check_raw(upload: SpooledFile) -> None:
    size = upload.size - wav_header.HEADER.size
    if not size:
        raise RequestRejected("the file is empty", code="empty_file", param=FILE)
    if size % wav_header.SAMPLE:
        raise RequestRejected(
            "with encode=false the file is 16-bit PCM, and this one ends in half a sample",
            code="odd_pcm",
            param=FILE,
        )
    if size > MAX_RAW:
        raise _too_long()


def _too_long() -> RequestRejected:
    hours = gateway_limits.MAX_SECONDS / 3600
    return RequestRejected(
        f"the recording is longer than {hours:.0f} hours",
        status=413,
        code="audio_too_long",
        param=FILE,
    )


def _wrong_files(code: str) -> RequestRejected:
    has = "both files" if code == "two_files" else "neither file"
    return RequestRejected(
        f"the form has {has}: give {FILE} (whisper-asr-webservice) or {sova.FILE} (SOVA)",
        code=code,
        param=FILE,
    )


def _is_raw(request: web.BaseRequest) -> bool:
    return query(request, "encode", "true").lower() == "false"


def _request(request: web.BaseRequest) -> TranscriptionRequest:
    task = one_of("task", query(request, "task", "transcribe"), ("transcribe", "translate"))
    return TranscriptionRequest(
        language=validate_language(query(request, "language")),
        translate=task == "translate",
        prompt=query(request, "initial_prompt")[: limits.MAX_FIELD],
        words=is_yes(query(request, "word_timestamps")),
    )


def _rendered(whole: Transcript, asked: TranscriptionRequest, output: str) -> str:
    if output == "txt":  # a segment on each line, as Whisper's own writer has it
        lines = [" ".join(segment.text.split()) for segment in whole.segments]
        return "".join(f"{line}\n" for line in lines if line)
    return transcript.render(whole, FORMATS[output], translated=asked.translate, words=asked.words)


def _only_language(engines: Sequence[EngineInfo]) -> str:
    """The language of all STT engines, if they have only one."""
    spoken = [e.languages for e in engines if e.service == STT and not e.only_named]
    some = {language for languages in spoken for language in languages}
    return some.pop() if len(some) == 1 and all(spoken) else ""


def _error_response(request: web.BaseRequest, exc: Exception) -> web.Response:
    """No body where `output` is given, since it would become the subtitle."""
    if "output" not in request.query:
        return sova.error_response(request, exc)
    status, code = status_of(exc)
    answer = web.Response(status=status, headers={**to_headers(exc), "X-Privox-Error": code})
    answer.force_close()
    return answer


async def _status(request: web.Request) -> web.StreamResponse:
    return json_response({"version": __version__})
