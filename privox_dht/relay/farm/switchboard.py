"""Every decision of a farm: which producers may park, and which line a call gets. No I/O.

    a connection opens            connection_opened   it must state its purpose in time
    it proves a producer's key    admit               it gets tokens for its lines; the newest wins
    it shows a token              park                a line of that producer, silent from then on
    it asks for a producer        claim               it gets the line that was parked for longest
    it is closed                  connection_closed   a new token replaces a parked line
    time passes                   tick                what is overdue is closed, pings are sent

A connection is any hashable object; the driver uses transports. The methods return actions, `Send`
and `Close`, for the driver. Time is an argument.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from privox_dht.quotas import Prefixes, SharedQuota
from privox_dht.relay import relay_limits
from privox_dht.relay.farm.actions import Actions, Close, Rejected, Send
from privox_dht.relay.farm.calls import Call, Calls, ParkedProducer
from privox_dht.relay.relay_limits import FarmLimits, Timeouts


class Switchboard:
    """The state of a farm."""

    def __init__(
        self,
        terms: FarmLimits,
        timeouts: Timeouts,
        new_token: Callable[[], str],
        tag_caller: Callable[[Prefixes], str],
        *,
        files: int,
        capped: bool = True,
    ) -> None:
        self._terms = terms
        self._timeouts = timeouts
        self._new_token = new_token
        self._tag_caller = tag_caller
        self._files = files  # connections that the system allows
        self._reserve = min(relay_limits.FARM_FILE_RESERVE, files // 8)
        self._capped = capped  # quotas per address; off where all nodes have the same one
        # oldest first
        self._handshakes: OrderedDict[Hashable, tuple[float, Prefixes]] = OrderedDict()
        self._handshake_quota = SharedQuota(
            relay_limits.FARM_HANDSHAKES, relay_limits.FARM_HANDSHAKES_PER_ADDRESS
        )
        self._producer_quota = SharedQuota(None, terms.producers_per_address)
        self._call_quota = SharedQuota(None, terms.calls_per_address)
        # For each producer
        self._line_quota = SharedQuota(None, relay_limits.FARM_LINES_PER_ADDRESS)
        self._controls: dict[Hashable, ParkedProducer] = {}
        self._last_seen: OrderedDict[Hashable, float] = OrderedDict()  # longest silent first
        self._pinged: OrderedDict[Hashable, float] = OrderedDict()  # longest ago first
        self._tokens: dict[str, ParkedProducer] = {}
        self._lines: dict[Hashable, tuple[ParkedProducer, str]] = {}  # parked
        self._moves: dict[bytes, deque[float]] = {}  # when keys moved to another machine
        self._draining = False
        self.producers: dict[bytes, ParkedProducer] = {}
        self.calls = Calls(terms, timeouts)
        self.connections = 0

    def __repr__(self) -> str:
        held = f"{len(self.producers)} producers, {len(self._lines)} lines parked"
        busy = f"{len(self.calls.open)} calls, {len(self._handshakes)} in handshake"
        return f"<Switchboard {held}, {busy}{', draining' if self._draining else ''}>"

    @property
    def parked(self) -> int:
        """Lines that wait for a call."""
        return len(self._lines)

    # -- handshakes ------------------------------------------------------------------------

    def connection_opened(self, connection: Hashable, prefixes: Prefixes, now: float) -> None:
        """A connection from those networks opened; it has `timeouts.head` seconds to state and
        prove its purpose.

        Raises:
            Rejected: there are too many; `connection_closed` must be called all the same.
        """
        self.connections += 1
        if self.connections > self._files:
            raise Rejected("full")
        prefixes = prefixes if self._capped else ()
        if not self._handshake_quota.acquire(prefixes):
            raise Rejected("handshakes")
        self._handshakes[connection] = (now, prefixes)

    def _end_handshake(self, connection: Hashable) -> None:
        _, prefixes = self._handshakes.pop(connection)
        self._handshake_quota.release(prefixes)

    # -- producers --------------------------------------------------------------------------

    def admit(self, connection: Hashable, key: bytes, instance: bytes, now: float) -> Actions:
        """The connection has proved to be the producer of `key`.

        Raises:
            Rejected: it cannot be parked here now.
        """
        prefixes = self._handshakes[connection][1]
        old = self.producers.get(key)
        self._check_admission(key, instance, prefixes, old, now)
        actions: Actions = []
        if old is not None:
            actions = [Send(old.control, ("superseded",)), *self._end(old, "superseded")]
            actions.append(Close(old.control, "superseded", after_flush=True))
        self._end_handshake(connection)
        producer = ParkedProducer(key, instance, prefixes, connection)
        self.producers[key] = self._controls[connection] = producer
        self._producer_quota.take(prefixes)
        self._last_seen[connection] = self._pinged[connection] = now
        granted = ("granted", str(self._terms.idle_lines), str(self._terms.lines))
        return [*actions, Send(connection, granted), *self._grant(producer)]

    def _check_admission(
        self,
        key: bytes,
        instance: bytes,
        prefixes: Prefixes,
        old: ParkedProducer | None,
        now: float,
    ) -> None:
        if self._draining:
            raise Rejected("draining", 60)
        if old is None and (len(self.producers) >= self._terms.producers or not self._has_room()):
            raise Rejected("full", 60)
        moved = old is None or old.prefixes != prefixes  # to another network, or to this farm
        if moved and not self._producer_quota.has_share(prefixes):
            raise Rejected("address", 300)
        if old is not None and old.instance != instance:
            self._moves = {k: m for k, m in self._moves.items() if now - m[-1] < _WINDOW}
            moves = self._moves.setdefault(key, deque(maxlen=relay_limits.FLAPS))
            if len(moves) == relay_limits.FLAPS and now - moves[0] < _WINDOW:
                raise Rejected("flapping", int(_WINDOW))
            moves.append(now)

    def _has_room(self) -> bool:
        return self._files - self.connections >= self._reserve

    def _grant(self, producer: ParkedProducer) -> Actions:
        """Tokens for the idle lines that the producer may still park."""
        actions: Actions = []
        while len(producer.idle) + len(producer.tokens) < self._terms.idle_lines:
            lines = len(producer.idle) + len(producer.tokens) + producer.calls
            if lines >= self._terms.lines:
                if not producer.full_sent:
                    actions.append(Send(producer.control, ("full",)))
                producer.full_sent = True
                return actions
            token = self._new_token()
            producer.tokens.add(token)
            self._tokens[token] = producer
            actions.append(Send(producer.control, ("token", token)))
        producer.full_sent = False
        return actions

    def park(self, connection: Hashable, token: str) -> Actions:
        """The connection shows a token: it is a parked line from now on.

        Raises:
            Rejected: the token is not valid (any more), or there is no room.
        """
        producer = self._tokens.get(token)
        if producer is None:
            raise Rejected("token")
        if not self._has_room():
            return [Send(producer.control, ("full",)), Close(connection, "full")]
        self._end_handshake(connection)
        del self._tokens[token]
        producer.tokens.discard(token)
        producer.idle[token] = connection
        self._lines[connection] = (producer, token)
        return [Send(producer.control, ("parked", token))]

    def line_failed(self, connection: Hashable, token: str) -> Actions:
        """The producer reports a dead line, or a token that it could not use."""
        producer = self._controls.get(connection)
        if producer is None:
            return []
        if token in producer.idle:
            return [Close(producer.idle[token], "gone")]
        if token in producer.tokens:
            producer.tokens.discard(token)
            del self._tokens[token]
            return self._grant(producer)
        return []

    def touch(self, connection: Hashable, now: float) -> None:
        """Something arrived on a control line."""
        if connection in self._last_seen:
            self._last_seen[connection] = now
            self._last_seen.move_to_end(connection)

    # -- clients ----------------------------------------------------------------------------

    def claim(self, connection: Hashable, key: bytes, now: float) -> tuple[Call, Actions]:
        """Give the connection a line of the producer of `key`. The last idle line is reserved for
        networks that have no call with that producer yet.

        Raises:
            Rejected: there is none, or this caller has too many.
        """
        prefixes = self._handshakes[connection][1]
        if self._draining:
            raise Rejected("draining")
        at_producer = _at_producer(key, prefixes)
        if not (self._call_quota.has_share(prefixes) and self._line_quota.has_share(at_producer)):
            raise Rejected("address")
        producer = self.producers.get(key)
        if producer is None:
            raise Rejected("unknown")
        last_for_others = self._terms.idle_lines > 1 and self._line_quota.held_by(at_producer)
        if len(producer.idle) <= bool(last_for_others):
            raise Rejected("line")
        token, line = producer.idle.popitem(last=False)
        del self._lines[line]
        self._end_handshake(connection)
        self._call_quota.take(prefixes)
        self._line_quota.take(at_producer)
        producer.calls += 1
        call = Call(connection, line, producer, token, prefixes, now)
        self.calls.begin(call)
        claimed = ("claimed", token, self._tag_caller(prefixes))
        return call, [Send(producer.control, claimed), *self._grant(producer)]

    # -- ends -------------------------------------------------------------------------------

    def connection_closed(self, connection: Hashable) -> Actions:
        """A connection is closed."""
        self.connections -= 1
        if connection in self._handshakes:
            self._end_handshake(connection)
        elif connection in self._controls:
            return self._end(self._controls[connection], "control")
        elif connection in self._lines:
            producer, token = self._lines.pop(connection)
            del producer.idle[token]
            return self._grant(producer)
        elif call := self.calls.side_closed(connection):
            return self._over(call)
        return []

    def _over(self, call: Call) -> Actions:
        """Both sides of a call are closed. Its producer may have left before, or parked again."""
        self._call_quota.release(call.prefixes)
        self._line_quota.release(_at_producer(call.producer.key, call.prefixes))
        call.producer.calls -= 1
        is_parked = self._controls.get(call.producer.control) is call.producer
        return self._grant(call.producer) if is_parked else []

    def _end(self, producer: ParkedProducer, reason: str) -> Actions:
        """Remove a producer: its parked lines are closed, its calls go on."""
        del self.producers[producer.key], self._controls[producer.control]
        self._last_seen.pop(producer.control, None)
        self._pinged.pop(producer.control, None)
        self._producer_quota.release(producer.prefixes)
        for token in producer.tokens:
            del self._tokens[token]
        for line in producer.idle.values():
            del self._lines[line]
        return [Close(line, reason) for line in producer.idle.values()]

    def drain(self, seconds: float) -> Actions:
        """No new calls and no new producers from now on."""
        self._draining = True
        message = ("draining", str(math.ceil(seconds)))
        return [Send(control, message) for control in self._controls]

    def tick(self, now: float) -> Actions:
        """Close what is overdue. Each queue is in order of time, so only what is due is touched."""
        actions: Actions = []
        for connection, (since, _) in self._handshakes.items():
            if now - since < self._timeouts.head:
                break
            actions.append(Close(connection, "late"))
        since = now - self._timeouts.silence
        while self._last_seen and next(iter(self._last_seen.values())) <= since:
            actions.append(Close(self._last_seen.popitem(last=False)[0], "silence"))
        while self._pinged and now - next(iter(self._pinged.values())) >= self._timeouts.ping:
            control = next(iter(self._pinged))
            self._pinged[control] = now
            self._pinged.move_to_end(control)
            actions.append(Send(control, ("ping",)))
        for call in self.calls.pop_silent(now):
            actions += [Close(call.client, "silent"), Close(call.line, "silent")]
        return actions


_WINDOW = relay_limits.FLAP_WINDOW


def _at_producer(key: bytes, prefixes: Prefixes) -> Prefixes:
    """The same networks, as callers of one producer."""
    return tuple(f"{key.hex()}@{prefix}" for prefix in prefixes)
