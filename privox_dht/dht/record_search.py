"""One search for the records under a key: a walk, the holders' pages, and the shards of a key that
has split.

walk -> the holders' samples; more wanted: pages from the fullest holders, side by side
     -> a key that has split, as most of the closest say and show, and still more wanted: its
        shards, each walk beginning with whom the ones before have met
     -> all of that within one budget
"""

import asyncio

from privox_dht import limits
from privox_dht.dht import dht_limits, record_pages
from privox_dht.dht.answer_codec import Found
from privox_dht.dht.candidate import ANSWERED, Candidate
from privox_dht.dht.iterative_lookup import IterativeLookup
from privox_dht.dht.lookup_budget import Budget
from privox_dht.dht.met_nodes import MetNodes
from privox_dht.dht.record_validator import shard
from privox_dht.dht.rpc_network import RpcNetwork
from privox_dht.records import Record, latest_per_key


class RecordSearch:
    """What one look-up does to find records."""

    __slots__ = ("_budget", "_met", "_most", "_network", "_state", "base", "want")

    def __init__(self, network: RpcNetwork, base: bytes, want: int) -> None:
        self._network, self._state, self.base, self.want = network, network.state, base, want
        self._budget = Budget(want, asyncio.get_running_loop().time())
        self._most = self._budget.requests
        self._met = MetNodes()

    def __repr__(self) -> str:
        return f"<RecordSearch {self.base.hex()[:8]}, {self.requests} requests>"

    @property
    def requests(self) -> int:
        """Requests that it took until now."""
        return self._most - self._budget.requests

    async def find(self) -> list[Record]:
        """The newest records under the key: at least `want`, if there are so many."""
        return await self._under(self.base, 0, 0)

    @property
    def _wants_all(self) -> bool:
        return self.want > limits.FIND_WANT

    async def _under(self, key: bytes, prefix: int, depth: int) -> list[Record]:
        """The records under the key or one of its shards."""
        crawl = await self._crawl(key)
        try:
            self._take_mine(crawl, key)
            split = await self._read_all(crawl, depth < dht_limits.SHARD_DEPTH)
            found = list(crawl.records.newest.values())
            if not split or len(found) >= self.want:
                return found
        except asyncio.CancelledError:
            crawl.abandon()
            raise
        deeper = range(prefix << dht_limits.SHARD_BITS, (prefix + 1) << dht_limits.SHARD_BITS)
        for start in range(deeper.start, deeper.stop, dht_limits.ALPHA):
            if len(found) >= self.want or not self._goes_on():
                break
            parts = await asyncio.gather(
                *(
                    self._under(shard(self.base, part, depth + 1), part, depth + 1)
                    for part in range(start, start + dht_limits.ALPHA)
                )
            )
            found = latest_per_key([*found, *(record for some in parts for record in some)])
        return found  # a publisher that moved to a shard may have left an older record above it

    async def _read_all(self, crawl: IterativeLookup, may_split: bool) -> bool:
        """Ask the holders for what they have, as far as it is wanted; whether the key has split."""
        if self._wants_all and may_split and await self._split(crawl):
            await self._pages(crawl, most=1)  # nearly all of them stand in a shard as well
            return True
        await self._pages(crawl)
        counts = (holder.count for holder in crawl.shortlist.holders)
        if record_pages.was_promised_more(len(crawl.records.newest), self.want, counts):
            await self._go_on(crawl)  # those who agreed did not show what they said
            await self._pages(crawl)
        return may_split and len(crawl.records.newest) < self.want and await self._split(crawl)

    async def _crawl(self, key: bytes) -> IterativeLookup:
        crawl = self._walk_to(key)
        patience = self._patience()
        if patience is not None:
            crawl.loop.call_later(patience, _end_unanswered, crawl)
        await crawl.find()
        silenced = crawl.shortlist.met_silence and patience is None
        if not crawl.shortlist.holders and (self._state.dial_back_peers or silenced):
            # Then rather ask those too, and the silent again
            self._state.dial_back_peers = frozenset()
            crawl = self._walk_to(key)
            await crawl.find()
        if self._wants_all:
            for candidate in crawl.shortlist.candidates:
                if candidate.state == ANSWERED:
                    self._met.add(candidate)
        return crawl

    def _walk_to(self, key: bytes) -> IterativeLookup:
        return IterativeLookup(
            self._network, key, want=self.want, base=self.base, budget=self._budget, met=self._met
        )

    async def _go_on(self, crawl: IterativeLookup) -> None:
        """Ask the rest of the closest too, if the walk ended early."""
        if not crawl.thorough and self._goes_on():
            crawl.thorough = True
            await crawl.find()

    def _goes_on(self) -> bool:
        now = asyncio.get_running_loop().time()
        return self._budget.requests > 0 and now < self._budget.deadline

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

    def _take_mine(self, crawl: IterativeLookup, key: bytes) -> None:
        """What we hold ourselves counts like anybody's."""
        store, now = self._state.store, self._state.clock()
        crawl.records.take(store.sample(key, self.want, self.want * limits.MAX_RECORD * 2, now))

    async def _pages(self, crawl: IterativeLookup, most: int = dht_limits.BUCKET) -> None:
        """Ask the holders for more of their records, the fullest first, until it is enough or
        `most` were asked. If all records are wanted, it is enough when one more holder had none
        that is new."""
        known = -1
        for holder in sorted(crawl.shortlist.holders, key=lambda holder: -holder.count):
            settled = not self._wants_all or len(crawl.records.newest) in (known, self.want)
            if (self._is_enough(crawl) and settled) or not self._goes_on() or not most:
                return
            known = len(crawl.records.newest)
            if holder.token and not holder.read:
                holder.read = True
                most -= 1
                await self._read(crawl, holder)

    def _is_enough(self, crawl: IterativeLookup) -> bool:
        """Whether as many records were found as are wanted, or as there are; if there are more
        than are wanted, they must be idle, unless pages were read, where the idle come first."""
        found, holders = crawl.records.newest.values(), crawl.shortlist.holders
        return record_pages.is_enough(
            len(found), sum(record.idle > 0 for record in found), self.want, holders
        )

    async def _read(self, crawl: IterativeLookup, holder: Candidate) -> None:
        """Pages of one holder, many side by side, as long as it shows what it says it has."""
        longest = max((len(r.encoded) for r in crawl.records.newest.values()), default=1)
        largest = self._state.largest
        starts = record_pages.page_starts(holder.count, self.want, longest, largest)
        for at in range(0, len(starts), dht_limits.PAGES):
            some = starts[at : at + dht_limits.PAGES]
            some = some[: self._budget.take(len(some))]
            shown = holder.shown
            await self._ask_pages(crawl, holder, some)
            if holder.shown - shown < len(some) or not self._goes_on():
                return

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
                holder.shown += crawl.records.take(found.wires)
            came.set()

        for start in starts:
            crawl.ask_page(holder, start, take)
        patience = self._state.rtt.retransmit_timeout(holder.rtt) + dht_limits.RESEND[0]
        while left and loop.time() < self._budget.deadline:
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
        unseen = unseen[: self._budget.take(len(unseen))]
        await asyncio.gather(*(self._ask_pages(crawl, judge, [0]) for judge in unseen))
        return record_pages.have_shown_split(judges)


def _end_unanswered(crawl: IterativeLookup) -> None:
    if not crawl.shortlist.answered():
        crawl.end()
