"""TLS among members: before anything else, a sealed first message each way.

    client -> server   hello         sealed: time, destination, the hash of the next line
                       ClientHello   as usual
    server -> client   welcome       sealed to that hello: the server's key
                       ServerHello   as usual, and so on

Without a valid hello the connection is closed before a certificate is shown. An attacker who
recorded a hello, or stands in between, lacks the private key that belongs to its ClientHello: he
cannot continue it, and the hash keeps him from replacing it; a replay is known by its nonce. A
server that asks for another ClientHello (none of ours does) is cut off, since the hello does not
cover that. A client that gets no welcome, or another certificate than it names, sends nothing more.

asyncio and aiohttp take these contexts for any others: `SSLContext.sslobject_class` is where a
handshake can have a preamble.
"""

from __future__ import annotations

import hashlib
import ssl
from abc import ABC, abstractmethod
from typing import Any

from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.identity import PUBLIC, Identity, public_in
from privox_dht.membership import keys
from privox_dht.membership.members import DESTINATION, TIME, Membership, check_destination

HASH, LENGTH = 32, 2  # bytes of a SHA-256, and of the length of a ClientHello
HELLO = keys.NONCE + TIME + DESTINATION + LENGTH + HASH + keys.SEAL
WELCOME = keys.NONCE + PUBLIC + keys.SEAL
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# Where a ServerHello has its random number; RFC 8446, 4.1.3: this one is none
RETRY_AT = slice(11, 43)
WHERE = "tcp"


class NotAMember(ssl.SSLError):
    """The other side does not prove the mesh's secret."""


def _refusal(why: str) -> NotAMember:
    return NotAMember(ssl.SSL_ERROR_SSL, why)


class _Preamble(ABC):
    """What one connection exchanges before TLS."""

    def __init__(
        self, member: Membership, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self._member, self._incoming, self._outgoing = member, incoming, outgoing
        self._received = b""

    @abstractmethod
    def before(self) -> bool:
        """Whether TLS may go on. Raises NotAMember."""

    @abstractmethod
    def after(self) -> None:
        """TLS has gone one step further. Raises NotAMember."""

    @abstractmethod
    def done(self, certificate: bytes | None) -> None:
        """The TLS handshake is done. Raises NotAMember."""


class _ServerPreamble(_Preamble):
    def __init__(self, context: MemberServerContext, *bios: ssl.MemoryBIO) -> None:
        super().__init__(context.member, *bios)
        self._public = context.public
        self._hello = b""
        self._flight = (0, b"")  # of the ClientHello: its length and hash
        self._is_open = self._replied = False

    def before(self) -> bool:
        if self._is_open:
            return True
        self._received += self._incoming.read()
        try:
            if not self._hello and len(self._received) >= HELLO:
                self._read_hello()
            length, digest = self._flight
            if not self._hello or len(self._received) < length:
                return False
            if hashlib.sha256(self._received[:length]).digest() != digest:
                raise BadMessage("stranger", "another ClientHello")
        except BadMessage as exc:
            self._member.refuse(WHERE, exc)
            raise _refusal(exc.reason) from exc
        self._incoming.write(self._received)
        self._received, self._is_open = b"", True
        return True

    def _read_hello(self) -> None:
        self._hello, self._received = self._received[:HELLO], self._received[HELLO:]
        text = keys.unseal(self._member.keys.hello, self._hello)
        rest = text[TIME:]
        check_destination(rest[:DESTINATION], self._public, self._member.own)
        self._member.check(text[:TIME], self._hello[: keys.NONCE])
        length = int.from_bytes(rest[DESTINATION : DESTINATION + LENGTH], "big")
        if not 0 < length <= limits.MAX_CLIENT_HELLO:
            raise BadMessage("stranger", "a ClientHello that is too long")
        self._flight = (length, rest[DESTINATION + LENGTH :])

    def after(self) -> None:
        if self._replied or not self._outgoing.pending:
            return
        flight = self._outgoing.read()
        if flight[RETRY_AT] == RETRY:
            exc = BadMessage("stranger", "TLS that takes two tries")
            self._member.refuse(WHERE, exc)
            raise _refusal(str(exc))
        welcome = keys.seal(self._member.keys.welcome, self._public, self._hello)
        self._outgoing.write(welcome + flight)
        self._replied = True

    def done(self, certificate: bytes | None) -> None:
        """Nothing is left to be checked: the client has proved itself before."""


class _ClientPreamble(_Preamble):
    def __init__(self, context: MemberClientContext, *bios: ssl.MemoryBIO) -> None:
        super().__init__(context.member, *bios)
        self._destination = context.destination
        self._hello = self._server = b""

    def before(self) -> bool:
        if not self._hello or self._server:
            return True
        self._received += self._incoming.read()
        if len(self._received) < WELCOME:
            return False
        welcome, rest = self._received[:WELCOME], self._received[WELCOME:]
        try:
            self._server = keys.unseal(self._member.keys.welcome, welcome, self._hello)
        except BadMessage as exc:
            raise _refusal("the server is no member of our private mesh") from exc
        self._incoming.write(rest)
        return True

    def after(self) -> None:
        if self._hello:
            return
        flight = self._outgoing.read()
        text = b"".join((
            self._member.now(), self._destination, len(flight).to_bytes(LENGTH, "big"),
            hashlib.sha256(flight).digest(),
        ))  # fmt: skip
        self._hello = keys.seal(self._member.keys.hello, text)
        self._outgoing.write(self._hello + flight)

    def done(self, certificate: bytes | None) -> None:
        if certificate is None or public_in(certificate) != self._server:
            raise _refusal("another certificate than the one that the welcome names")


class _MemberTls(ssl.SSLObject):
    """TLS that begins once the preamble lets it."""

    preamble: _Preamble

    def do_handshake(self) -> None:
        preamble = self.preamble
        if not preamble.before():
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "waiting for the other side")
        try:
            super().do_handshake()
        finally:
            preamble.after()
        preamble.done(self.getpeercert(binary_form=True))


class _MemberContext(ssl.SSLContext, ABC):
    sslobject_class = _MemberTls
    member: Membership

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *how: Any, **more: Any
    ) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *how, **more)
        assert isinstance(made, _MemberTls)
        made.preamble = self._preamble(incoming, outgoing)
        return made

    @abstractmethod
    def _preamble(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> _Preamble:
        """What this connection exchanges."""


class MemberServerContext(_MemberContext):
    """Answers members only, with an identity's certificate."""

    public: bytes

    @classmethod
    def of(cls, identity: Identity, member: Membership) -> MemberServerContext:
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        identity.answer_with_certificate(context)
        context.member, context.public = member, identity.public
        return context

    def _preamble(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> _Preamble:
        return _ServerPreamble(self, incoming, outgoing)

    def unfinished(self) -> None:
        """Count a connection that ended before its first message was complete."""
        self.member.refuse(WHERE, BadMessage("unfinished"))


class MemberClientContext(_MemberContext):
    """Speaks to one member: TLS 1.3, and whatever certificate the welcome names."""

    destination: bytes

    @classmethod
    def to(cls, destination: bytes, member: Membership) -> MemberClientContext:
        """
        Args:
            destination: see `members.to_node` and `to_address`.
        """
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.member, context.destination = member, destination
        return context

    def _preamble(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> _Preamble:
        return _ClientPreamble(self, incoming, outgoing)


def server_context(identity: Identity, member: Membership | None) -> ssl.SSLContext:
    """A node's TLS context: for members only, where the mesh is a private one."""
    return MemberServerContext.of(identity, member) if member else identity.server_context()
