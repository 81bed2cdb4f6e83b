"""Sockets and connections of a server; HTTP itself is in `connections`.

bind(...)   sockets that have one port in the families asked for; they do not listen yet
Listener    listens there and accepts, within quotas of connections in all and from one network
"""

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Self

from privox_dht.errors import ConfigError
from privox_dht.http.connections import HttpProtocolFactory
from privox_dht.http.request_limits import RequestLimits
from privox_dht.membership.tls import MemberServerContext, NotAMember
from privox_dht.quotas import Prefixes, SharedQuota, quota_prefixes

log = logging.getLogger("privox.api")

BACKLOG = 128  # connections the kernel holds until they are accepted
ACCEPT_RETRY = 0.1  # seconds until the next try when the system has no descriptor left
PORT_ATTEMPTS = 8  # tries to find one number free in both families
_ANY = (None, "", "::")  # hosts that mean every address of both families


def bind(host: str | None, port: int) -> list[socket.socket]:
    """Sockets bound to `port` of `host`; None or "::": of every address, in both families. They
    do not listen yet: connections are refused.

    Port 0 is any free one, the same in both families.

    Raises:
        ConfigError: the port is taken, or the address is not of this machine.
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


def _bind(hosts: list[str], wanted: int) -> list[socket.socket]:
    port, sockets = wanted, list[socket.socket]()
    try:
        for host in hosts:
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
            bound = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(bound)
            if wanted:  # despite connections closed recently
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.bind((host, port))
            bound.setblocking(False)
            port = bound.getsockname()[1]
    except BaseException:
        for bound in sockets:
            bound.close()
        raise
    return sockets


class Listener:
    """Accepts connections while it is entered."""

    def __init__(
        self,
        sockets: list[socket.socket],
        http: HttpProtocolFactory,
        tls: ssl.SSLContext | None,
        bounds: RequestLimits,
        prefixes_of: Callable[[str], Prefixes] = quota_prefixes,
    ) -> None:
        self._sockets = sockets
        self._http = http
        self._tls = tls
        self._handshake = bounds.handshake if tls else None
        self._goodbye = bounds.goodbye if tls else None
        self._accepting: list[asyncio.Task[None]] = []
        self._handshakes: set[asyncio.Task[None]] = set()
        self._prefixes_of = prefixes_of
        self.quota = SharedQuota(bounds.connections, bounds.connections_per_address)

    async def __aenter__(self) -> Self:
        """Listen and accept from now on.

        Raises:
            ConfigError: another program has begun to listen there.
        """
        try:
            for sock in self._sockets:
                sock.listen(BACKLOG)
        except OSError as exc:
            port = sock.getsockname()[1]
            for sock in self._sockets:
                sock.close()
            raise ConfigError(f"cannot listen on port {port} any more: {exc.strerror}") from exc
        self._accepting = [asyncio.create_task(self._accept(sock)) for sock in self._sockets]
        return self

    async def __aexit__(self, *exc: object) -> None:
        tasks = [*self._accepting, *self._handshakes]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for sock in self._sockets:
            sock.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                conn, where = await loop.sock_accept(listening)
            except OSError as exc:
                log.warning("cannot accept a connection: %s", exc.strerror)
                await asyncio.sleep(ACCEPT_RETRY)
                continue
            # macOS tells no address of a connection that was reset meanwhile
            prefixes = self._prefixes_of(str(where[0])) if where else ()
            if where and self.quota.acquire(prefixes):
                self._start(conn, prefixes)
            else:
                conn.close()

    def _start(self, conn: socket.socket, prefixes: Prefixes) -> None:
        def ended(handshake: asyncio.Task[None]) -> None:
            self._handshakes.discard(handshake)
            if handshake.cancelled():  # perhaps before it began: then nothing else closes it
                conn.close()

        handshake = asyncio.create_task(self._tls_handshake(conn, prefixes))
        self._handshakes.add(handshake)
        handshake.add_done_callback(ended)

    async def _tls_handshake(self, conn: socket.socket, prefixes: Prefixes) -> None:
        """Do the TLS handshake, if any, and begin HTTP."""
        handler = self._http()
        self._http.on_close(handler, lambda: self.quota.release(prefixes))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler,
                conn,
                ssl=self._tls,
                ssl_handshake_timeout=self._handshake,
                ssl_shutdown_timeout=self._goodbye,
            )
        except OSError as exc:  # TLS errors and time-outs are among them
            log.debug("a TLS handshake failed: %s", type(exc).__name__)
            if isinstance(self._tls, MemberServerContext) and not isinstance(exc, NotAMember):
                self._tls.unfinished()
            self._http.closed(handler)
        except BaseException:
            self._http.closed(handler)
            raise
