"""OpenAI's audio API over any provider of speech.

    client -> POST /v1/audio/transcriptions    a form with `file`     -> a text, or events
              POST /v1/audio/translations      the same, into English
              POST /v1/audio/speech            JSON with `input`      -> audio, or events
              GET  /v1/models  /v1/models/{id}  /v1/audio/voices  /v1/status

One request for a job goes like this, and each step can end it:

    what the headers say    415, 413, 431 ...      nothing was read yet
    a slot                  503 + Retry-After      nothing was uploaded yet; it may wait in a short
                                                   queue (`Prefer: wait=0` says no); the slot is
                                                   held from here to the last byte of the answer
    100-continue            when the client asked
    the body                400, 408, 413          within bounds of size and pace
    what it asks            400, 404               naming what there is
    the work                4xx, 5xx; once the answer has begun, an `error` event or a broken line

The whole way is one coroutine with one `with`: a slot is let go exactly once, whatever happens.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from privox_dht.errors import Busy, JobError
from privox_dht.http import request_checks
from privox_dht.http.connections import Connections, log_bug, working_on
from privox_dht.http.listener import Gate, bind
from privox_dht.http.request_checks import check_form, check_json
from privox_dht.http.request_limits import Bounds
from privox_dht.http.responses import reply_error, reply_json
from privox_dht.quotas import Prefixes, quota_prefixes
from privox_dht.speech import STT, TTS, Provider
from privox_dht.speech_api import model_catalogue
from privox_dht.speech_api.audio_response import Encoders, InThreads
from privox_dht.speech_api.handlers import Desk
from privox_dht.speech_api.job_log import Job, Jobs

log = logging.getLogger("privox.api")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Check = Callable[[web.BaseRequest, Bounds], None]
Work = Callable[[web.BaseRequest, Job], Awaitable[web.StreamResponse]]

DEFAULT_BOUNDS = Bounds()
DRAIN = 0.5  # seconds that running jobs get once the server stops; more makes Ctrl-C feel deaf
STOP_WITHIN = 2.0  # seconds that cancelled jobs get to let go of everything
AT_ONCE = 0.01  # seconds; aiohttp waits this long twice, and takes 0 for ever


class SpeechServer:
    """The API on a port, and on connections that somebody else accepted."""

    def __init__(
        self,
        provider: Provider,
        *,
        host: str | None = "0.0.0.0",
        port: int = 0,
        sockets: list[socket.socket] | None = None,
        tls: ssl.SSLContext | None,
        bounds: Bounds = DEFAULT_BOUNDS,
        jobs: Jobs | None = None,
        more: Mapping[tuple[str, str], Handler] | None = None,
        drain: float = DRAIN,
        prefixes_of: Callable[[str], Prefixes] = quota_prefixes,
        encoders: Encoders | None = None,
    ) -> None:
        """
        Args:
            provider: who does the work.
            host: an address of this machine; None or "::" for all, of both families.
            port: 0 for any free one; see `.port` once entered.
            sockets: those that `listener.bind` gave for that host and port; bound on entering if
                None. Closed on leaving.
            tls: None for plain HTTP, which is for loopback only.
            jobs: counts and tells of jobs; a fresh one if None.
            more: further pages by method and path, served beside the API.
            drain: seconds that running jobs get when the server stops.
            prefixes_of: the networks that an address counts for.
            encoders: where answers are encoded; threads of this process if None.
        """
        self.jobs = jobs or Jobs()
        self.port = port
        self._provider = provider
        self._host = host
        self._sockets = sockets
        self._tls = tls
        self._bounds = bounds
        self._drain = drain
        self._prefixes_of = prefixes_of
        self._desk = Desk(provider, bounds, encoders or InThreads())
        self._work: dict[tuple[str, str], tuple[str, Check, Work]] = {
            ("POST", "/v1/audio/transcriptions"): (STT, check_form, self._desk.transcribe),
            ("POST", "/v1/audio/translations"): (STT, check_form, self._desk.translate),
            ("POST", "/v1/audio/speech"): (TTS, check_json, self._desk.speak),
        }
        self._pages: dict[tuple[str, str], Handler] = {
            ("GET", "/v1/models"): self._models,
            ("GET", "/v1/audio/voices"): self._voices,
            ("GET", "/v1/status"): self._status,
            **(more or {}),
        }
        self._http: Connections | None = None
        self._gate: Gate | None = None
        self._running: set[asyncio.Task[object]] = set()  # requests

    def __repr__(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"<SpeechServer {scheme} {self._host or '::'}:{self.port}, {self.jobs.running} jobs>"

    async def __aenter__(self) -> Self:
        sockets = self._sockets or bind(self._host, self.port)
        self.port = sockets[0].getsockname()[1]
        self._http = Connections(self._serve, self._bounds)
        self._gate = Gate(sockets, self._http, self._tls, self._bounds, self._prefixes_of)
        await self._gate.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._gate is not None and self._http is not None
        await self._gate.__aexit__(kind, exc, trace)
        self._http.pre_shutdown()
        if self._running:
            await asyncio.wait(self._running, timeout=self._drain)
        await self._http.shutdown(AT_ONCE)
        if self._running:  # cancelled, but not through yet
            await asyncio.wait(self._running, timeout=STOP_WITHIN)

    def connection(self) -> asyncio.Protocol:
        """A fresh HTTP protocol for a connection that somebody else accepted and made TLS of;
        they call its `connection_made(transport)`."""
        if self._http is None:
            raise RuntimeError("the server is not running")
        return self._http()

    @property
    def connections(self) -> int:
        """How many connections HTTP is spoken on."""
        return len(self._http.connections) if self._http else 0

    # -- one request ------------------------------------------------------------------------------

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Every request, whatever becomes of it: nothing but a cancellation gets out of here."""
        task = asyncio.current_task()
        assert task is not None  # coroutines run in tasks
        self._running.add(task)
        try:
            return await self._route(request)
        except ConnectionError:
            return web.Response(status=499)  # nobody is there to read it
        except JobError as exc:
            return reply_error(exc)
        except Exception as exc:
            log_bug(f"{request.method[:8]} {request.path[:64]!r}", exc)
            return reply_error(exc)
        finally:
            self._running.discard(task)

    async def _route(self, request: web.BaseRequest) -> web.StreamResponse:
        request_checks.check_headers(request, self._bounds)
        place = (request.method, request.path)
        if place in self._work:
            return await self._job(request, *self._work[place])
        if page := self._pages.get(("GET", request.path) if request.method == "HEAD" else place):
            return await page(request)
        if request.method in ("GET", "HEAD") and request.path.startswith(
            model_catalogue.MODEL_PREFIX
        ):
            return await self._model(request)
        known = {method for method, path in (*self._work, *self._pages) if path == request.path}
        raise request_checks.no_such_page(request.method, request.path, known)

    async def _job(
        self, request: web.BaseRequest, service: str, check: Check, work: Work
    ) -> web.StreamResponse:
        async with AsyncExitStack() as held:
            try:
                check(request, self._bounds)
                offer = request_checks.offer_of(request, self._prefixes_of)
                await held.enter_async_context(self._provider.admit(service, offer))
            except JobError as exc:
                self.jobs.turned_away += isinstance(exc, Busy)
                return await request_checks.decline(request, reply_error(exc))
            job = held.enter_context(self.jobs.job(service, offer))
            held.enter_context(working_on(request))
            await request_checks.go_ahead(request)
            return await work(request, job)

    # -- pages ------------------------------------------------------------------------------------

    async def _models(self, request: web.BaseRequest) -> web.StreamResponse:
        return reply_json(model_catalogue.models(self._provider.abilities()))

    async def _model(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix(model_catalogue.MODEL_PREFIX)
        return reply_json(model_catalogue.model(self._provider.abilities(), name))

    async def _voices(self, request: web.BaseRequest) -> web.StreamResponse:
        return reply_json(model_catalogue.voices(self._provider.abilities()))

    async def _status(self, request: web.BaseRequest) -> web.StreamResponse:
        return reply_json({**self._provider.status(), "jobs": self.jobs.status()})


__all__ = ["Bounds", "Job", "Jobs", "SpeechServer"]
