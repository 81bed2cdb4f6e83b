"""Sockets and connections of a speech server; what is said on them is for others.

listen(...)   sockets for one port on the families asked for
Connections   aiohttp's HTTP server with a bound on how many connections stand, in all and from
              one address
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections import Counter
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from privox_dht.api.jobs import log_bug
from privox_dht.errors import ConfigError

BACKLOG = 128  # connections the kernel holds until they are accepted
PORT_ATTEMPTS = 8  # tries to find one number free in both families
_ANY = (None, "", "::")  # hosts that mean every address of both families
_OURS = "loopback"  # whatever comes from this very machine


def listen(host: str | None, port: int) -> list[socket.socket]:
    """Listening sockets on `host` and `port`; on every address of both families with None or "::".

    Port 0 is any free one, the same in both families.

    Raises:
        ConfigError: the port is taken, or the host is not of this machine.
    """
    hosts = _families() if host in _ANY else [str(host)]
    try:
        for _ in range(PORT_ATTEMPTS):
            try:
                return _bind(hosts, port)
            except OSError as exc:
                if port or exc.errno != errno.EADDRINUSE or len(hosts) == 1:
                    raise
        return _bind(hosts[-1:], port)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot listen on {host or '::'} port {port}: {exc}") from exc


def _families() -> list[str]:
    return ["::", "0.0.0.0"] if socket.has_ipv6 and _ipv6_works() else ["0.0.0.0"]


def _ipv6_works() -> bool:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    except OSError:  # a kernel without it
        return False
    return True


def _bind(hosts: list[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for host in hosts:
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
            bound = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(bound)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((host, port))
            bound.listen(BACKLOG)
            bound.setblocking(False)
            port = bound.getsockname()[1]
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return sockets


_MANNERS = (HttpProcessingError, ConnectionError, asyncio.IncompleteReadError)


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """aiohttp logs what it cannot parse as an error, with the client's address: to us that is a
    stranger's bad manners, for those who debug. What it could not foresee is a bug."""

    def log(self, level: int, msg: object, *args: Any, **kwargs: Any) -> None:
        exc = kwargs.get("exc_info")
        if isinstance(exc, Exception) and not isinstance(exc, _MANNERS):
            log_bug("a connection", exc)
        else:
            self.logger.debug("not understood: %s", exc)


class Connections(web.Server):
    """HTTP on connections, ours and those others accepted, as many as are allowed."""

    def __init__(
        self, handler: Any, *, most: int, most_per_address: int, stall: float, **kwargs: Any
    ) -> None:
        logger = _Quiet(logging.getLogger("privox.http"), {})
        super().__init__(
            handler,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=logger,
            **kwargs,
        )
        self._stall = stall  # seconds that sent bytes may stay unacknowledged
        self._most = most
        self._most_per_address = most_per_address
        self._addresses: dict[Any, str] = {}
        self._per_address: Counter[str] = Counter()
        self.refused = 0  # connections beyond a bound

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        address = _address(transport)
        if len(self._connections) > self._most or self._crowded(address):
            self.refused += 1
            transport.abort()
            return
        self._give_up_on_the_dead(transport)
        self._addresses[handler] = address
        self._per_address[address] += 1

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        address = self._addresses.pop(handler, None)
        if address is not None:
            self._per_address[address] -= 1
            self._per_address += Counter()  # forget the zeros

    def _give_up_on_the_dead(self, transport: asyncio.Transport) -> None:
        """A client behind a dead link would otherwise hold its answer for a quarter of an hour."""
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            stall = int(self._stall * 1000)  # milliseconds
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall)
            except OSError:  # no TCP: a socket that somebody else made
                pass

    def _crowded(self, address: str) -> bool:
        return address != _OURS and self._per_address[address] >= self._most_per_address


def _address(transport: asyncio.Transport) -> str:
    """Whom a connection counts for: an IPv4 address, an IPv6 /64, or this very machine."""
    peer = transport.get_extra_info("peername")
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    except (TypeError, IndexError, ValueError):  # a socket that has no address: not from outside
        return _OURS
    if address.is_loopback:
        return _OURS
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
