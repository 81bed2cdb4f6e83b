"""Placing records: on the nodes closest to each key they stand under.

    publisher -> walk to the key; every node that answers on the way gives a write token
              -> put, to each of the closest as soon as the very closest has answered
    node      -> held | refused | full: then the record goes to the key's shard as well

`put` returns when ten of the closest twenty (all, in a small mesh) have confirmed; the rest goes on
behind it. The nodes and their tokens are remembered, so that the next announcement needs no walk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.crawl import ANSWERED, DEAD, SLOW, Candidate, MeshCrawl
from privox_dht.dht.gate import shard_of
from privox_dht.dht.protocol import MeshProtocol
from privox_dht.dht.state import NodeState
from privox_dht.dht.wire import HELD, Stored
from privox_dht.identity import dht_id_of
from privox_dht.records import Record, keys_of

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
    ) -> None:
        target = shard_of(base, dht_id_of(record.publisher), depth)
        super().__init__(state, protocols, target, base=base)
        self.depth, self.record = depth, record
        self.full = False
        self.held = 0  # nodes that confirmed
        self.enough: asyncio.Future[None] = self.loop.create_future()
        self._writing = 0
        for holder in holders:
            self._seed(holder)

    def _seed(self, holder: Candidate) -> None:
        holder.state, holder.stored, holder.timer = ANSWERED, None, None
        self._known.add(holder.id)
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
        return live > 0 and self.held >= min(live, max(1, self.ksize // limits.QUORUM))

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
            self.full = self.full or stored.full
            if stored.fates == [] and again and not self.ended.done():  # our token had expired
                self._put(candidate, again=False)
            elif stored.fates == [HELD]:
                candidate.stored = True
                self.held += 1
        self.pump()

    def _worth_waiting(self) -> bool:
        return self._writing > 0 or super()._worth_waiting()

    def keepers(self) -> list[Candidate]:
        """The nodes that hold the record."""
        return [candidate for candidate in self.order if candidate.stored]


class Publisher:
    """Our own records: where each was left, so that the next word finds its way at once."""

    def __init__(self, state: NodeState, protocols: dict[int, MeshProtocol], spawn: Spawn) -> None:
        self._state, self._protocols, self._spawn = state, protocols, spawn
        self._holders: dict[bytes, tuple[float, list[Candidate]]] = {}
        self._busy = asyncio.Semaphore(limits.ALPHA)

    async def publish(self, record: Record) -> int:
        """Leave a record under every key it may stand; how many nodes hold it under the key where
        the fewest do."""
        counts = await asyncio.gather(*(self._under(key, record, 0) for key in keys_of(record)))
        return min(counts)

    async def _under(self, base: bytes, record: Record, depth: int) -> int:
        key = shard_of(base, dht_id_of(record.publisher), depth)
        async with self._busy:
            walked_at, holders = self._remembered(key)
            crawl = StoreCrawl(self._state, self._protocols, base, depth, record, holders)
            self._spawn(self._walk(key, crawl, walked_at))
            await crawl.enough  # the rest goes on behind us; the node holds on to it
        mine = self._keep(key, base, record, crawl)
        if crawl.full and depth < limits.SHARD_DEPTH:
            await self._under(base, record, depth + 1)
        return crawl.held + mine

    async def _walk(self, key: bytes, crawl: StoreCrawl, walked_at: float) -> None:
        try:
            await crawl.find()
        finally:
            crawl.end()
            if not crawl.enough.done():
                crawl.enough.set_result(None)
        self._holders[key] = (walked_at, crawl.keepers())

    def _remembered(self, key: bytes) -> tuple[float, list[Candidate]]:
        """When the key was last walked to from afar, and who held our record since; nobody once
        that is long ago, so that nodes which came since are found."""
        now = asyncio.get_running_loop().time()
        walked_at, holders = self._holders.pop(key, (now, []))
        return (walked_at, holders) if now - walked_at < limits.HOLDERS_KEPT else (now, [])

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
