"""An aiohttp application on a port, and on connections accepted elsewhere.

    client -> headers   within limits, or rejected
              routing   404, or 405 with the allowed methods; with `Expect`, before the upload
              handler   its exceptions become responses: see `error_mapping`

Routes that take a body send their 100-continue themselves: `expect_handler=defer_continue`. Another
dialect is an application that is mounted in this one with `add_subapp`.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web

from privox_dht.errors import JobError
from privox_dht.http.connections import HttpProtocolFactory, log_bug
from privox_dht.http.listener import Listener, bind
from privox_dht.http.request_checks import check_headers, expects_continue, not_found
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.responses import error_response
from privox_dht.quotas import Prefixes, quota_prefixes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEFAULT_BOUNDS = RequestLimits()
DRAIN = 0.5  # seconds that running requests get when the server stops; more makes Ctrl-C feel slow
STOP_WITHIN = 2.0  # seconds to wait for cancelled requests
CLOSE_WAIT = 0.01  # seconds; aiohttp waits this long twice, and 0 would mean no limit


async def defer_continue(request: web.BaseRequest) -> None:
    """An `expect_handler` that does nothing: the route sends 100-continue, or rejects."""


class HttpServer:
    """Serves one application."""

    def __init__(
        self,
        app: web.Application,
        *,
        host: str | None = "0.0.0.0",
        port: int = 0,
        sockets: list[socket.socket] | None = None,
        tls: ssl.SSLContext | None,
        bounds: RequestLimits = DEFAULT_BOUNDS,
        prefixes_of: Callable[[str], Prefixes] = quota_prefixes,
    ) -> None:
        """
        Args:
            app: what is served; routes can be added until the server is entered.
            host: an address of this machine; None or "::" for all, of both families.
            port: 0 for any free one; see `.port` once entered.
            sockets: from `listener.bind` for that host and port; None: bound on entering. Closed on
                leaving.
            tls: None for plain HTTP, which is for loopback only.
            prefixes_of: the networks that an address counts for.
        """
        self.app = app
        self.port = port
        self._host = host
        self._sockets = sockets
        self._tls = tls
        self._bounds = bounds
        self._prefixes_of = prefixes_of
        self._runner = web.AppRunner(app)
        self._http: HttpProtocolFactory | None = None
        self._listener: Listener | None = None
        self._running: set[asyncio.Task[object]] = set()  # requests

    def __repr__(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"<{type(self).__name__} {scheme} {self._host or '::'}:{self.port}>"

    async def __aenter__(self) -> Self:
        sockets = self._sockets or bind(self._host, self.port)
        self.port = sockets[0].getsockname()[1]
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        self._http = HttpProtocolFactory(self._serve, self._bounds, server.request_factory)
        self._listener = Listener(sockets, self._http, self._tls, self._bounds, self._prefixes_of)
        await self._listener.__aenter__()
        return self

    async def __aexit__(self, *exc: Any) -> None:
        assert self._listener is not None and self._http is not None
        await self._listener.__aexit__(*exc)
        self._http.pre_shutdown()
        if self._running:
            await asyncio.wait(self._running, timeout=DRAIN)
        await self._http.shutdown(CLOSE_WAIT)
        if self._running:  # cancelled, but not ended yet
            await asyncio.wait(self._running, timeout=STOP_WITHIN)
        await self._runner.cleanup()

    def connection(self) -> asyncio.Protocol:
        """A new HTTP protocol for a connection accepted elsewhere, after its TLS handshake. The
        caller calls its `connection_made(transport)`."""
        if self._http is None:
            raise RuntimeError("the server is not running")
        return self._http()

    def listener(self, sockets: list[socket.socket], tls: ssl.SSLContext | None) -> Listener:
        """One more listener, open while it is entered; leave it before the server."""
        if self._http is None:
            raise RuntimeError("the server is not running")
        return Listener(sockets, self._http, tls, self._bounds, self._prefixes_of)

    @property
    def connections(self) -> int:
        """How many HTTP connections are open."""
        return len(self._http.connections) if self._http else 0

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request. Raises nothing but a cancellation."""
        task = asyncio.current_task()
        assert task is not None  # coroutines run in tasks
        self._running.add(task)
        try:
            check_headers(request, self._bounds)
            return await self._answer(request)
        except ConnectionError:
            return web.Response(status=499)  # the client disconnected
        except JobError as exc:
            return error_response(exc)
        except Exception as exc:
            log_bug(f"{request.method[:8]} {request.path[:64]!r}", exc)
            return error_response(exc)
        finally:
            self._running.discard(task)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The application's answer, or our own 404 or 405.

        Raises:
            JobError: see `error_mapping`.
        """
        server = self._runner.server
        assert server is not None and isinstance(request, web.Request)
        try:
            if expects_continue(request):  # aiohttp would send 100-continue before its 404
                found = await self.app.router.resolve(request)
                if found.http_exception is not None:
                    raise found.http_exception
            answer: web.StreamResponse = await server.request_handler(request)
            return answer
        except web.HTTPMethodNotAllowed as exc:
            known = set(exc.allowed_methods) - {"HEAD"}
            raise not_found(request.method, request.path, known) from exc
        except web.HTTPNotFound as exc:
            raise not_found(request.method, request.path, set()) from exc
