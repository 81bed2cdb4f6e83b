"""Does at the sockets what the switchboard decides.

    protocols --> Exchange    a connection opened, spoke, is gone
    Exchange  --> Switchboard what now?
    Exchange  --> transports  say this, drop that

A connection stands in the switchboard as its transport, whichever protocol it has just now.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from privox_dht.identity import Identity
from privox_dht.membership.farm_line import SealedLine
from privox_dht.membership.members import Membership
from privox_dht.quotas import quota_prefixes
from privox_dht.relay import messages, relay_limits, tcp
from privox_dht.relay.farm.actions import Close, Effects, Send
from privox_dht.relay.farm.calls import Call
from privox_dht.relay.farm.switchboard import Switchboard
from privox_dht.relay.relay_limits import FarmLimits, Timeouts

if TYPE_CHECKING:
    from collections.abc import Hashable

NOWHERE = "0.0.0.0"  # whose quota a connection counts for that was gone before we saw it


class FarmDriver:
    """The shell around one farm's switchboard."""

    def __init__(
        self,
        identity: Identity,
        terms: FarmLimits,
        timeouts: Timeouts,
        clock: Callable[[], float],
        *,
        capped: bool,
        files: int,
        member: Membership | None = None,
    ) -> None:
        self.identity = identity
        self.member = member
        self.sealed: dict[asyncio.Transport, SealedLine] = {}  # control lines of a private mesh
        self.terms = terms
        self.clock = clock
        # One for all: sent on at once
        self.buffer = memoryview(bytearray(relay_limits.SPLICE_CHUNK))
        self.counts: Counter[str] = Counter()  # why connections were dropped or refused
        secret = os.urandom(messages.TOKEN)  # for tags of callers
        self.board = Switchboard(
            terms,
            timeouts,
            lambda: os.urandom(messages.TOKEN).hex(),
            lambda prefixes: messages.tag_caller(secret, prefixes),
            files=files,
            capped=capped,
        )
        self.quiet = asyncio.Event()  # no call is open
        self.empty = asyncio.Event()  # no connection is open
        self.quiet.set()
        self.empty.set()
        self._transports: dict[asyncio.Transport, bool] = {}  # True: the switchboard knows it

    def opened(self, transport: asyncio.Transport) -> None:
        """A connection opened.

        Raises:
            Refusal: there are too many.
            OSError: it is gone already.
        """
        self.empty.clear()
        self._transports[transport] = True
        peer = transport.get_extra_info("peername")
        host = peer[0] if peer else NOWHERE
        here = (f"{host}/32",)  # in a mesh of many machines, programs on ours have a quota too
        self.board.connection_opened(transport, quota_prefixes(host) or here, self.clock())
        tcp.keep_alive(transport.get_extra_info("socket"))

    def closed(self, transport: asyncio.Transport) -> None:
        """A connection is gone from the loop as well."""
        self.lost(transport)
        self.sealed.pop(transport, None)
        del self._transports[transport]
        if not self._transports:
            self.empty.set()

    def lost(self, transport: asyncio.Transport) -> None:
        """A connection is of no use any more, so that nobody gets it; may be said twice."""
        if not self._transports.get(transport):
            return
        self._transports[transport] = False
        self.apply(self.board.connection_closed(transport))
        if not self.board.calls.open:
            self.quiet.set()

    def claim(self, transport: asyncio.Transport, producer: bytes) -> Call:
        """A line of `producer` for the client at `transport`, in one step.

        Raises:
            Refusal: there is none.
        """
        call, effects = self.board.claim(transport, producer, self.clock())
        self.quiet.clear()
        self.apply(effects)
        return call

    def encode(self, control: asyncio.Transport, message: messages.Message) -> bytes:
        """A message as it goes over that control line."""
        line, said = self.sealed.get(control), messages.encode(message)
        return line.seal(said) if line else said

    def apply(self, effects: Effects) -> None:
        """Say and drop what the switchboard wants said and dropped."""
        for effect in effects:
            match effect:
                case Send(to, message):
                    control = _transport(to)
                    if not control.is_closing():
                        control.write(self.encode(control, message))
                case Close(who, why, gently):
                    self.counts[why] += 1
                    connection = _transport(who)
                    connection.close() if gently else connection.abort()
                    self.lost(connection)

    def held(self, call: Call, reader: asyncio.Transport, size: int) -> None:
        """`size` bytes wait in our memory for `reader`; if all wait too much, one call ends."""
        worst = self.board.calls.holding(call, reader, size)
        if worst is not None:
            self.hang_up(worst, "buffered")

    def hang_up(self, call: Call, why: str) -> None:
        """End a call at once."""
        self.apply([Close(call.client, why), Close(call.line, why)])

    def tick(self) -> None:
        """Drop what is overdue, send the pings that are due."""
        self.apply(self.board.tick(self.clock()))

    def look(self) -> None:
        """End the calls that have had their share, or whose reader takes nothing."""
        now = self.clock()
        for call in list(self.board.calls.open):
            up = tcp.unacknowledged_bytes(_transport(call.line))
            down = tcp.unacknowledged_bytes(_transport(call.client))
            why = self.board.calls.verdict(call, up, down, now)
            if why is not None:
                self.hang_up(call, why)

    def abort(self) -> None:
        """Drop everybody."""
        for transport in list(self._transports):
            transport.abort()


def _transport(who: Hashable) -> asyncio.Transport:
    return cast(asyncio.Transport, who)
