"""Applies to sockets what the switchboard decides.

    protocols  --> FarmDriver   a connection opened, sent something, closed
    FarmDriver --> Switchboard  the event; what is to be done?
    FarmDriver --> transports   send this, close that

The switchboard knows a connection by its transport, whichever protocol that has at the moment.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, cast

from privox_dht.identity import Identity
from privox_dht.membership.farm_line import SealedLine
from privox_dht.membership.members import Membership
from privox_dht.quotas import quota_prefixes
from privox_dht.relay import messages, relay_limits, tcp
from privox_dht.relay.farm.actions import Actions, Close, Send
from privox_dht.relay.farm.calls import Call
from privox_dht.relay.farm.switchboard import Switchboard
from privox_dht.relay.relay_limits import FarmLimits, Timeouts

if TYPE_CHECKING:
    from collections.abc import Hashable

UNKNOWN_HOST = "0.0.0.0"  # stands for the address of a connection closed before we could see it


class FarmDriver:
    """The shell around one farm's switchboard."""

    def __init__(
        self,
        identity: Identity,
        terms: FarmLimits,
        timeouts: Timeouts,
        *,
        capped: bool,
        files: int,
        member: Membership | None = None,
    ) -> None:
        self.identity = identity
        self.member = member
        self.sealed: dict[asyncio.Transport, SealedLine] = {}  # control lines of a private mesh
        self.terms = terms
        self.clock = time.monotonic
        # Shared by all connections: what is read is forwarded at once
        self.buffer = memoryview(bytearray(relay_limits.SPLICE_CHUNK))
        self.counts: Counter[str] = Counter()  # why connections were closed or rejected
        secret = os.urandom(messages.TOKEN)  # for tags of callers
        self.board = Switchboard(
            terms,
            timeouts,
            lambda: os.urandom(messages.TOKEN).hex(),
            lambda prefixes: messages.tag_caller(secret, prefixes),
            files=files,
            capped=capped,
        )
        self.no_calls = asyncio.Event()
        self.no_connections = asyncio.Event()
        self.no_calls.set()
        self.no_connections.set()
        self._transports: dict[asyncio.Transport, bool] = {}  # True: the switchboard knows it

    def opened(self, transport: asyncio.Transport) -> None:
        """A connection opened.

        Raises:
            Rejected: there are too many.
            OSError: it is closed already.
        """
        self.no_connections.clear()
        self._transports[transport] = True
        peer = transport.get_extra_info("peername")
        host = peer[0] if peer else UNKNOWN_HOST
        here = (f"{host}/32",)  # of loopback: programs on this machine share a quota of their own
        self.board.connection_opened(transport, quota_prefixes(host) or here, self.clock())
        tcp.keep_alive(transport.get_extra_info("socket"))

    def closed(self, transport: asyncio.Transport) -> None:
        """A connection is closed, and its transport gone."""
        self.lost(transport)
        self.sealed.pop(transport, None)
        del self._transports[transport]
        if not self._transports:
            self.no_connections.set()

    def lost(self, transport: asyncio.Transport) -> None:
        """A connection cannot be used any more; may be called twice."""
        if not self._transports.get(transport):
            return
        self._transports[transport] = False
        self.apply(self.board.connection_closed(transport))
        if not self.board.calls.open:
            self.no_calls.set()

    def claim(self, transport: asyncio.Transport, producer: bytes) -> Call:
        """A line of `producer` for the client at `transport`, in one step.

        Raises:
            Rejected: there is none.
        """
        call, actions = self.board.claim(transport, producer, self.clock())
        self.no_calls.clear()
        self.apply(actions)
        return call

    def encode(self, control: asyncio.Transport, message: messages.Message) -> bytes:
        """A message as it goes over that control line."""
        line, text = self.sealed.get(control), messages.encode(message)
        return line.seal(text) if line else text

    def apply(self, actions: Actions) -> None:
        """Perform the switchboard's actions."""
        for action in actions:
            match action:
                case Send(to, message):
                    control = _transport(to)
                    if not control.is_closing():
                        control.write(self.encode(control, message))
                case Close(connection, reason, after_flush):
                    self.counts[reason] += 1
                    transport = _transport(connection)
                    transport.close() if after_flush else transport.abort()
                    self.lost(transport)

    def held(self, call: Call, reader: asyncio.Transport, size: int) -> None:
        """`size` bytes wait for `reader`; if all calls hold too many, the slowest one ends."""
        slowest = self.board.calls.set_held(call, reader, size)
        if slowest is not None:
            self.hang_up(slowest, "buffered")

    def hang_up(self, call: Call, reason: str) -> None:
        """End a call at once."""
        self.apply([Close(call.client, reason), Close(call.line, reason)])

    def tick(self) -> None:
        """Close what is overdue, send the pings that are due."""
        self.apply(self.board.tick(self.clock()))

    def check_calls(self) -> None:
        """End the calls that are over a limit, or whose reader has stalled."""
        now = self.clock()
        for call in list(self.board.calls.open):
            up = tcp.unacknowledged_bytes(_transport(call.line))
            down = tcp.unacknowledged_bytes(_transport(call.client))
            reason = self.board.calls.end_reason(call, up, down, now)
            if reason is not None:
                self.hang_up(call, reason)

    def abort(self) -> None:
        """Close every connection."""
        for transport in list(self._transports):
            transport.abort()


def _transport(connection: Hashable) -> asyncio.Transport:
    return cast(asyncio.Transport, connection)
