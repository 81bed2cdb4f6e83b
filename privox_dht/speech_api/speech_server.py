"""OpenAI's audio API over any provider of speech.

    client -> POST /v1/audio/transcriptions    a form with `file`     -> a text, or events
              POST /v1/audio/translations      the same, into English
              POST /v1/audio/speech            JSON with `input`      -> audio, or events
              GET  /v1/models  /v1/models/{id}  /v1/audio/voices  /v1/status

The steps of a request for a job, and the errors that may end it:

    check the headers       415, 413, 431 ...      before anything is read
    get a slot              503 + Retry-After      before the upload; it may wait in a short queue
                                                   (not with `Prefer: wait=0`); the slot is
                                                   held from here to the last byte of the answer
    100-continue            if the client expects it
    read the body           400, 408, 413          within limits of size and speed
    parse the request       400, 404               the error lists the available names
    do the work             4xx, 5xx; once the answer has begun, an `error` event or an abort

All of it is one coroutine with one `with`, so a slot is released exactly once.
"""

import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

from aiohttp import web

from privox_dht import peer_proof
from privox_dht.errors import BadMessage, JobError, ProducerBusy
from privox_dht.http import request_checks
from privox_dht.http.connections import during_job
from privox_dht.http.http_server import DEFAULT_BOUNDS, Handler, HttpServer, defer_continue
from privox_dht.http.request_checks import check_form, check_json
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.responses import error_response, json_response
from privox_dht.quotas import Prefixes, quota_prefixes
from privox_dht.speech import STT, TTS, Provider
from privox_dht.speech_api import model_catalogue
from privox_dht.speech_api.audio_response import Encoders, ThreadEncoders
from privox_dht.speech_api.handlers import SpeechHandlers
from privox_dht.speech_api.job_log import JobLog, ServedJob

log = logging.getLogger("privox.api")

Check = Callable[[web.BaseRequest, RequestLimits], None]
ErrorResponse = Callable[[web.BaseRequest, Exception], web.Response]
Work = Callable[[web.BaseRequest, ServedJob], Awaitable[web.StreamResponse]]


class SpeechServer(HttpServer):
    """The API on a port, and on connections accepted elsewhere."""

    def __init__(
        self,
        provider: Provider,
        *,
        host: str | None = "0.0.0.0",
        port: int = 0,
        sockets: list[socket.socket] | None = None,
        tls: ssl.SSLContext | None,
        bounds: RequestLimits = DEFAULT_BOUNDS,
        prefixes_of: Callable[[str], Prefixes] = quota_prefixes,
        jobs: JobLog | None = None,
        more: Mapping[tuple[str, str], Handler] | None = None,
        encoders: Encoders | None = None,
        any_engine: bool = False,
        pcm_rate: int | None = None,
        own: bytes = b"",
    ) -> None:
        """
        Args:
            provider: does the work.
            jobs: the log of jobs; a new one if None.
            more: further pages by method and path.
            encoders: where answers are encoded; threads of this process if None.
            any_engine: any matching engine may do a job, not only the first: the headers of the
                answer name an engine only if there is just one.
            pcm_rate: Hz of raw `pcm`; the engine's if None.
            own: our public key, to which clients prove their identity; empty: they cannot.
            The others: see `HttpServer`.
        """
        super().__init__(
            web.Application(), host=host, port=port, sockets=sockets, tls=tls, bounds=bounds,
            prefixes_of=prefixes_of,
        )  # fmt: skip
        self.jobs = jobs or JobLog()
        self._own = own
        self._provider = provider
        handlers = SpeechHandlers(
            provider, bounds, encoders or ThreadEncoders(), any_engine=any_engine, pcm_rate=pcm_rate
        )
        self.add_job("/v1/audio/transcriptions", STT, check_form, handlers.transcribe)
        translate = partial(handlers.transcribe, translate=True)
        self.add_job("/v1/audio/translations", STT, check_form, translate)
        self.add_job("/v1/audio/speech", TTS, check_json, handlers.speak)
        self.add_page("GET", "/v1/models", self._models)
        self.add_page("GET", model_catalogue.MODEL_PREFIX + "{name:.*}", self._model)
        self.add_page("GET", "/v1/audio/voices", self._voices)
        self.add_page("GET", "/v1/status", self._status)
        for (method, path), page in (more or {}).items():
            self.add_page(method, path, page)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, {self.jobs.running} jobs>"

    def add_page(self, method: str, path: str, page: Handler) -> None:
        """A page that takes no slot. HEAD works where GET does."""
        for name in (method, "HEAD") if method == "GET" else (method,):
            self.app.router.add_route(name, path, page, expect_handler=defer_continue)

    def add_job(
        self,
        path: str,
        service: str,
        check: Check,
        work: Work,
        app: web.Application | None = None,
        error: ErrorResponse | None = None,
    ) -> None:
        """A page that is a job: it holds a slot while `work` runs.

        Args:
            check: rejects a body by its headers.
            work: reads the body and answers.
            app: a dialect of its own; the API's if None.
            error: the response for a job that was not admitted; the API's if None.
        """

        async def job(request: web.Request) -> web.StreamResponse:
            return await self._job(request, service, check, work, error)

        (app or self.app).router.add_route("POST", path, job, expect_handler=defer_continue)

    async def _job(
        self,
        request: web.BaseRequest,
        service: str,
        check: Check,
        work: Work,
        error: ErrorResponse | None,
    ) -> web.StreamResponse:
        async with AsyncExitStack() as held:
            try:
                check(request, self._bounds)
                offer = request_checks.offer_of(request, self._prefixes_of, self._bounds.queue_wait)
                offer.peer = self._peer(request)
                await held.enter_async_context(self._provider.admit(service, offer))
            except JobError as exc:
                self.jobs.turned_away += isinstance(exc, ProducerBusy)
                answer = error(request, exc) if error else error_response(exc)
                return await request_checks.reject(request, answer)
            job = held.enter_context(self.jobs.job(service, offer))
            held.enter_context(during_job(request))
            await request_checks.send_continue(request)
            result: web.StreamResponse | None = None
            try:
                result = await work(request, job)
                return result
            finally:
                offer.sent = request_checks.bytes_of(request, result)

    def _peer(self, request: web.BaseRequest) -> str:
        """The peer id that a client has proved; empty: none."""
        proof = request.headers.get(peer_proof.HEADER)
        if proof is None or not self._own:
            return ""
        try:
            return peer_proof.proven(proof, self._own, time.time())
        except BadMessage as exc:
            log.debug("a client's proof of identity is invalid: %s", exc)
            return ""

    # -- pages ------------------------------------------------------------------------------------

    async def _models(self, request: web.BaseRequest) -> web.StreamResponse:
        return json_response(model_catalogue.models(self._provider.engines()))

    async def _model(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix(model_catalogue.MODEL_PREFIX)
        return json_response(model_catalogue.model(self._provider.engines(), name))

    async def _voices(self, request: web.BaseRequest) -> web.StreamResponse:
        return json_response(model_catalogue.voices(self._provider.engines()))

    async def _status(self, request: web.BaseRequest) -> web.StreamResponse:
        return json_response({**self._provider.status(), "jobs": self.jobs.status()})


__all__ = ["JobLog", "RequestLimits", "ServedJob", "SpeechServer"]
