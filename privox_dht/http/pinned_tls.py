"""Which server a client talks to: an address, and the key that must answer there.

    client -> peer    TLS; the certificate's key must be the pinned one, which is checked before any
                      byte of the request is sent (through a farm too: it only relays bytes)

Every address must pass a filter before it is dialled.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import aiohttp

from privox_dht import limits
from privox_dht.errors import ConfigError
from privox_dht.http.member_dial import MemberDialler, call_head
from privox_dht.identity import peer_id_of, public_in
from privox_dht.membership.members import Membership, to_address, to_node

CLOSING_TURNS = 16  # of the loop; a transport needs three or four to notice an end and to close
AddressFilter = Callable[[str], bool]
TLS_VERSION = "TLSv1.3"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and how to reach it."""

    base: str  # "https://203.0.113.5:5678" or "https://<peer id>.privox"
    key: bytes | None  # pinned 32-byte Ed25519 key; None: its certificate is checked
    proxy: str | None = None  # "http://farm:1776"
    token: str | None = field(default=None, repr=False)  # bearer, for servers that require one
    # Whether a job may wait there for a slot, instead of getting a 503 at once
    queue: bool = True
    native: bool = True  # our own software: it supports `Expect`, events and heartbeats
    # Seconds to establish the connection
    connect_within: float = field(default_factory=lambda: limits.CONNECT_TIMEOUT)

    def __post_init__(self) -> None:
        if self.key is not None and not self.base.startswith("https://"):
            raise ConfigError(f"a pinned key needs https, not {self.base[:60]}")

    def __str__(self) -> str:
        return f"{self.base} by {self.proxy}" if self.proxy else self.base

    def url(self, path: str) -> str:
        """The URL of `path`; the base may end in /v1."""
        return self.base.rstrip("/").removesuffix("/v1") + path


class PinnedKey(aiohttp.Fingerprint):
    """For aiohttp's `ssl=`: the key in the peer's certificate must be this one.

    Also lowers the write buffer, since this is the first access to the transport: with a large one
    a stalled upload would look like progress.
    """

    def __init__(self, public: bytes) -> None:
        super().__init__(bytes(32))  # the length aiohttp insists on; the key is what is compared
        self.public = public

    def __repr__(self) -> str:
        return f"<PinnedKey {peer_id_of(self.public)[:8]}>"

    def check(self, transport: asyncio.Transport) -> None:
        """Raises ServerFingerprintMismatch if another key answers."""
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls else None
        got = public_in(certificate) if certificate else None
        if got != self.public or tls is None or tls.version() != TLS_VERSION:
            raise aiohttp.ServerFingerprintMismatch(self.public, got or b"", "peer", 0)
        transport.set_write_buffer_limits(high=limits.WRITE_BUFFER)


def connector(allow: AddressFilter, member: Membership | None = None) -> aiohttp.TCPConnector:
    """Connects to allowed addresses only; connections are reused for a short while.
    As `member` of a private mesh, to other members only."""

    def dial(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, where = address
        if not allow(str(where[0])):
            raise PermissionError(errno.EACCES, f"{where[0]} may not be dialled here")
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # see `limits.WRITE_BUFFER`
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, limits.WRITE_BUFFER)
        own.made.add(made)
        return made

    own = _Connector(
        MemberDialler(member, dial) if member else None,
        limit=0,  # jobs are limited elsewhere; waiting here would look like a dead peer
        keepalive_timeout=limits.KEEPALIVE / 2,  # close it before the other side does
        socket_factory=dial,
    )
    return own


class _Connector(aiohttp.TCPConnector):
    """Also closes what aiohttp leaves open: TLS connections of cancelled jobs, which would wait for
    the other side's close_notify, perhaps for longer than the loop runs."""

    def __init__(self, dialler: MemberDialler | None, **how: Any) -> None:
        super().__init__(**how)
        self._dialler = dialler  # in a private mesh
        self.made: WeakSet[socket.socket] = WeakSet()

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> Any:
        """aiohttp's hook for connections that are made in another way, as in its UnixConnector; the
        caller applies the time-out."""
        if self._dialler is None:
            return await super()._create_connection(req, traces, timeout)
        pin = req.ssl if isinstance(req.ssl, PinnedKey) else None
        address = (str(req.url.host), int(req.url.port or 0))
        destination = to_node(pin.public) if pin else to_address(address)
        through = b""
        if req.proxy is not None:
            address = (str(req.proxy.host), int(req.proxy.port or 0))
            through = call_head(str(req.url.host))
        transport, protocol = await self._dialler.connect(
            self._factory, destination, address, through=through
        )
        try:
            if pin is not None:
                pin.check(transport)
        except BaseException:
            transport.close()
            raise
        return protocol

    async def close(self, **how: Any) -> None:
        await super().close(**how)
        for _ in range(CLOSING_TURNS):
            left = [sock for sock in self.made if sock.fileno() >= 0]
            if not left:
                return
            for sock in left:
                with suppress(OSError):  # it is not connected
                    sock.shutdown(socket.SHUT_RDWR)  # its transport sees an end, and closes it
            await asyncio.sleep(0)
