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
import ssl
from collections import Counter
from types import TracebackType
from typing import Self

from privox_dht.api.bounds import Bounds
from privox_dht.api.connections import Connections
from privox_dht.errors import ConfigError

log = logging.getLogger("privox.api")

BACKLOG = 128  # connections the kernel holds until they are accepted
ACCEPT_AGAIN = 0.1  # seconds until the next try when the system has no descriptor left
PORT_ATTEMPTS = 8  # tries to find one number free in both families
_ANY = (None, "", "::")  # hosts that mean every address of both families
OURS = "loopback"  # whatever comes from this very machine


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


class Crowd:
    """Who stands where, and who may come: one total, one share for each address but our own."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._standing: Counter[str] = Counter()
        self.refused = 0

    def __repr__(self) -> str:
        return f"<Crowd {self._standing.total()} standing, {self.refused} refused>"

    def enter(self, address: str) -> bool:
        """Whether one more from `address` may come; if so, it counts from now on."""
        crowded = address != OURS and self._standing[address] >= self._most_per_address
        if crowded or self._standing.total() >= self._most:
            self.refused += 1
            return False
        self._standing[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One from `address` has gone."""
        self._standing[address] -= 1
        if self._standing[address] <= 0:
            del self._standing[address]


class Gate:
    """Lets connections in while it is entered."""

    def __init__(
        self,
        sockets: list[socket.socket],
        http: Connections,
        tls: ssl.SSLContext | None,
        bounds: Bounds,
    ) -> None:
        self._sockets = sockets
        self._http = http
        self._tls = tls
        self._handshake = bounds.handshake if tls else None
        self._accepting: list[asyncio.Task[None]] = []
        self._greeting: set[asyncio.Task[None]] = set()
        self.crowd = Crowd(bounds.connections, bounds.connections_per_address)

    async def __aenter__(self) -> Self:
        self._accepting = [asyncio.create_task(self._accept(door)) for door in self._sockets]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [*self._accepting, *self._greeting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for door in self._sockets:
            door.close()

    async def _accept(self, door: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, where = await loop.sock_accept(door)
            except OSError as exc:
                log.warning("cannot accept a connection: %s", exc.strerror)
                await asyncio.sleep(ACCEPT_AGAIN)
                continue
            address = address_of(str(where[0]))
            if self.crowd.enter(address):
                self._start(line, address)
            else:
                line.close()

    def _start(self, line: socket.socket, address: str) -> None:
        def over(greeting: asyncio.Task[None]) -> None:
            self._greeting.discard(greeting)
            if greeting.cancelled():  # perhaps before it began, and so before anybody owned it
                line.close()

        greeting = asyncio.create_task(self._greet(line, address))
        self._greeting.add(greeting)
        greeting.add_done_callback(over)

    async def _greet(self, line: socket.socket, address: str) -> None:
        """From a raw connection to one that HTTP is spoken on."""
        handler = self._http()
        self._http.when_lost(handler, lambda: self.crowd.leave(address))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: handler, line, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        except OSError as exc:  # TLS errors and time-outs are among them
            log.debug("a handshake failed: %s", type(exc).__name__)
            self._http.lost(handler)
        except BaseException:
            self._http.lost(handler)
            raise


def address_of(host: str) -> str:
    """Whom a connection counts for: an IPv4 address, an IPv6 /64, or this very machine."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_loopback:
        return OURS
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
