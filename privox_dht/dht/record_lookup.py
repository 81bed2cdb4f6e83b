"""Finding records: one walk for all who ask, its answer kept and renewed before it is needed.

find -> an answer younger than ten seconds: as it is
     -> an older one that still holds: as it is, and a walk behind it renews it
     -> none: the walk that is under way, or a new one

walk -> the holders' samples; more wanted: pages from the fullest holders, side by side
     -> a key that has split, as most of the closest say and show, and still more wanted: its shards
     -> all of that within one budget; it ends when the last who waits for it has gone
     -> everybody we know has been silent for a minute: asked again, and not waited for
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from privox_dht import limits
from privox_dht.dht import dht_limits, record_pages
from privox_dht.dht.answer_codec import Found
from privox_dht.dht.candidate import ANSWERED, Candidate
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.dht.lookup_budget import Budget
from privox_dht.dht.record_validator import shard
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.records import Record, latest_per_key

Instead = Callable[[bytes, int], Awaitable[list[Record]]]


class CachedResult(NamedTuple):
    """An answer, and how it was come by."""

    found: tuple[Record, ...]
    at: float  # loop time
    want: int
    requests: int


class RecordLookups:
    """The look-ups of one node."""

    __slots__ = ("_kept", "_network", "_running", "_state", "_used", "_waiting",
                 "fallback_lookup", "last_requests")  # fmt: skip

    def __init__(self, network: RpcNetwork) -> None:
        self._network, self._state = network, network.state
        self._kept: dict[bytes, CachedResult] = {}  # the oldest first
        self._used: dict[bytes, float] = {}  # loop time at which somebody last asked
        self._running: dict[bytes, tuple[int, asyncio.Task[CachedResult]]] = {}
        self._waiting: dict[asyncio.Task[CachedResult], int] = {}  # how many wait for each walk
        self.last_requests = 0  # datagrams the last walk asked with
        self.fallback_lookup: Instead | None = None  # who is asked where nothing can be walked to

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
                if now - kept.at > dht_limits.CACHE_FRESH:
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
        usable = state.gate.current(kept.found, now)
        if len(usable) < len(kept.found):
            wires = state.store.sample(key, kept.want, kept.want * limits.MAX_RECORD * 2, now)
            mine = [record for wire in wires if (record := state.accept(wire, key)) is not None]
            usable = state.gate.current(latest_per_key([*usable, *mine]), now)
        return usable

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
            budget = Budget(want, asyncio.get_running_loop().time())
            most = budget.requests
            found = await self._collect(key, key, 0, 0, want, budget)
            requests = most - budget.requests
        else:
            found, requests = await self.fallback_lookup(key, want), 0
        now = asyncio.get_running_loop().time()
        kept = CachedResult(tuple(found), now, want, requests)
        self.last_requests = requests
        self._kept.pop(key, None)
        if found:
            self._kept[key] = kept
            while len(self._kept) > dht_limits.CACHED_LOOKUPS:
                del self._kept[next(iter(self._kept))]
        return kept

    # -- one walk, its pages and its shards --------------------------------------------------------

    async def _collect(
        self, base: bytes, key: bytes, prefix: int, depth: int, want: int, budget: Budget
    ) -> list[Record]:
        """The records under one key or shard."""
        crawl = await self._crawl(base, key, want, budget)
        try:
            self._take_mine(crawl, key, want)
            await self._pages(crawl, want)
            if self._was_promised_more(crawl, want):  # those who agreed did not show what they said
                await self._go_on(crawl)
                await self._pages(crawl, want)
            enough = len(crawl.found) >= want or depth == dht_limits.SHARD_DEPTH
            enough = enough or not await self._split(crawl)
            found = list(crawl.found.values())
            if enough or len(found) >= want:  # more came from those who were asked about the split
                return found
        except asyncio.CancelledError:
            crawl.abandon()
            raise
        deeper = range(prefix << dht_limits.SHARD_BITS, (prefix + 1) << dht_limits.SHARD_BITS)
        for start in range(deeper.start, deeper.stop, dht_limits.ALPHA):
            if not self._goes_on(budget):
                break
            parts = await asyncio.gather(
                *(
                    self._collect(base, shard(base, part, depth + 1), part, depth + 1, want, budget)
                    for part in range(start, start + dht_limits.ALPHA)
                )
            )
            found += [record for records in parts for record in records]
        return latest_per_key(found)  # who moved on to a shard may have left an older word here

    async def _crawl(self, base: bytes, key: bytes, want: int, budget: Budget) -> IterativeLookup:
        crawl = IterativeLookup(self._network, key, want=want, base=base, budget=budget)
        patience = self._patience()
        if patience is not None:
            crawl.loop.call_later(patience, _end_unanswered, crawl)
        await crawl.find()
        silenced = crawl.shortlist.met_silence and patience is None
        if not crawl.shortlist.holders and (self._state.dial_back_peers or silenced):
            # Then rather ask those too, and the silent again
            self._state.dial_back_peers = frozenset()
            crawl = IterativeLookup(self._network, key, want=want, base=base, budget=budget)
            await crawl.find()
        return crawl

    def _was_promised_more(self, crawl: IterativeLookup, want: int) -> bool:
        counts = (holder.count for holder in crawl.shortlist.holders)
        return record_pages.was_promised_more(len(crawl.found), want, counts)

    async def _go_on(self, crawl: IterativeLookup) -> None:
        """Ask the rest of the closest too, if the walk ended early."""
        if not crawl.thorough and self._goes_on(crawl.budget):
            crawl.thorough = True
            await crawl.find()

    def _goes_on(self, budget: Budget) -> bool:
        return budget.requests > 0 and asyncio.get_running_loop().time() < budget.deadline

    def _patience(self) -> float | None:
        """Seconds to wait for a first answer, if everybody we know has been silent for long; None
        if somebody is there."""
        now = asyncio.get_running_loop().time()
        contacts = self._network.contacts()
        if any(not some.failures or now - some.seen < dht_limits.SILENT_FOR for some in contacts):
            return None
        return max(
            (self._state.rtt.retransmit_timeout(contact.rtt) for contact in contacts), default=None
        )

    def _take_mine(self, crawl: IterativeLookup, key: bytes, want: int) -> None:
        """What we hold ourselves counts like anybody's."""
        store, now = self._state.store, self._state.clock()
        crawl.take(store.sample(key, want, want * limits.MAX_RECORD * 2, now))

    async def _pages(self, crawl: IterativeLookup, want: int) -> None:
        """Ask the holders for more of what they have, the fullest first, until it is enough. Where
        everybody is wanted that is when one more holder has told of nobody new."""
        known = -1
        for holder in sorted(crawl.shortlist.holders, key=lambda holder: -holder.count):
            enough = len(crawl.found) >= min(want, max(h.count for h in crawl.shortlist.holders))
            settled = want <= limits.FIND_WANT or len(crawl.found) in (known, want)
            if (enough and settled) or not self._goes_on(crawl.budget):
                return
            known = len(crawl.found)
            if holder.token and not holder.read:
                holder.read = True
                await self._read(crawl, holder, self._rows(crawl, holder, want))

    async def _read(self, crawl: IterativeLookup, holder: Candidate, starts: list[int]) -> None:
        """Pages of one holder, many side by side, as long as it shows what it says it has."""
        for at in range(0, len(starts), dht_limits.PAGES):
            some = starts[at : at + dht_limits.PAGES]
            some = some[: crawl.budget.take(len(some))]
            shown = holder.shown
            await self._ask_pages(crawl, holder, some)
            if holder.shown - shown < len(some) or not self._goes_on(crawl.budget):
                return

    def _rows(self, crawl: IterativeLookup, holder: Candidate, want: int) -> list[int]:
        """Where the pages begin."""
        longest = max((len(record.encoded) for record in crawl.found.values()), default=1)
        return record_pages.page_starts(holder.count, want, longest, self._state.largest)

    async def _ask_pages(
        self, crawl: IterativeLookup, holder: Candidate, starts: list[int]
    ) -> None:
        """Until all have come, or for a while none has; one that comes later still counts."""
        loop = asyncio.get_running_loop()
        came = asyncio.Event()
        left = len(starts)

        def take(found: Found | None) -> None:
            nonlocal left
            left -= 1
            if found is not None:
                holder.shown += crawl.take(found.wires)
            came.set()

        for start in starts:
            crawl.ask_page(holder, start, take)
        patience = self._state.rtt.retransmit_timeout(holder.rtt) + dht_limits.RESEND[0]
        while left and loop.time() < crawl.budget.deadline:
            came.clear()
            try:
                async with asyncio.timeout(patience):
                    await came.wait()
            except TimeoutError:
                return

    async def _split(self, crawl: IterativeLookup) -> bool:
        """Whether the key has split: most of the eight closest say so, of different networks, each
        of whom showed as many records as a page holds; or we hold that many ourselves."""
        if self._state.store.is_split(crawl.target.id):
            return True
        if not any(holder.split for holder in crawl.shortlist.holders):
            return False
        near = crawl.shortlist.window()[: dht_limits.FULL_KEY_WITNESSES]
        if any(candidate.state != ANSWERED for candidate in near):
            await self._go_on(crawl)  # those met on the way hold nothing, and know nothing of it
        judges = crawl.shortlist.apart(crawl.shortlist.answered())[: dht_limits.FULL_KEY_WITNESSES]
        unseen = [
            judge
            for judge in record_pages.who_say_split(judges)
            if judge.shown < dht_limits.MAX_RECORDS_IN_DATAGRAM
        ]
        unseen = unseen[: crawl.budget.take(len(unseen))]
        await asyncio.gather(*(self._ask_pages(crawl, judge, [0]) for judge in unseen))
        return record_pages.have_shown_split(judges)


def _end_unanswered(crawl: IterativeLookup) -> None:
    if not crawl.shortlist.answered():
        crawl.end()
