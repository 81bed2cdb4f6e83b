"""Finding records: one walk for all who ask, its answer kept and renewed before it is needed.

find -> an answer younger than ten seconds: as it is
     -> an older one that still holds: as it is, and a walk behind it renews it
     -> none: the walk that is under way, or a new one

walk -> the holders' random samples; more wanted: pages from the fullest holders, side by side
     -> a key that has split, and still more wanted: its shards
     -> everybody we know has been silent for a minute: asked again, and not waited for
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.crawl import Candidate, MeshCrawl
from privox_dht.dht.gate import shard
from privox_dht.dht.protocol import MeshProtocol
from privox_dht.dht.publish import Spawn
from privox_dht.dht.state import NodeState
from privox_dht.dht.wire import Found
from privox_dht.records import Record, newest

Instead = Callable[[bytes, int], Awaitable[list[Record]]]
PAGE_ROOM = limits.MAX_DATAGRAM - wire.HEADER - 48  # bytes of records in a page


class Kept(NamedTuple):
    """An answer, and how it was come by."""

    found: tuple[Record, ...]
    at: float  # loop time
    want: int
    requests: int


class Lookups:
    """The look-ups of one node."""

    __slots__ = ("_kept", "_protocols", "_running", "_spawn", "_state", "_used", "instead",
                 "last_requests")  # fmt: skip

    def __init__(self, state: NodeState, protocols: dict[int, MeshProtocol], spawn: Spawn) -> None:
        self._state, self._protocols, self._spawn = state, protocols, spawn
        self._kept: dict[bytes, Kept] = {}  # the oldest first
        self._used: dict[bytes, float] = {}  # loop time at which somebody last asked
        self._running: dict[bytes, tuple[int, asyncio.Task[Kept]]] = {}
        self.last_requests = 0  # datagrams the last walk asked with
        self.instead: Instead | None = None  # who is asked where nothing can be walked to

    async def find(
        self, key: bytes, want: int, *, fresh: bool = False, within: float = limits.RECORD_LIFETIME
    ) -> list[Record]:
        """The records under a key that hold now: at least `want`, if there are so many.

        Args:
            fresh: walk even if an answer is at hand.
            within: seconds that an answer at hand may be old.
        """
        now = asyncio.get_running_loop().time()
        self._state.counts["lookups"] += 1
        self._used[key] = now
        kept = self._kept.get(key)
        if kept is not None and not fresh and (kept.want >= want or len(kept.found) < kept.want):
            usable = self._usable(key, kept)
            if usable and now - kept.at < within:
                if now - kept.at > limits.CACHE_FRESH:
                    self._walk(key, want)
                self._state.counts["lookups from memory"] += 1
                return usable
        kept = await asyncio.shield(self._walk(key, want))
        return self._usable(key, kept)

    def _usable(self, key: bytes, kept: Kept) -> list[Record]:
        """What still holds of an answer. What has a successor by now may lie in our own store."""
        state, now = self._state, self._state.clock()
        usable = state.gate.usable(kept.found, now)
        if len(usable) < len(kept.found):
            wires = state.store.sample(key, kept.want, kept.want * limits.MAX_RECORD * 2, now)
            mine = [record for wire in wires if (record := state.accept(wire, key)) is not None]
            usable = state.gate.usable(newest([*usable, *mine]), now)
        return usable

    def renew(self) -> None:
        """Walk again for what was asked lately, before its answer grows old."""
        now = asyncio.get_running_loop().time()
        for key, used in list(self._used.items()):
            kept = self._kept.get(key)
            if now - used > limits.CACHE_WANTED or kept is None:
                del self._used[key]
            elif now - kept.at > limits.REFRESH_EVERY:
                self._walk(key, kept.want)

    def _walk(self, key: bytes, want: int) -> asyncio.Task[Kept]:
        wanted, task = self._running.get(key, (0, None))
        if task is not None and not task.done() and wanted >= want:
            return task
        task = self._spawn(self._look(key, want))
        self._running[key] = (want, task)
        task.add_done_callback(lambda done: self._ran(key, done))
        return task

    def _ran(self, key: bytes, task: asyncio.Task[Kept]) -> None:
        if self._running.get(key, (0, None))[1] is task:
            del self._running[key]

    async def _look(self, key: bytes, want: int) -> Kept:
        if self.instead is None:
            found, requests = await self._collect(key, key, 0, 0, want)
        else:
            found, requests = await self.instead(key, want), 0
        now = asyncio.get_running_loop().time()
        kept = Kept(tuple(found), now, want, requests)
        self.last_requests = requests
        self._kept.pop(key, None)
        if found:
            self._kept[key] = kept
            while len(self._kept) > limits.CACHED_LOOKUPS:
                del self._kept[next(iter(self._kept))]
        return kept

    # -- one walk, its pages and its shards --------------------------------------------------------

    async def _collect(
        self, base: bytes, key: bytes, prefix: int, depth: int, want: int
    ) -> tuple[list[Record], int]:
        """The records under one key or shard, and how many requests that took."""
        crawl = await self._crawl(base, key, want)
        self._take_mine(crawl, key, want)
        await self._pages(crawl, want)
        found, requests = list(crawl.found.values()), crawl.requests
        split = any(holder.full for holder in crawl.holders) or self._state.store.is_full(key)
        if split and len(found) < want and depth < limits.SHARD_DEPTH:
            deeper = range(prefix << limits.SHARD_BITS, (prefix + 1) << limits.SHARD_BITS)
            for start in range(deeper.start, deeper.stop, limits.ALPHA):
                parts = await asyncio.gather(
                    *(
                        self._collect(base, shard(base, part, depth + 1), part, depth + 1, want)
                        for part in range(start, start + limits.ALPHA)
                    )
                )
                for records, more in parts:
                    requests += more
                    found += records
            found = newest(found)  # who moved on to a shard may have left an older word here
        return found, requests

    async def _crawl(self, base: bytes, key: bytes, want: int) -> MeshCrawl:
        crawl = MeshCrawl(self._state, self._protocols, key, want=want, base=base)
        patience = self._patience()
        if patience is not None:
            crawl.loop.call_later(patience, _end_unanswered, crawl)
        await crawl.find()
        silenced = crawl.met_silence and patience is None
        if not crawl.holders and (self._state.reserved or silenced):
            self._state.reserved = frozenset()  # then rather ask those too, and the silent again
            crawl = MeshCrawl(self._state, self._protocols, key, want=want, base=base)
            await crawl.find()
        return crawl

    def _patience(self) -> float | None:
        """Seconds to wait for a first answer, if everybody we know has been silent for long; None
        if somebody is there."""
        now = asyncio.get_running_loop().time()
        contacts = [c for protocol in self._protocols.values() for c in protocol.router.contacts()]
        if any(not some.failures or now - some.seen < limits.SILENT_FOR for some in contacts):
            return None
        return max((self._state.rtt.soft(contact.rtt) for contact in contacts), default=None)

    def _take_mine(self, crawl: MeshCrawl, key: bytes, want: int) -> None:
        """What we hold ourselves counts like anybody's."""
        store, now = self._state.store, self._state.clock()
        crawl.take(store.sample(key, want, want * limits.MAX_RECORD * 2, now))

    async def _pages(self, crawl: MeshCrawl, want: int) -> None:
        """Ask the holders for more of what they have, the fullest first, until it is enough. Where
        everybody is wanted that is when one more holder has told of nobody new."""
        budget, known = max(limits.PAGES, want), -1
        for holder in sorted(crawl.holders, key=lambda holder: -holder.count):
            enough = len(crawl.found) >= min(want, max(h.count for h in crawl.holders))
            settled = want <= limits.FIND_WANT or len(crawl.found) in (known, want)
            if (enough and settled) or budget <= 0 or not holder.token:
                return
            known = len(crawl.found)
            starts = self._rows(crawl, holder, want)[:budget]
            budget -= len(starts)
            crawl.requests += len(starts)
            for at in range(0, len(starts), limits.PAGES):
                some = starts[at : at + limits.PAGES]
                await asyncio.gather(*(self._page(crawl, holder, start) for start in some))

    def _rows(self, crawl: MeshCrawl, holder: Candidate, want: int) -> list[int]:
        """Where the pages begin: the idle first, from a random one on if there are enough."""
        longest = max((len(record.wire) for record in crawl.found.values()), default=1)
        step = max(1, min(limits.MAX_RECORDS_IN_DATAGRAM, PAGE_ROOM // (longest + 3)))
        first = 0
        if holder.idle > want:
            first = self._state.rng.randrange(holder.idle - want + 1)
        return list(range(first, min(holder.count, first + want), step))

    async def _page(self, crawl: MeshCrawl, holder: Candidate, start: int) -> None:
        found: Found | None = await crawl.protocol_for(holder).call(
            holder.address,
            "find",
            [crawl.node.id, limits.MAX_RECORDS_IN_DATAGRAM, start],
            wire.read_found,
            node_id=holder.id,
            token=holder.token,
        )
        if found is not None:
            crawl.take(found.wires)


def _end_unanswered(crawl: MeshCrawl) -> None:
    if not crawl.closest():
        crawl.end()
