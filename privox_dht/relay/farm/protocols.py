"""The connections of a farm, from their first byte to their last.

HandshakeProtocol  a connection states its purpose within 4 KiB and 5 s (in a private mesh in a
                   sealed request, or it gets no answer), and becomes one of:
ControlProtocol      a producer's control line: nonce, challenge, proof, then messages and pings
SpliceProtocol       a parked line, silent until a call claims it; or the client of a call. Two of
                     them are a call: what arrives at one leaves at the other, and a slow reader
                     stops its sender (backpressure).
"""

from __future__ import annotations

import asyncio
import os

from privox_dht.errors import BadMessage
from privox_dht.membership import farm_line
from privox_dht.relay import messages, relay_limits, tcp
from privox_dht.relay.farm.actions import Rejected
from privox_dht.relay.farm.calls import Call, Direction
from privox_dht.relay.farm.driver import FarmDriver


class HandshakeProtocol(asyncio.Protocol):
    """A connection whose request has not been read yet."""

    __slots__ = ("_driver", "_head", "_request", "_transport")
    _transport: asyncio.Transport

    def __init__(self, driver: FarmDriver) -> None:
        self._driver = driver
        self._head = b""
        self._request = b""  # as it arrived sealed, in a private mesh

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        try:
            self._driver.opened(transport)
        except (Rejected, OSError) as exc:  # OSError: it is closed already
            self._driver.counts[getattr(exc, "reason", "gone")] += 1
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._head += data
        try:
            parsed = self._read()
            if parsed is not None:
                self._start(*parsed)
        except BadMessage as exc:
            self._refuse(exc.reason)
        except Rejected as exc:
            self._refuse(exc.reason)

    def _read(self) -> tuple[messages.Connect | messages.Park | messages.Control, bytes] | None:
        """The request, and the bytes after it; None: more must be read."""
        member = self._driver.member
        if member is None:
            return messages.read_head(self._head)
        if len(self._head) < farm_line.REQUEST:
            return None
        sealed, rest = self._head[: farm_line.REQUEST], self._head[farm_line.REQUEST :]
        head = farm_line.read_request(member, sealed, self._driver.identity.public)
        self._request = sealed
        parsed = messages.read_head(head)
        if parsed is None:
            raise BadMessage("head")
        return parsed[0], rest

    def _answer(self, head: bytes) -> None:
        member = self._driver.member
        if member is not None:
            head = farm_line.response(member, self._request, head)
        self._transport.write(head)

    def _start(
        self, request: messages.Connect | messages.Park | messages.Control, rest: bytes
    ) -> None:
        match request:
            case messages.Connect(producer):
                self._connect(producer, rest)
            case messages.Park(token):
                self._park(token, rest)
            case messages.Control(nonce):
                if (member := self._driver.member) is not None:
                    line = farm_line.SealedLine(member, self._request, is_farm=True)
                    self._driver.sealed[self._transport] = line
                control = ControlProtocol(self._driver, self._transport, nonce)
                self._transport.set_protocol(control)
                control.challenge(rest)

    def _connect(self, producer: bytes, rest: bytes) -> None:
        call = self._driver.claim(self._transport, producer)
        assert isinstance(call.line, asyncio.Transport)
        line = call.line.get_protocol()
        assert isinstance(line, SpliceProtocol)
        tcp.user_timeout(call.line.get_extra_info("socket"), 0)
        client = SpliceProtocol(self._driver, self._transport)
        self._transport.set_protocol(client)
        client.splice(line, call, call.up)
        line.splice(client, call, call.down)
        self._answer(messages.accepted(self._driver.terms))
        if rest:
            client.forward(rest)

    def _park(self, token: str, rest: bytes) -> None:
        if rest:
            raise BadMessage("head")
        tcp.user_timeout(self._transport.get_extra_info("socket"), relay_limits.UNACKED)
        self._transport.set_protocol(SpliceProtocol(self._driver, self._transport))
        self._driver.apply(self._driver.board.park(self._transport, token))

    def _refuse(self, reason: str) -> None:
        self._driver.counts[reason] += 1
        if reason in messages.REFUSALS:
            self._answer(messages.refusal(reason))
        self._transport.close()


