"""The calls through a farm: bytes forwarded, slow readers, and when a call must end.

    client  --up-->    line     bytes the producer has yet to take
    client  <--down--  line     bytes the client has yet to take

Pure: no clock, no socket. A connection is any hashable object that stands for it.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from privox_dht.quotas import Prefixes
from privox_dht.relay.relay_limits import FarmLimits, Timeouts


@dataclass(slots=True, eq=False)
class ParkedProducer:
    """One producer at the farm, while its control line is open."""

    key: bytes
    instance: bytes  # of the process that parked: two machines with one key differ in it
    prefixes: Prefixes  # the networks it counts for
    control: Hashable
    idle: OrderedDict[str, Hashable] = field(default_factory=OrderedDict)  # token -> line
    tokens: set[str] = field(default_factory=set)  # granted, not used yet
    calls: int = 0
    full_sent: bool = False  # it knows that it has all the lines it may have


@dataclass(slots=True, eq=False)
class Direction:
    """One direction of a call."""

    written: int = 0  # bytes handed to the reader's connection so far
    acknowledged: int = 0  # of those, acknowledged by the reader at the last check
    stalled_since: float | None = None  # of the reader's last progress, while bytes wait
    held: int = 0  # bytes waiting in our own memory

    def update(self, waiting: int, now: float) -> None:
        """Record that `waiting` of the bytes written are not acknowledged yet."""
        acknowledged = self.written - waiting
        if waiting <= 0:
            self.stalled_since = None
        elif self.stalled_since is None or acknowledged > self.acknowledged:
            self.stalled_since = now
        self.acknowledged = acknowledged

    def stalled(self, now: float, stall: float) -> bool:
        """Whether bytes have waited for `stall` seconds without the reader taking any."""
        return self.stalled_since is not None and now - self.stalled_since >= stall


@dataclass(slots=True, eq=False)
class Call:
    """One client, spliced to one line."""

    client: Hashable  # the client's connection
    line: Hashable  # the producer's connection
    producer: ParkedProducer
    token: str  # the line's
    prefixes: Prefixes  # the networks its caller counts for
    started: float
    up: Direction = field(default_factory=Direction)
    down: Direction = field(default_factory=Direction)
    client_sent: bool = False  # the client has sent a byte
    closing: bool = False  # a side has hung up
    delivered: float | None = None  # when, after that, everything was delivered

    @property
    def carried(self) -> int:
        """Bytes, both ways."""
        return self.up.written + self.down.written

    def direction_to(self, side: Hashable) -> Direction:
        """The direction that ends at `side`."""
        return self.down if side is self.client else self.up

    def end_reason(self, now: float, terms: FarmLimits, timeouts: Timeouts) -> str | None:
        """Why this call must end now, in one word; None if it may go on."""
        if self.carried > terms.call_bytes:
            return "bytes"
        if now - self.started >= terms.call_seconds:
            return "seconds"
        if self.up.stalled(now, timeouts.stall) or self.down.stalled(now, timeouts.stall):
            return "stalled"
        if self.delivered is not None and now - self.delivered >= timeouts.linger:
            return "lingering"
        return None


class Calls:
    """All calls of a farm, and what they hold in memory together."""

    def __init__(self, terms: FarmLimits, timeouts: Timeouts) -> None:
        self._terms = terms
        self._timeouts = timeouts
        self._by_side: dict[Hashable, Call] = {}
        self._silent: OrderedDict[Call, None] = OrderedDict()  # longest silent first
        self._behind: OrderedDict[Direction, Call] = OrderedDict()  # longest behind first
        self.open: set[Call] = set()
        self.held = 0  # bytes, all calls together
        self.carried = 0  # bytes of calls that have ended
        self.total = 0  # calls put through so far

    def begin(self, call: Call) -> None:
        """A line was claimed."""
        self.total += 1
        self.open.add(call)
        self._silent[call] = None
        self._by_side[call.client] = self._by_side[call.line] = call

    def client_sent(self, call: Call) -> None:
        """The client has sent its first byte."""
        call.client_sent = True
        self._silent.pop(call, None)

    def pop_silent(self, now: float) -> list[Call]:
        """Calls whose client has not sent a byte in time; each is returned once."""
        late = []
        for call in self._silent:
            if now - call.started < self._timeouts.first_byte:
                break
            late.append(call)
        for call in late:
            del self._silent[call]
        return late

    def set_held(self, call: Call, side: Hashable, size: int) -> Call | None:
        """Record that `size` bytes for `side` wait in our memory.

        Returns:
            The call to drop because all calls together hold too much: the one whose reader has
            been behind for longest.
        """
        direction = call.direction_to(side)
        self.held += size - direction.held
        direction.held = size
        if size == 0:
            self._behind.pop(direction, None)
        else:
            self._behind.setdefault(direction, call)
        return next(iter(self._behind.values())) if self.held > self._terms.buffered else None

    def end_reason(self, call: Call, up: int, down: int, now: float) -> str | None:
        """Why a call must end, when `up` and `down` bytes wait to be taken; or None."""
        call.up.update(up, now)
        call.down.update(down, now)
        if not call.closing or up or down:
            call.delivered = None
        elif call.delivered is None:
            call.delivered = now
        return call.end_reason(now, self._terms, self._timeouts)

    def side_closed(self, side: Hashable) -> Call | None:
        """A connection is closed.

        Returns:
            The call, if this was its second side, so that it is over.
        """
        call = self._by_side.pop(side, None)
        if call is None:
            return None
        self.set_held(call, side, 0)
        call.closing = True
        self._silent.pop(call, None)
        if call.client in self._by_side or call.line in self._by_side:
            return None
        self.open.discard(call)
        self.carried += call.carried
        return call
