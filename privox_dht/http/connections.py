"""HTTP on connections that our own listener or a relay line accepted.

aiohttp's low-level server. Malformed requests are logged at DEBUG; a handler is cancelled as soon
as its client disconnects; `on_close` calls back when a connection ends. A connection is closed when
its headers are too long, and when no job begins on it in time.
"""

import asyncio
import logging
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import EMPTY_PAYLOAD, StreamReader, web
from aiohttp.http import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from privox_dht.http.request_limits import RequestLimits
from privox_dht.quotas import Prefixes

log = logging.getLogger("privox.api")

MAX_HEADER_LINES = 64  # a browser sends about 20
_CLIENT_ERRORS = (HttpProcessingError, ConnectionError, asyncio.IncompleteReadError)


class HttpProtocolFactory(web.Server):
    """Makes a protocol for each connection, and keeps track of the open ones."""

    def __init__(self, handler: Any, bounds: RequestLimits, request_factory: Any = None) -> None:
        super().__init__(
            handler,
            request_factory=request_factory,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=_ClientErrorsAtDebug(logging.getLogger("privox.http"), {}),
            keepalive_timeout=bounds.keepalive,
            lingering_time=bounds.linger,
            max_headers=MAX_HEADER_LINES,
            max_line_size=bounds.headers,
            max_field_size=bounds.headers,
        )
        self._bounds = bounds
        self._callbacks: dict[Any, Callable[[], None]] = {}

    def __call__(self) -> RequestHandler:
        return HttpConnection(self, bounds=self._bounds, loop=self._loop, **self._kwargs)

    def on_close(self, handler: Any, callback: Callable[[], None]) -> None:
        """Call `callback` once when the connection of `handler` has ended."""
        self._callbacks[handler] = callback

    def closed(self, handler: Any) -> None:
        """The connection of `handler` has ended, or its handshake failed."""
        if callback := self._callbacks.pop(handler, None):
            callback()

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        _set_user_timeout(transport, self._bounds.answer_stall)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.closed(handler)


@contextmanager
def during_job(request: web.BaseRequest) -> Iterator[None]:
    """While this is open, the connection of `request` does a job."""
    connection = request.protocol
    assert isinstance(connection, HttpConnection)
    connection.job_began()
    try:
        yield
    finally:
        connection.job_ended()


class HttpConnection(RequestHandler):
    """One connection; closed when headers do not end, or no job begins on it in time."""

    __slots__ = ("_body", "_caller", "_jobless", "_max_headers", "_unfinished", "_wait")

    def __init__(self, manager: web.Server, *, bounds: RequestLimits, **options: Any) -> None:
        super().__init__(manager, **options)
        self._max_headers = bounds.headers
        self._jobless = bounds.jobless
        self._caller: Callable[[], Prefixes] | None = None
        self._body: StreamReader = EMPTY_PAYLOAD  # of the latest request
        self._unfinished = 0  # bytes of a request whose headers have not ended
        self._wait: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.job_ended()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._wait:
            self._wait.cancel()

    def set_caller_source(self, caller: Callable[[], Prefixes]) -> None:
        """It came through a farm: `caller` returns the prefixes of the client behind it."""
        self._caller = caller

    def prefixes(self, prefixes_of: Callable[[str], Prefixes]) -> Prefixes:
        """The networks that the client counts for."""
        if self._caller is not None:
            return self._caller()
        peer = self.transport and self.transport.get_extra_info("peername")
        return prefixes_of(str(peer[0])) if peer else ()

    def job_began(self) -> None:
        """A job has begun: no time limit while it runs."""
        if self._wait:
            self._wait.cancel()
            self._wait = None

    def job_ended(self) -> None:
        """A job has ended: the next one must begin in time, or the connection is closed."""
        if self._wait:
            self._wait.cancel()
        if self.transport is None:  # disconnected
            return
        self._wait = asyncio.get_running_loop().call_later(self._jobless, self._no_job_in_time)

    def _no_job_in_time(self) -> None:
        self._wait = None
        if self._current_request is None:
            self.force_close()
        else:
            self.close()  # after the answer to the current request

    def data_received(self, data: bytes) -> None:
        is_body, requests = not self._body.is_eof(), len(self._messages)
        super().data_received(data)
        if len(self._messages) > requests:
            self._body = self._messages[-1][1]
            self._unfinished = 0
        elif not (is_body or self._upgraded):
            self._unfinished += len(data)
            if self._unfinished > self._max_headers:
                log.debug("a connection was closed: its request headers are too long")
                self.force_close()


class _ClientErrorsAtDebug(logging.LoggerAdapter[logging.Logger]):
    """Logs malformed requests at DEBUG, since they are the client's fault; aiohttp logs them as
    errors, with the client's address. Any other exception is a bug."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        exc = kwargs.get("exc_info")
        if isinstance(exc, Exception) and not isinstance(exc, _CLIENT_ERRORS):
            log_bug("a connection", exc)
        else:
            self.logger.debug("a malformed request: %s", exc)


def _set_user_timeout(transport: asyncio.Transport, stall: float) -> None:
    """Drop a client behind a dead link after `stall` seconds, not after 15 minutes."""
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(socket, "TCP_USER_TIMEOUT"):  # only Linux has it
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall * 1000))
    except OSError:  # not a TCP socket
        pass


def log_bug(what: str, exc: BaseException) -> None:
    """Log an unexpected exception: where it happened, and what the system says, at ERROR; its
    message, which may quote a client, at DEBUG only."""
    frames = traceback.extract_tb(exc.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"
    # A subclass has a name that tells, or numbers of its own
    said = f" ({os.strerror(exc.errno)})" if type(exc) is OSError and exc.errno else ""
    log.error("%s broke: %s%s at %s", what, type(exc).__name__, said, where)
    log.debug("%s broke", what, exc_info=exc)
