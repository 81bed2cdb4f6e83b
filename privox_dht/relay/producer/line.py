"""One line of a producer, from dialling the farm to the end of the call.

    dial, PARK <token>           then silence: the next bytes are a client's TLS
    the first byte of a call     the HTTP server gets the connection, as if it had accepted it
    its handshake is done        the line belongs to the HTTP server; only its end is reported

Nothing is read before there is something to read, so a parked line costs a socket and no TLS
buffers, and a call costs no round trip. A claimed line has five seconds to finish its handshake.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from privox_dht import limits
from privox_dht.addresses import join_host
from privox_dht.identity import Identity
from privox_dht.membership import farm_line
from privox_dht.membership.members import Membership, to_node
from privox_dht.quotas import Prefixes
from privox_dht.relay import messages, relay_limits, tcp
from privox_dht.relay.producer.farm_selection import FarmAddress
from privox_dht.relay.relay_limits import Timeouts

MakeProtocol = Callable[[], asyncio.BaseProtocol]


@runtime_checkable
class CallerAware(Protocol):
    """A server's protocol that shares its slots among networks."""

    def set_caller_source(self, caller: Callable[[], Prefixes]) -> None: ...


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session at a farm and its lines have in common."""

    farm: FarmAddress
    identity: Identity
    server_context: ssl.SSLContext  # answers a client's TLS
    connection: MakeProtocol  # makes the HTTP server's protocol for one connection
    timeouts: Timeouts
    lines: int
    instance: bytes
    member: Membership | None  # in a private mesh

    def seal(self, head: bytes) -> bytes:
        """The head of a connection to the farm as it is sent: sealed in a private mesh."""
        if self.member is None:
            return head
        return farm_line.request(self.member, to_node(self.farm.public), head)

    def __str__(self) -> str:
        return join_host(self.farm.host, self.farm.port)


class Line:
    """A parked connection, or one with a call on it."""

    def __init__(self, token: str, config: SessionConfig, on_end: Callable[[Line], None]) -> None:
        """
        Args:
            token: from the farm, for this line.
            on_end: called when a call handed to the HTTP server has ended.
        """
        self.token = token
        self.parked = False  # as the farm reports
        self.claimed = False  # as the farm reports, or by a first byte
        self.handed = False  # to the HTTP server
        self._config = config
        self._on_end = on_end
        self._caller = "-"
        self._sock: socket.socket | None = None
        self._limit: asyncio.Timeout | None = None  # of the handshake

    def __repr__(self) -> str:
        states = ("handed", "claimed", "parked")
        return f"<Line {next((s for s in states if getattr(self, s)), 'dialling')}>"

    async def run(self, delay: float = 0.0) -> None:
        """From dialling until a call is handed to the HTTP server.

        Raises:
            OSError: it failed before; `claimed` tells whether there was a call.
        """
        await asyncio.sleep(delay)
        async with asyncio.timeout(None) as self._limit:
            await self._serve()

    async def _serve(self) -> None:
        """Park, wait for a call, and give it to the HTTP server."""
        loop = asyncio.get_running_loop()
        config, farm = self._config, self._config.farm
        self._sock = sock = await tcp.dial(farm.host, farm.port, relay_limits.PRODUCER_DIAL)
        try:
            tcp.set_parked_options(sock)
            await loop.sock_sendall(sock, config.seal(messages.park(self.token)))
            await tcp.wait_readable(sock)
            self.claim()
        except BaseException:
            sock.close()
            raise
        try:
            await loop.connect_accepted_socket(
                self._watched_protocol,
                sock,
                ssl=config.server_context,
                ssl_handshake_timeout=config.timeouts.handshake,
                ssl_shutdown_timeout=limits.TLS_SHUTDOWN_TIMEOUT,
            )
        except BaseException:
            with suppress(OSError):  # cancelled before the handshake began, asyncio leaves it open
                sock.shutdown(socket.SHUT_RDWR)
            raise

    def _watched_protocol(self) -> WatchedProtocol:
        """A protocol of the HTTP server, which can ask this line for the caller's networks."""
        protocol = self._config.connection()
        if isinstance(protocol, CallerAware):
            protocol.set_caller_source(lambda: self.caller)
        return WatchedProtocol(protocol, self._on_handshake, lambda: self._on_end(self))

    def _on_handshake(self) -> None:
        self.handed = True

    @property
    def caller(self) -> Prefixes:
        """The networks of its caller, as tagged by the farm."""
        return tuple(f"{tag} by {self._config}" for tag in self._caller.split("."))

    def claim(self, caller: str = "") -> None:
        """A call has this line, and must finish its handshake in time. `caller` is the farm's tag
        of the caller."""
        self._caller = caller or self._caller
        if self.claimed or self._sock is None or self._limit is None:
            return
        self.claimed = True
        tcp.user_timeout(self._sock, 0)  # a slow reader is not a dead one
        self._limit.reschedule(asyncio.get_running_loop().time() + self._config.timeouts.handshake)


class WatchedProtocol(asyncio.Protocol):
    """The HTTP server's protocol, with callbacks when its connection begins and ends."""

    __slots__ = ("_inner", "_on_close", "_on_open")

    def __init__(
        self, inner: asyncio.BaseProtocol, on_open: Callable[[], None], on_close: Callable[[], None]
    ) -> None:
        assert isinstance(inner, asyncio.Protocol)
        self._inner = inner
        self._on_open = on_open
        self._on_close = on_close

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._on_open()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            self._inner.connection_lost(exc)
        finally:
            self._on_close()
