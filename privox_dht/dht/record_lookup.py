"""Finding records: one walk for all who ask, its answer kept and renewed before it is needed.

find -> an answer younger than ten seconds: as it is
     -> an older one that still holds: as it is, and a walk behind it renews it
     -> none: the walk that is under way, or a new one

walk -> see `record_search`; it ends when the last who waits for it has gone
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.dht.record_search import RecordSearch
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.records import Record, latest_per_key

Instead = Callable[[bytes, int], Awaitable[list[Record]]]


class CachedResult(NamedTuple):
    """An answer, and how it was come by."""

    found: tuple[Record, ...]
    at: float  # loop time
    want: int


class RecordLookups:
    """The look-ups of one node."""

    __slots__ = ("_kept", "_network", "_running", "_state", "_used", "_waiting",
                 "fallback_lookup", "last_requests")  # fmt: skip

    def __init__(self, network: RpcNetwork) -> None:
        self._network, self._state = network, network.state
        self._kept: dict[bytes, CachedResult] = {}  # the oldest first
        self._used: dict[bytes, float] = {}  # loop time of the last request
        self._running: dict[bytes, tuple[int, asyncio.Task[CachedResult]]] = {}
        self._waiting: dict[asyncio.Task[CachedResult], int] = {}  # how many wait for each walk
        self.last_requests = 0  # datagrams the last walk asked with
        self.fallback_lookup: Instead | None = None  # who is asked where nothing can be walked to

    async def find(
        self, key: bytes, want: int, *, fresh: bool = False, for_others: bool = False
    ) -> list[Record]:
        """The records under a key that hold now, the idle first: at least `want`, if there are so
        many.

        Args:
            fresh: walk even if an answer is at hand.
            for_others: take only an answer that needs no renewal, and renew it for nobody.
        """
        now = asyncio.get_running_loop().time()
        self._state.counts["lookups"] += 1
        if not for_others:
            self._used[key] = now
        kept = self._kept.get(key)
        if kept is not None and not fresh and (kept.want >= want or len(kept.found) < kept.want):
            usable, is_fresh = self._usable(key, kept), now - kept.at <= dht_limits.CACHE_FRESH
            if usable and (is_fresh or not for_others):
                if not is_fresh:
                    self._walk(key, want)
                self._state.counts["cache_hits"] += 1
                return usable
        return self._usable(key, await self._wait_for(key, self._walk(key, want)))

    async def _wait_for(self, key: bytes, walk: asyncio.Task[CachedResult]) -> CachedResult:
        """The answer of a walk; the last who gives up waiting ends it."""
        self._waiting[walk] = self._waiting.get(walk, 0) + 1
        try:
            return await asyncio.shield(walk)
        finally:
            self._waiting[walk] -= 1
            if not self._waiting[walk]:
                del self._waiting[walk]
                walk.cancel()  # if it is done, this does nothing

    def _usable(self, key: bytes, kept: CachedResult) -> list[Record]:
        """What still holds of an answer. What has a successor by now may lie in our own store."""
        state, now = self._state, self._state.clock()
        usable = state.validator.current(kept.found, now)
        if len(usable) < len(kept.found):
            wires = state.store.sample(key, kept.want, kept.want * limits.MAX_RECORD * 2, now)
            mine = [record for wire in wires if (record := state.accept(wire, key)) is not None]
            usable = state.validator.current(latest_per_key([*usable, *mine]), now)
        return sorted(usable, key=lambda record: record.idle == 0)

    def renew(self) -> None:
        """Walk again for what was asked lately, before its answer grows old."""
        now = asyncio.get_running_loop().time()
        for key, used in list(self._used.items()):
            kept = self._kept.get(key)
            if now - used > dht_limits.CACHE_WANTED or kept is None:
                del self._used[key]
            elif now - kept.at > dht_limits.REFRESH_EVERY:
                self._walk(key, kept.want)

    def _walk(self, key: bytes, want: int) -> asyncio.Task[CachedResult]:
        wanted, task = self._running.get(key, (0, None))
        if task is not None and not task.done() and wanted >= want:
            return task
        task = self._network.spawn(self._lookup(key, want))
        self._running[key] = (want, task)
        task.add_done_callback(lambda done: self._ran(key, done))
        return task

    def _ran(self, key: bytes, task: asyncio.Task[CachedResult]) -> None:
        if self._running.get(key, (0, None))[1] is task:
            del self._running[key]

    async def _lookup(self, key: bytes, want: int) -> CachedResult:
        if self.fallback_lookup is None:
            search = RecordSearch(self._network, key, want)
            found = await search.find()
            self.last_requests = search.requests
        else:
            found = await self.fallback_lookup(key, want)
            self.last_requests = 0
        kept = CachedResult(tuple(found), asyncio.get_running_loop().time(), want)
        self._kept.pop(key, None)
        if found:
            self._kept[key] = kept
            while len(self._kept) > dht_limits.CACHED_LOOKUPS:
                del self._kept[next(iter(self._kept))]
        return kept
