"""Placing records: on the nodes closest to each key they stand under.

    publisher -> walk to the key; every node that answers on the way gives a write token
              -> put, to each of the closest as soon as the very closest has answered
    node      -> held | refused | full; and whether the key has split: if most of the closest say
                 so, to its shard instead, and to the key only as one of a sample (`placement`)

`put` returns when ten of the closest twenty (all, in a small mesh) have confirmed; the rest goes on
behind it. The nodes and their tokens are remembered, so that the next announcement needs no walk;
one of them is asked now and then who has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from privox_dht import limits
from privox_dht.dht import answer_codec, placement
from privox_dht.dht.answer_codec import FULL, HELD, Stored
from privox_dht.dht.candidate import ANSWERED, DEAD, NEW, SLOW, Candidate
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.dht.node_state import NodeState, Said
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.rpc_protocol import RpcProtocol
from privox_dht.identity import dht_id_of
from privox_dht.records import Record, keys_of

K = TypeVar("K")
V = TypeVar("V")
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


class StoreLookup(IterativeLookup):
    """A walk that leaves a record with the closest nodes it meets."""

    def __init__(
        self,
        state: NodeState,
        protocols: dict[int, RpcProtocol],
        base: bytes,
        depth: int,
        record: Record,
        holders: list[Candidate],
        look: bool = False,
        deeper: bool = False,
    ) -> None:
        """`holders` took the last word and are asked nothing more; with `look`, one of them is, who
        has come since. With `deeper` the publisher stands in a shard of this key as well, and is
        here as one of a sample."""
        target = shard_of(base, dht_id_of(record.publisher), depth)
        super().__init__(state, protocols, target, base=base)
        self.depth, self.record, self.deeper = depth, record, deeper
        self.counts: list[int] = []  # records under the key, by those who took it
        self.held = 0  # nodes that hold it for sure
        self.taken = 0  # nodes that took it, perhaps only to draw lots: the key is full there
        self.enough: asyncio.Future[None] = self.loop.create_future()
        self._writing = 0
        known = (c for protocol in protocols.values() for c in protocol.router.contacts())
        self._is_heard = any(not contact.failures for contact in known)
        for holder in holders:
            self._seed(holder)
        if look and holders:  # not of the very closest, which would hold the others up
            self.order[min(self.alpha, len(self.order) - 1)].state = NEW

    def _seed(self, holder: Candidate) -> None:
        holder.state, holder.stored, holder.timer = ANSWERED, None, None
        holder.backers = []  # it has answered before
        self._known[holder.id] = holder
        self._addresses.add(holder.address)
        self.order.append(holder)
        self.order.sort()

    def send_next(self) -> None:
        window = self.shortlist()
        self._write(window)
        if not self.ended.done():
            self._advance(window)
            if self.ended.done():  # nobody else can be asked: those who answered must do
                self._write(window)
        if not self.enough.done() and (self.ended.done() or self._has_enough(len(window))):
            self.enough.set_result(None)

    def _has_enough(self, live: int) -> bool:
        return live > 0 and self.taken >= min(live, max(1, self.ksize // limits.QUORUM))

    @property
    def split(self) -> bool:
        """Whether the key has split and the record belongs to a shard: most of the eight closest
        that answered say so."""
        if self.deeper or self.depth == limits.SHARD_DEPTH:
            return False
        return self._most_say_so([c for c in self.order if c.state == ANSWERED])

    def _most_say_so(self, answered: list[Candidate]) -> bool:
        judges = self.apart(answered[: 2 * limits.FULL_KEY_WITNESSES])[: limits.FULL_KEY_WITNESSES]
        return 2 * sum(judge.split for judge in judges) > len(judges)

    def _has_moved_on(self, window: list[Candidate]) -> bool | None:
        """Whether the record belongs to a shard; None as long as somebody who may know is asked."""
        near = window[: limits.FULL_KEY_WITNESSES]
        if self.deeper or self.depth == limits.SHARD_DEPTH or self.taken:
            return False
        if not any(candidate.split for candidate in near):
            return False
        if not self.ended.done() and any(candidate.state != ANSWERED for candidate in near):
            return None
        return self.split

    def _write(self, window: list[Candidate]) -> None:
        """Put the record where it belongs, once the very closest have told of their neighbours."""
        if not window or any(near.state != ANSWERED for near in window[: self.alpha]):
            return  # else it would be left with nodes that only seem to be the closest
        moved_on = self._has_moved_on(window)
        if moved_on:
            self.end()
        if moved_on is not False:
            return
        for candidate in window:
            if candidate.state == ANSWERED and candidate.stored is None:
                self._put(candidate)

    def _put(self, candidate: Candidate, again: bool = True) -> None:
        candidate.stored = False
        self._writing += 1
        soft = self.state.rtt.retransmit_timeout(candidate.rtt)
        candidate.timer = self.loop.call_later(soft, self._put_late, candidate)
        self._timers.append(candidate.timer)
        self.protocol_for(candidate).send_request(
            candidate.address,
            "store",
            [self.base, self.depth, int(self.deeper), [self.record.encoded]],
            answer_codec.read_stored,
            lambda stored: self._confirmed(candidate, stored, again),
            node_id=candidate.id,
            token=candidate.token,
            again=lambda size: not self._abandoned,
        )

    def _put_late(self, candidate: Candidate) -> None:
        if candidate.state == ANSWERED:
            candidate.state = SLOW
            self._writing -= 1
            self.send_next()

    def _confirmed(self, candidate: Candidate, stored: Stored | None, again: bool) -> None:
        if candidate.timer is not None:
            candidate.timer.cancel()
        if candidate.state == ANSWERED:
            self._writing -= 1
        if stored is None:
            candidate.state = DEAD
        else:
            candidate.state, candidate.token = ANSWERED, stored.token
            candidate.split = stored.split
            if stored.fates == [] and again and not self.ended.done():  # our token had expired
                self._put(candidate, again=False)
            elif stored.fates == [HELD] or (stored.fates == [FULL] and stored.split):
                candidate.stored = True
                self.counts.append(stored.total)
                self.taken += 1
                self.held += stored.fates == [HELD]
        self.send_next()

    def _worth_waiting(self) -> bool:
        """Whoever is late may be the only one to take the record; where nobody has answered for a
        while, that is not waited for."""
        if self._writing or self.taken or not self._is_heard:
            return self._writing > 0
        return any(candidate.state == SLOW for candidate in self.order)

    @property
    def came_to_nothing(self) -> bool:
        """Whether there was somebody to take the record, and nobody has."""
        return bool(self.order) and not self.taken

    def confirmed_holders(self) -> list[Candidate]:
        """The nodes that hold the record."""
        return [candidate for candidate in self.order if candidate.stored]


class Publisher:
    """Our own records: where each was left, so that the next word finds its way at once."""

    def __init__(self, state: NodeState, protocols: dict[int, RpcProtocol], spawn: Spawn) -> None:
        self._state, self._protocols, self._spawn = state, protocols, spawn
        self._holders: dict[bytes, tuple[float, float, list[Candidate]]] = {}
        self._levels: dict[bytes, int] = {}  # of each key, how often it had split when last seen
        self._busy = asyncio.Semaphore(limits.ALPHA)
        self._size = 0.0  # nodes in the mesh, by our estimate, when we last walked
        self._growing: asyncio.Task[None] | None = None

    async def publish(self, record: Record) -> int:
        """Leave a record under every key it may stand; how many nodes hold it under the key where
        the fewest do, ourselves included; 0 if there are others and none of them took it."""
        self._size = self._size or self._mesh_size()
        counts = await asyncio.gather(*(self._under(key, record) for key in keys_of(record)))
        return min(counts)

    def met(self) -> None:
        """We have one more contact. If that is because the mesh grows, what we said a moment ago
        was left with nodes that are not the closest any more."""
        if self._growing is None and self._has_grown():
            self._growing = self._spawn(self._say_again())

    def _has_grown(self) -> bool:
        return 0 < limits.GROWN * self._size < self._mesh_size()

    async def _say_again(self) -> None:
        try:
            while self._has_grown():
                await asyncio.sleep(limits.GROWN_AFTER)
                now, self._size = self._state.clock(), self._mesh_size()
                said = [one for one in self._state.said.values() if one.record.expires > now]
                again = {(one.base, one.record.key): one.record for one in said}
                for one in said:
                    self._holders.pop(self._said_as(one.base, one.depth, one.record)[0], None)
                await asyncio.gather(
                    *(self._under(base, record) for (base, _), record in again.items())
                )
        finally:
            self._growing = None

    def _mesh_size(self) -> float:
        return max(protocol.router.mesh_size() for protocol in self._protocols.values())

    async def _under(self, base: bytes, record: Record) -> int:
        """Leave a record where it belongs under one key; how many nodes hold it there."""
        level = self._levels.get(base, 0)
        crawl, held = await self._leave(base, level, record)
        while crawl.split:
            level += 1
            crawl, held = await self._leave(base, level, record)
        count = placement.estimate(crawl.counts)
        _remember(self._levels, base, level - placement.is_too_deep(count, level))
        lot = placement.sample_draw(record.publisher, base, self._state.clock())
        above = set(placement.sampled_levels(lot, count, level))
        above |= self._stale_levels(base, level, record)
        more = (self._leave(base, some, record, deeper=True) for some in sorted(above))
        return max([held, *(held for _, held in await asyncio.gather(*more))])

    def _stale_levels(self, base: bytes, level: int, record: Record) -> set[int]:
        """Levels where an older word still stands, if it must not: where this one takes it back."""
        if not record.withdrawn:
            return set()
        said = (self._state.said.get(self._said_as(base, above, record)) for above in range(level))
        now = self._state.clock()
        return {one.depth for one in said if one is not None and one.record.expires > now}

    def _said_as(self, base: bytes, depth: int, record: Record) -> tuple[bytes, bytes]:
        return shard_of(base, dht_id_of(record.publisher), depth), record.key

    async def _leave(
        self, base: bytes, depth: int, record: Record, deeper: bool = False
    ) -> tuple[StoreLookup, int]:
        """Leave a record under a key or a shard of it; how many nodes hold it there."""
        name = self._said_as(base, depth, record)
        key = name[0]
        async with self._busy:
            now = asyncio.get_running_loop().time()
            walked_at, looked_at, holders = self._remembered(key, now)
            look = now - looked_at > limits.HOLDERS_LOOKED
            crawl = StoreLookup(
                self._state, self._protocols, base, depth, record, holders, look, deeper
            )
            self._spawn(self._walk(key, crawl, walked_at, now if look else looked_at))
            try:
                await crawl.enough  # the rest goes on behind us; the node holds on to it
            except asyncio.CancelledError:
                crawl.abandon()
                raise
        if crawl.split and not crawl.taken:
            return crawl, 0
        _remember(self._state.said, name, Said(base, depth, deeper, record))
        mine = self._keep(key, base, crawl)
        if crawl.came_to_nothing:
            return crawl, 0
        sampled = crawl.split or deeper or depth == limits.SHARD_DEPTH  # all who draw lots count
        return crawl, (crawl.taken if sampled else crawl.held) + mine

    async def _walk(
        self, key: bytes, crawl: StoreLookup, walked_at: float, looked_at: float
    ) -> None:
        try:
            await crawl.find()
        finally:
            crawl.end()
            if not crawl.enough.done():
                crawl.enough.set_result(None)
        _remember(self._holders, key, (walked_at, looked_at, crawl.confirmed_holders()))

    def _remembered(self, key: bytes, now: float) -> tuple[float, float, list[Candidate]]:
        """When the key was last walked to from afar, when one of its holders was last asked who
        has come, and who held our record since; nobody once that is long ago."""
        walked_at, looked_at, holders = self._holders.pop(key, (now, now, []))
        if now - walked_at < limits.HOLDERS_KEPT:
            return walked_at, looked_at, holders
        return now, now, []

    def _keep(self, key: bytes, base: bytes, crawl: StoreLookup) -> int:
        """Hold it ourselves as well, if we are among the closest; 1 if so."""
        state, record = self._state, crawl.record
        if state.guest or state.accept(record.encoded, base) is None:
            return 0
        closest = crawl.shortlist()
        mine = int.from_bytes(state.identity.dht_id, "big") ^ crawl.node.long_id
        if len(closest) >= crawl.ksize and mine > closest[-1].distance:
            return 0  # who holds but its own record would only mislead those who pass by
        held = state.store.put(key, record, b"", state.clock(), deeper=crawl.deeper)
        return int(held == HELD)


def _remember(some: dict[K, V], key: K, value: V) -> None:
    """Keep the latest: what is placed for others may have a new key each time."""
    some.pop(key, None)
    some[key] = value
    if len(some) > limits.PUBLISHED_KEPT:
        del some[next(iter(some))]