class ControlProtocol(asyncio.Protocol):
    """The farm's end of a control line."""

    __slots__ = ("_decoder", "_driver", "_nonces", "_transport")

    def __init__(self, driver: FarmDriver, transport: asyncio.Transport, nonce: bytes) -> None:
        self._driver = driver
        self._transport = transport
        self._decoder = messages.MessageDecoder()
        self._nonces: tuple[bytes, bytes] | None = (nonce, os.urandom(messages.NONCE))
        transport.set_write_buffer_limits(high=relay_limits.HEAD)
        tcp.user_timeout(transport.get_extra_info("socket"), relay_limits.UNACKED)

    def challenge(self, rest: bytes) -> None:
        """Send the nonce that the producer must sign."""
        assert self._nonces is not None
        theirs, ours = self._nonces
        message = messages.challenge(self._driver.identity, theirs, ours)
        self._transport.write(self._driver.encode(self._transport, message))
        if rest:
            self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        try:
            line = self._driver.sealed.get(self._transport)
            for message in self._decoder.feed(line.decrypt(data) if line else data):
                self._handle(message)
        except BadMessage as exc:
            self._refuse(exc.reason, 0)
        except Rejected as exc:
            self._refuse(exc.reason, exc.wait)

    def _handle(self, message: messages.Message) -> None:
        driver = self._driver
        if self._nonces is not None:
            theirs, ours = self._nonces
            key, instance = messages.check_proof(message, driver.identity.public, ours, theirs)
            self._nonces = None  # one proof for one challenge
            driver.apply(driver.board.admit(self._transport, key, instance, driver.clock()))
        elif message[0] == "gone":
            driver.apply(driver.board.line_failed(self._transport, message[1]))
        elif message[0] != "ping":
            raise BadMessage("order", message[0])
        driver.board.touch(self._transport, driver.clock())

    def _refuse(self, reason: str, wait: int) -> None:
        self._driver.counts[reason] += 1
        self._transport.write(self._driver.encode(self._transport, ("refused", reason, str(wait))))
        self._transport.close()
        self._driver.lost(self._transport)

    def pause_writing(self) -> None:
        """Its write buffer is full: the peer does not read its control line. Close it."""
        self._driver.counts["deaf"] += 1
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.closed(self._transport)


class SpliceProtocol(asyncio.BufferedProtocol):
    """One side of a call, or a parked line that waits for one."""

    __slots__ = ("_call", "_driver", "_eof", "_onward", "_other", "_transport")

    def __init__(self, driver: FarmDriver, transport: asyncio.Transport) -> None:
        self._driver = driver
        self._transport = transport
        self._other: SpliceProtocol | None = None
        self._call: Call | None = None
        self._onward: Direction | None = None  # the direction of what arrives here
        self._eof = False  # this side has ended its stream

    def splice(self, other: SpliceProtocol, call: Call, onward: Direction) -> None:
        """From now on what arrives here is sent to `other`."""
        self._other, self._call, self._onward = other, call, onward
        self._transport.set_write_buffer_limits(high=0)  # buffer one chunk, then stop the sender

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._driver.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.forward(self._driver.buffer[:nbytes])

    def forward(self, data: bytes | memoryview) -> None:
        """Send what arrived to the other side."""
        call, other, onward = self._call, self._other, self._onward
        if call is None or other is None or onward is None:
            self._driver.counts["spoke"] += 1  # a parked line is silent
            self._transport.abort()
            return
        if not call.client_sent and onward is call.up:
            self._driver.board.calls.client_sent(call)
        onward.written += len(data)
        if call.carried > self._driver.terms.call_bytes:
            self._driver.hang_up(call, "bytes")
        elif not other._transport.is_closing():
            other._write(data)
            other._account(call, onward)

    def _write(self, data: bytes | memoryview) -> None:
        """Send what the system takes at once; only the rest is copied and buffered."""
        transport = self._transport
        sent = 0 if transport.get_write_buffer_size() else tcp.send(transport, data)
        if sent < len(data):
            transport.write(bytes(data[sent:]))

    def _account(self, call: Call, inward: Direction) -> None:
        size = self._transport.get_write_buffer_size()
        if size != inward.held:
            self._driver.held(call, self._transport, size)

    def pause_writing(self) -> None:
        if self._other is not None:
            self._other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._call is None or self._other is None or self._other._onward is None:
            return
        self._account(self._call, self._other._onward)
        if not self._other._eof:
            self._other._transport.resume_reading()

    def eof_received(self) -> bool:
        """This side has ended its stream: end the other's, which may still answer."""
        if self._call is None or self._other is None:
            self._driver.lost(self._transport)
            return False
        self._eof = self._call.closing = True
        if self._other._eof:
            self._other._transport.close()
            return False
        if not self._other._transport.is_closing():
            self._other._transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._driver.closed(self._transport)
        if self._other is not None:
            self._other._transport.close()
            self._other = None
