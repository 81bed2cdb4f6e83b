"""Placing records: on the nodes closest to each key they stand under.

    publisher -> walk to the key; every node that answers on the way gives a write token
              -> put, to each of the closest as soon as the very closest has answered
    node      -> held | refused | full: if most of the closest say so, to the key's shard as well

`put` returns when ten of the closest twenty (all, in a small mesh) have confirmed; the rest goes on
behind it. The nodes and their tokens are remembered, so that the next announcement needs no walk;
one of them is asked now and then who has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.candidate import ANSWERED, DEAD, NEW, SLOW, Candidate
from privox_dht.dht.iterative_lookup import MeshCrawl
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.record_validator import shard_of
from privox_dht.dht.rpc_protocol import MeshProtocol
from privox_dht.dht.wire import FULL, HELD, Stored
from privox_dht.identity import dht_id_of
from privox_dht.records import Record, keys_of

K = TypeVar("K")
V = TypeVar("V")
Spawn = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]


class StoreCrawl(MeshCrawl):
    """A walk that leaves a record with the closest nodes it meets."""

    def __init__(
        self,
        state: NodeState,
        protocols: dict[int, MeshProtocol],
        base: bytes,
        depth: int,
        record: Record,
        holders: list[Candidate],
        look: bool = False,
    ) -> None:
        """`holders` took the last word and are asked nothing more; with `look`, one of them is, who
        has come since."""
        target = shard_of(base, dht_id_of(record.publisher), depth)
        super().__init__(state, protocols, target, base=base)
        self.depth, self.record = depth, record
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

    def pump(self) -> None:
        window = self.window()
        self._write(window)
        if not self.ended.done():
            self._advance(window)
        if not self.enough.done() and (self.ended.done() or self._has_enough(len(window))):
            self.enough.set_result(None)

    def _has_enough(self, live: int) -> bool:
        return live > 0 and self.taken >= min(live, max(1, self.ksize // limits.QUORUM))

    @property
    def full(self) -> bool:
        """Whether the key has split: most of the eight closest that took the record say so."""
        judges = [candidate for candidate in self.order if candidate.stored]
        judges = self.apart(judges)[: limits.JUDGES]
        return 2 * sum(judge.full for judge in judges) > len(judges)

    def _write(self, window: list[Candidate]) -> None:
        """Put the record where it belongs, once the very closest have told of their neighbours."""
        if not window or any(near.state != ANSWERED for near in window[: self.alpha]):
            return  # else it would be left with nodes that only seem to be the closest
        for candidate in window:
            if candidate.state == ANSWERED and candidate.stored is None:
                self._put(candidate)

    def _put(self, candidate: Candidate, again: bool = True) -> None:
        candidate.stored = False
        self._writing += 1
        soft = self.state.rtt.soft(candidate.rtt)
        candidate.timer = self.loop.call_later(soft, self._put_late, candidate)
        self._timers.append(candidate.timer)
        self.protocol_for(candidate).ask(
            candidate.address,
            "put",
            [self.base, self.depth, [self.record.wire]],
            wire.read_stored,
            lambda stored: self._confirmed(candidate, stored, again),
            node_id=candidate.id,
            token=candidate.token,
            again=lambda size: not self._abandoned,
        )

    def _put_late(self, candidate: Candidate) -> None:
        if candidate.state == ANSWERED:
            candidate.state = SLOW
            self._writing -= 1
            self.pump()

    def _confirmed(self, candidate: Candidate, stored: Stored | None, again: bool) -> None:
        if candidate.timer is not None:
            candidate.timer.cancel()
        if candidate.state == ANSWERED:
            self._writing -= 1
        if stored is None:
            candidate.state = DEAD
        else:
            candidate.state, candidate.token = ANSWERED, stored.token
            candidate.full = stored.full
            if stored.fates == [] and again and not self.ended.done():  # our token had expired
                self._put(candidate, again=False)
            elif stored.fates == [HELD] or (stored.fates == [FULL] and stored.full):
                candidate.stored = True
                self.taken += 1
                self.held += stored.fates == [HELD]
        self.pump()

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

    def keepers(self) -> list[Candidate]:
        """The nodes that hold the record."""
        return [candidate for candidate in self.order if candidate.stored]


class Publisher:
    """Our own records: where each was left, so that the next word finds its way at once."""

    def __init__(self, state: NodeState, protocols: dict[int, MeshProtocol], spawn: Spawn) -> None:
        self._state, self._protocols, self._spawn = state, protocols, spawn
        self._holders: dict[bytes, tuple[float, float, list[Candidate]]] = {}
        self._busy = asyncio.Semaphore(limits.ALPHA)
        self._size = 0  # contacts we had when we last walked
        self._growing: asyncio.Task[None] | None = None

    async def publish(self, record: Record) -> int:
        """Leave a record under every key it may stand; how many nodes hold it under the key where
        the fewest do, ourselves included; 0 if there are others and none of them took it."""
        self._size = self._size or self._contacts()
        counts = await asyncio.gather(*(self._under(key, record, 0) for key in keys_of(record)))
        return min(counts)

    def met(self) -> None:
        """We have one more contact. If that is because the mesh grows, what we said a moment ago
        was left with nodes that are not the closest any more."""
        if self._growing is None and self._has_grown():
            self._growing = self._spawn(self._say_again())

    def _has_grown(self) -> bool:
        return self._contacts() > limits.GROWN * self._size > 0

    async def _say_again(self) -> None:
        try:
            while self._has_grown():
                await asyncio.sleep(limits.GROWN_AFTER)
                now, self._size = self._state.clock(), self._contacts()
                said = [one for one in self._state.said.values() if one[2].expires > now]
                for base, depth, record in said:
                    self._holders.pop(shard_of(base, dht_id_of(record.publisher), depth), None)
                await asyncio.gather(
                    *(self._under(base, record, 0) for base, depth, record in said if not depth)
                )
        finally:
            self._growing = None

    def _contacts(self) -> int:
        return sum(len(protocol.router) for protocol in self._protocols.values())

    async def _under(self, base: bytes, record: Record, depth: int) -> int:
        key = shard_of(base, dht_id_of(record.publisher), depth)
        _remember(self._state.said, (key, record.place), (base, depth, record))
        async with self._busy:
            now = asyncio.get_running_loop().time()
            walked_at, looked_at, holders = self._remembered(key, now)
            look = now - looked_at > limits.HOLDERS_LOOKED
            crawl = StoreCrawl(self._state, self._protocols, base, depth, record, holders, look)
            self._spawn(self._walk(key, crawl, walked_at, now if look else looked_at))
            try:
                await crawl.enough  # the rest goes on behind us; the node holds on to it
            except asyncio.CancelledError:
                crawl.abandon()
                raise
        mine = self._keep(key, base, record, crawl)
        if crawl.came_to_nothing:
            return 0
        if not crawl.full:
            return crawl.held + mine
        if depth == limits.SHARD_DEPTH:  # nothing splits further: they keep a sample
            return crawl.taken + mine
        return max(crawl.held + mine, await self._under(base, record, depth + 1))

    async def _walk(
        self, key: bytes, crawl: StoreCrawl, walked_at: float, looked_at: float
    ) -> None:
        try:
            await crawl.find()
        finally:
            crawl.end()
            if not crawl.enough.done():
                crawl.enough.set_result(None)
        _remember(self._holders, key, (walked_at, looked_at, crawl.keepers()))

    def _remembered(self, key: bytes, now: float) -> tuple[float, float, list[Candidate]]:
        """When the key was last walked to from afar, when one of its holders was last asked who
        has come, and who held our record since; nobody once that is long ago."""
        walked_at, looked_at, holders = self._holders.pop(key, (now, now, []))
        if now - walked_at < limits.HOLDERS_KEPT:
            return walked_at, looked_at, holders
        return now, now, []

    def _keep(self, key: bytes, base: bytes, record: Record, crawl: StoreCrawl) -> int:
        """Hold it ourselves as well, if we are among the closest; 1 if so."""
        state = self._state
        if state.guest or state.accept(record.wire, base) is None:
            return 0
        closest = crawl.window()
        mine = int.from_bytes(state.identity.dht_id, "big") ^ crawl.node.long_id
        if len(closest) >= crawl.ksize and mine > closest[-1].distance:
            return 0  # who holds but its own record would only mislead those who pass by
        return int(state.store.put(key, record, b"", state.clock()) == HELD)


def _remember(some: dict[K, V], key: K, value: V) -> None:
    """Keep the latest: what is placed for others may have a new key each time."""
    some.pop(key, None)
    some[key] = value
    if len(some) > limits.PUBLISHED_KEPT:
        del some[next(iter(some))]
