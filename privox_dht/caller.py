"""From a wish to a result: find, pick, dial, offer, and on to the next when one cannot.

    find    records from the DHT (cached there)             nobody fits  -> NoProducer
            to be hidden (via_farm): nobody that was ever sent anything
    pick    an order, by `pick.rank`
    dial    a route of the first: direct, else relayed      no answer    -> knock at the others
    offer   ask before a large upload                       busy         -> next; ask again later
    job     upload, answer                                  lost         -> left alone a while, next
                                                            refused      -> believed when two agree
                                                            failed       -> next

One that cannot be reached costs one time-out. From then on nobody is dialled in vain: the next
sixteen are knocked at together, by all their routes, and whoever answers first is asked. What ends
a job is written in `job`. The caller learns what was tried.

When the last one is lost that had taken the job, it is waited for: found again, by whatever
routes it has then, and asked again. A loss while our own network was gone is held against nobody.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from privox_dht import limits
from privox_dht.api.client import Endpoint
from privox_dht.dial_budget import DialBudget, dialled
from privox_dht.errors import (
    AllBusy,
    Busy,
    Failed,
    JobError,
    Lost,
    NoLine,
    NoProducer,
    Refused,
)
from privox_dht.hostport import Address
from privox_dht.job import BUSY, CANCELLED, DONE, LOST, Attempt, Done, Job, Refusal, quoted
from privox_dht.manners import Manners
from privox_dht.pick import ANY, Wish, rank, why_nobody
from privox_dht.quotas import home_of
from privox_dht.records import Direct, Record, newest
from privox_dht.search import Directory, search
from privox_dht.ways import Way, Ways, ended, first_true, learn, spend

log = logging.getLogger("privox.caller")

T = TypeVar("T")
Work = Callable[[Endpoint, Record | None], Awaitable[T]]
OnWait = Callable[[float], None]
POLL_AT_LEAST = 0.2  # seconds between rounds while everybody is busy, whatever Retry-After says
LOOK_AGAIN = 5.0  # seconds after which a waiting job asks the DHT who else has come


class Caller:
    """Gives jobs to producers.

    Args:
        directory: the DHT.
        allow: whether an address may be dialled (in a public mesh only global ones).
        knock: asks an endpoint something short, to find out whether anybody is there.
        has_route: whether a packet to an address would leave this machine.
        online: whether our own network is there: somebody else answers now.
        contacted: whether we ever sent anything to an address: who asks to be hidden is not hidden
            from it.
        clock: seconds that only go forward.
        now: seconds since the epoch, for what a record says of itself.
        rng: chance.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        allow: Callable[[str], bool],
        knock: Callable[[Endpoint], Awaitable[Any]] | None = None,
        has_route: Callable[[str], bool] = lambda ip: True,
        online: Callable[[], Awaitable[bool]] | None = None,
        contacted: Callable[[Address], bool] = lambda address: False,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        rng: random.Random | None = None,
    ) -> None:
        self._directory = directory
        self._ways = Ways(directory, allow, knock, has_route)
        self._online = online
        self._contacted = contacted
        self._clock = clock
        self._rng = rng or random.Random()
        self._now = now
        self._kept: dict[str, Record] = {}  # of producers that did a job for us, by peer id
        self.manners = Manners()

    async def run(
        self,
        wish: Wish,
        work: Work[T],
        *,
        wait: float = limits.WAIT,
        timeout: float | None = None,
        on_wait: OnWait | None = None,
    ) -> Done[T]:
        """Do `work` at a producer that fits `wish`.

        Args:
            wish: what is asked for.
            work: does the job at an endpoint; raises only `JobError`.
            wait: seconds to go on asking while everybody is busy, or the last one is lost.
            timeout: seconds for the whole job; None: `limits.JOB_DEADLINE`.
            on_wait: told, each time everybody is busy or lost, how many seconds of waiting are
                left.

        Raises:
            Refused, NoProducer, AllBusy, AllFailed.
        """
        timeout = limits.JOB_DEADLINE if timeout is None else timeout
        job = Job(wish, self._clock())
        try:
            async with asyncio.timeout(timeout) as deadline:
                return await self._until_done(job, work, wait, on_wait)
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise job.late(timeout) from exc

    async def reach(self, record: Record, dials: DialBudget) -> list[Way]:
        """The ways by which this producer answers just now, as far as `dials` affords to ask; none:
        by none."""
        return await self._ways.open(await self._ways.of(record), dials)

    async def _until_done(
        self, job: Job, work: Work[T], wait: float, on_wait: OnWait | None
    ) -> Done[T]:
        order: list[Record] = []
        want = limits.FIND_WANT
        while True:
            fresh = want > limits.FIND_WANT and not job.refusals
            found = await self._search(job, want, fresh)
            found = newest([*found, *self._proven()])
            order = rank(found, job.wish, self.manners, self._clock(), self._rng) or order
            if not order:
                raise NoProducer(await self._why_nobody(found, job.wish))
            if job.wish.via_farm:
                order = await self._hiding(order)
            if job.is_waiting:
                await self._welcome_back(job, order)
            look_again = self._clock() + LOOK_AGAIN
            while self._left(job, order) and self._clock() < look_again:
                done = await self._round(job, order, work)
                if done is not None:
                    return done
                if self._left(job, order):
                    await self._pause(job, order, wait, on_wait)
            if not self._left(job, order):
                if want == limits.LIST_WANT:
                    await self._until_next_look(job, wait, on_wait)
                want = limits.LIST_WANT  # there may be more than a look-up usually asks for

    async def _search(self, job: Job, want: int, fresh: bool) -> list[Record]:
        """Who offers what is wished. While one that was lost is waited for, our network may be gone
        as well: a look-up must not take all the time."""
        looking = search(self._directory, job.wish, want, fresh=fresh)
        if not job.is_waiting:
            return await looking
        try:
            return await asyncio.wait_for(looking, limits.RETURN_SEARCH)
        except TimeoutError:
            return []

    async def _until_next_look(self, job: Job, wait: float, on_wait: OnWait | None) -> None:
        """Nobody is left: wait for those that had the job and were lost, unless that takes too
        long, or something else was wrong."""
        now = self._clock()
        if not job.may_come_back or not self._ways.can_knock:
            raise job.end()
        if job.waiting_since is None:
            job.waiting_since = now
        left = job.waiting_since + wait - now
        if left <= 0:
            raise job.end()
        if on_wait:
            on_wait(left)
        await asyncio.sleep(min(limits.RETURN_POLL, left))

    async def _welcome_back(self, job: Job, order: list[Record]) -> None:
        """Those that were lost with the job and answer again may be asked again."""
        lost = [record for record in order if record.peer_id in job.lost]
        for peer_id in await self._ways.back(lost, job.dials, via_farm=job.wish.via_farm):
            job.comes_back(peer_id)

    async def _hiding(self, order: list[Record]) -> list[Record]:
        """Of those that fit, the ones we can hide from: that we never sent anything, and that are
        parked at a farm which does not stand where they do.

        Raises:
            NoProducer: there is none; it says why.
        """
        strange = [record for record in order if not any(
            isinstance(route, Direct) and self._contacted((route.host, route.port))
            for route in record.routes
        )]  # fmt: skip
        ways = await asyncio.gather(*(self._ways.relayed(record, apart=True) for record in strange))
        hidden = [record for record, some in zip(strange, ways, strict=True) if some]
        if not hidden:
            met, parked = len(order) - len(strange), len(strange)
            raise NoProducer(
                f"nobody can be asked through a farm without seeing this address: {met} of "
                f"{len(order)} that fit were spoken to already (as neighbours), {parked} are "
                "parked at no farm apart from them"
            )
        return hidden

    async def _why_nobody(self, found: list[Record], wish: Wish) -> str:
        """What there is, the other backend included, when nothing that was found fits."""
        if wish.backend != ANY:
            found = found + await search(self._directory, replace(wish, backend=ANY))
        return why_nobody(newest(found), wish)

    def _proven(self) -> list[Record]:
        """Records of those who did a job for us, while they hold: a look-up returns a sample, and
        among many strangers theirs may not be in it."""
        now = self._now()
        self._kept = {peer: record for peer, record in self._kept.items() if record.expires > now}
        return list(self._kept.values())

    def _left(self, job: Job, order: list[Record]) -> list[Record]:
        """Those that may still be asked, now or later."""
        return [record for record in order if record.peer_id not in job.gone]

    async def _round(self, job: Job, order: list[Record], work: Work[T]) -> Done[T] | None:
        """Ask each of `order` once; None when nobody could."""
        now = self._clock()
        waiting = [r for r in self._left(job, order) if not self.manners.busy_for(r.peer_id, now)]
        open_ways: dict[str, list[Way]] = {}  # peer ids that answered a knock, by these
        while waiting:
            if job.unreached and self._ways.can_knock and waiting[0].peer_id not in open_ways:
                waiting = await self._who_answers(job, waiting, open_ways)
            else:
                record = waiting.pop(0)
                if record.peer_id in job.gone:  # another engine of one that was asked
                    continue
                done = await self._ask(
                    job, record, work, open_ways.get(record.peer_id), queue=not waiting
                )
                if done is not None:
                    return done
            waiting = self._by_trust(job, waiting, open_ways)
            proven_left = any(self.manners.is_proven(record.peer_id) for record in waiting)
            if verdict := job.verdict(proven_left=proven_left):
                raise verdict
        return None

    def _by_trust(
        self, job: Job, waiting: list[Record], open_ways: dict[str, list[Way]]
    ) -> list[Record]:
        """Those who are left, once somebody failed: other networks first, claims of speed aside."""
        waiting = [record for record in waiting if record.peer_id not in job.gone]
        if not job.failed:
            return waiting
        blamed = set(job.failed.values())
        order = rank(waiting, job.wish, self.manners, self._clock(), self._rng, blamed=blamed)
        return sorted(order, key=lambda record: record.peer_id not in open_ways)

    async def _who_answers(
        self, job: Job, waiting: list[Record], open_ways: dict[str, list[Way]]
    ) -> list[Record]:
        """`waiting` in another order: of its first few, those who answer a knock come first.
        Those who do not answer are gone; those who have not answered yet come next."""
        few = _of_different_addresses(waiting)[: limits.KNOCKS]
        rest = [record for record in waiting if record not in few]
        began = self._clock()

        async def knock(record: Record) -> bool:
            ways = await self._ways.of(record, via_farm=job.wish.via_farm)
            found = await self._ways.open(ways, job.dials)
            if found:
                open_ways[record.peer_id] = found
            else:
                where = ", ".join(route for route, _ in ways) or "no route"
                seconds = self._clock() - began
                self._unreached(job, record, where, "nobody answered a knock", seconds)
            return bool(found)

        peers = {record.peer_id: record for record in few}
        tasks = [asyncio.create_task(knock(record)) for record in peers.values()]
        try:
            await first_true(set(tasks))
        finally:
            await ended(tasks)
        few = [record for record in few if record.peer_id not in job.gone]
        return sorted(few, key=lambda record: record.peer_id not in open_ways) + rest

    async def _ask(
        self, job: Job, record: Record, work: Work[T], open_ways: list[Way] | None, *, queue: bool
    ) -> Done[T] | None:
        """One producer, by its routes in turn, until one of them reaches it; `queue` says that the
        job may wait there for a slot, since nobody else is left to ask."""
        ways = open_ways or ([] if job.wish.via_farm else self._ways.direct(record))
        farms_asked, dialled = open_ways is not None, False
        while True:
            if not ways and not farms_asked:
                ways = await self._ways.relayed(record, apart=job.wish.via_farm)
                farms_asked = True
                if record.peer_id in job.unreached:
                    ways = await self._ways.open(ways, job.dials)
            if not ways:
                break
            way = min(ways, key=lambda way: way[0] in job.broken)
            ways.remove(way)
            if not spend(job.dials, way[1]):
                continue
            dialled = True
            try:
                return await self._ask_by(job, record, work, way, queue=queue)
            except JobError as exc:
                if isinstance(exc, Lost) and exc.begun and not await self._is_online():
                    job.excused.add(record.peer_id)
                if self._is_over(job, record, exc, way, answered=open_ways is not None):
                    return None
            if record.peer_id in job.unreached:
                ways = await self._ways.open(ways, job.dials)
        if not dialled:
            farm = "it is parked at no farm that is known" if job.wish.via_farm else ""
            why = farm or self._ways.none_because(record)
            self._unreached(job, record, "no route", why, 0.0)
        return None

    async def _ask_by(
        self, job: Job, record: Record, work: Work[T], way: Way, *, queue: bool
    ) -> Done[T]:
        """One producer by one way; what becomes of it is noted.

        Raises:
            JobError: it did not do the job.
        """
        route, endpoint = way
        began = self._clock()

        def note(outcome: str, why: str) -> None:
            seconds = self._clock() - began
            self._note(job, Attempt(record.peer_id, record.engine, route, outcome, why, seconds))

        try:
            value = await work(replace(endpoint, queue=queue), record)
        except asyncio.CancelledError:
            note(CANCELLED, f"it had worked on it for {self._clock() - began:.1f} s")
            raise
        except JobError as exc:
            learn(job.dials, endpoint, exc)
            said = str(exc) if isinstance(exc, Lost) else quoted(str(exc))
            note(BUSY if isinstance(exc, Busy) else exc.outcome, said)
            raise
        self.manners.good(record.peer_id)
        self._kept[record.peer_id] = record
        learn(job.dials, endpoint, None)
        note(DONE, "")
        return Done(value, record, route, self._clock() - job.started, tuple(job.attempts))

    async def _is_online(self) -> bool:
        """Whether it was the producer that was lost, and not our own network."""
        return self._online is None or await self._online()

    def _is_over(
        self, job: Job, record: Record, exc: JobError, way: Way, *, answered: bool
    ) -> bool:
        """Remember what a producer did; whether its other routes are not worth trying."""
        route, endpoint = way
        peer_id, now = record.peer_id, self._clock()
        if isinstance(exc, Busy):
            job.gone.discard(peer_id)  # whatever broke before, it lives
            job.unreached.discard(peer_id)
            self.manners.busy(peer_id, now, exc.retry_after)
            return not isinstance(exc, NoLine)
        home = home_of(*dialled(endpoint.base, endpoint.proxy))
        job.gone.add(peer_id)
        match exc:
            case Refused():
                proven = self.manners.is_proven(peer_id)
                said = f"producer {peer_id[:8]} says: {quoted(exc.message)}"
                error = Refused(said, status=exc.status, code=exc.code, param=exc.param)
                job.refusals.append(Refusal(home, proven, error))
                job.failed[peer_id] = home
                if not proven:
                    self.manners.doubt(peer_id)
                return True
            case Lost(begun=True):
                self.manners.lost(peer_id, now)
                job.lose(peer_id, home)
                job.broken.add(route)
                return endpoint.proxy is None  # a farm may be what died: other routes first
            case Lost():
                self.manners.lost(peer_id, now)
                if answered:
                    job.failed[peer_id] = home
                else:
                    job.unreached.add(peer_id)
                return False
            case Failed():
                job.failed[peer_id] = home
                self.manners.doubt(peer_id)
                return True
        raise exc

    def _unreached(self, job: Job, record: Record, where: str, why: str, seconds: float) -> None:
        """Nobody is there."""
        job.gone.add(record.peer_id)
        job.unreached.add(record.peer_id)
        self.manners.lost(record.peer_id, self._clock())
        self._note(job, Attempt(record.peer_id, record.engine, where, LOST, why, seconds))

    def _note(self, job: Job, attempt: Attempt) -> None:
        job.note(attempt)
        log.debug("%s", attempt)

    async def _pause(
        self, job: Job, order: list[Record], wait: float, on_wait: OnWait | None
    ) -> None:
        """Everybody who is left is busy: wait until the first of them may be asked again."""
        now = self._clock()
        left = job.started + wait - now
        busy = {record.peer_id for record in self._left(job, order)}
        if left <= 0:
            raise AllBusy(
                f"all {len(busy)} producers of {job.wish} were busy for {wait:.0f} s", job.attempts
            )
        if on_wait:
            on_wait(left)
        first = min(self.manners.busy_for(peer_id, now) for peer_id in busy)
        pause = max(POLL_AT_LEAST, first) * self._rng.uniform(1.0, 1.2)
        await asyncio.sleep(min(pause, max(left, 0.01)))


def _of_different_addresses(records: list[Record]) -> list[Record]:
    """Those whose direct routes nobody before them names: a dial shows who is really there."""
    chosen: list[Record] = []
    named: set[Direct] = set()
    for record in records:
        direct = {route for route in record.routes if isinstance(route, Direct)}
        if direct.isdisjoint(named):
            chosen.append(record)
            named |= direct
    return chosen
