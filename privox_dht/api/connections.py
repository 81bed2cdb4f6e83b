"""HTTP on connections, those of our own gate and those that somebody else accepted.

aiohttp's low-level server, told to be quiet about strangers' bad manners, to tell handlers at once
when their client is gone, and to tell others when a connection is.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from privox_dht.api.bounds import Bounds
from privox_dht.api.jobs import log_bug

MAX_HEADER_LINES = 64  # a browser sends about 20
_MANNERS = (HttpProcessingError, ConnectionError, asyncio.IncompleteReadError)


class Connections(web.Server):
    """Makes a protocol for each connection, and knows which of them stand."""

    def __init__(self, handler: Any, bounds: Bounds) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=_Quiet(logging.getLogger("privox.http"), {}),
            keepalive_timeout=bounds.keepalive,
            lingering_time=bounds.linger,
            max_headers=MAX_HEADER_LINES,
            max_line_size=bounds.headers,
            max_field_size=bounds.headers,
        )
        self._stall = bounds.answer_stall
        self._when_lost: dict[Any, Callable[[], None]] = {}

    def when_lost(self, handler: Any, tell: Callable[[], None]) -> None:
        """Call `tell`, once, when the connection of `handler` is gone."""
        self._when_lost[handler] = tell

    def lost(self, handler: Any) -> None:
        """The connection of `handler` is gone, or never came to be."""
        if tell := self._when_lost.pop(handler, None):
            tell()

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        _give_up_on_the_dead(transport, self._stall)

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self.lost(handler)


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """aiohttp logs what it cannot parse as an error, with the client's address: to us that is a
    stranger's bad manners, for those who debug. What it could not foresee is a bug."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        exc = kwargs.get("exc_info")
        if isinstance(exc, Exception) and not isinstance(exc, _MANNERS):
            log_bug("a connection", exc)
        else:
            self.logger.debug("not understood: %s", exc)


def _give_up_on_the_dead(transport: asyncio.Transport, stall: float) -> None:
    """A client behind a dead link would otherwise hold its answer for a quarter of an hour."""
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(stall * 1000))
    except OSError:  # no TCP: a socket that somebody else made
        pass
