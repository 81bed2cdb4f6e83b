"""One round of a job: those who may be asked, asked one after the other until one does it.

    dial    a route of the first: direct, else relayed      no answer    -> probe the others
    offer   ask before a large upload                       busy         -> next; ask again later
    job     upload, answer                                  lost         -> left alone a while, next
                                                            refused      -> see `job_state`
                                                            failed       -> next

One that cannot be reached costs one time-out, a short one where it never did a job for us. From
then on nobody is dialled in vain: the next sixteen are probed at once (the slow one too), two
of each network before a third, by all their routes, and whoever answers first is asked. Once
somebody failed, other networks are asked before his, and claims of speed count no more.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TypeVar

from privox_dht import limits
from privox_dht.dispatch.dial_budget import dialled
from privox_dht.dispatch.job_events import Dialing, Emit
from privox_dht.dispatch.job_state import (
    BUSY,
    CANCELLED,
    DONE,
    LOST,
    Attempt,
    Done,
    JobState,
    Refusal,
    quoted,
)
from privox_dht.dispatch.reputation import ReputationTable
from privox_dht.dispatch.route_prober import (
    DialableRoute,
    RouteProber,
    ended,
    first_true,
    learn,
    spend,
)
from privox_dht.dispatch.selection import homes_of, rank
from privox_dht.dispatch.stopwatch import Stopwatch
from privox_dht.dispatch.work import Work
from privox_dht.errors import (
    EngineFailed,
    JobError,
    NoParkedLine,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)
from privox_dht.quotas import home_of
from privox_dht.records import Direct, Record

log = logging.getLogger("privox.caller")

T = TypeVar("T")


class _Slow(Exception):
    """A stranger's connection did not stand in a short while: others may be quicker."""


class Failover:
    """Asks producers in turn.

    Args:
        ways: to producers.
        reputation: how they behaved, which this learns more of.
        online: whether our own network is there; None: it is.
        clock: seconds that only go forward.
        rng: chance.
    """

    def __init__(
        self,
        ways: RouteProber,
        reputation: ReputationTable,
        online: Callable[[], Awaitable[bool]] | None,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self._prober = ways
        self._reputation = reputation
        self._online = online
        self._clock = clock
        self._rng = rng

    async def try_each(
        self, job: JobState, order: list[Record], work: Work[T], emit: Emit
    ) -> Done[T] | None:
        """Ask each of `order` once; None when nobody could.

        Raises:
            JobError: the job has ended, see `JobState.verdict`.
        """
        waiting = self._askable(job, order)
        open_ways: dict[str, list[DialableRoute]] = {}  # peer ids that answered a probe, by these
        slow = False  # the first has not answered yet
        while waiting:
            probes = self._prober.can_probe and waiting[0].peer_id not in open_ways
            if probes and (slow or job.unreached):
                waiting = await self._probe_candidates(job, waiting, open_ways)
            else:
                record = waiting.pop(0)
                if record.peer_id in job.excluded:  # another engine of one that was asked
                    continue
                with self._slot(job, record) as got:
                    if not got:
                        continue
                    try:
                        done = await self._ask(
                            job, record, work, emit, open_ways.get(record.peer_id),
                            queue=not waiting, hurry=probes and bool(waiting),
                        )  # fmt: skip
                    except _Slow:
                        slow = True
                        waiting.insert(0, record)
                        continue
                if done is not None:
                    return done
            waiting = self._by_trust(job, waiting, open_ways)
            proven_left = any(self._reputation.has_succeeded(record.peer_id) for record in waiting)
            if verdict := job.failure(proven_left=proven_left):
                raise verdict
        return None

    def _askable(self, job: JobState, order: list[Record]) -> list[Record]:
        """Those of `order` that may be asked now. Jobs that share slots leave those alone where
        one of them is, and those that were lost, while there is anybody else."""
        now, slots = self._clock(), job.wish.slots
        left = job.left(order)
        waiting = [r for r in left if not self._reputation.busy_seconds(r.peer_id, now)]
        if slots is None:
            return waiting
        well = [r for r in left if not self._reputation.is_backed_off(r.peer_id, now)]
        return [r for r in waiting if slots.left(r, now) and (r in well or not well)]

    def _slot(self, job: JobState, record: Record) -> AbstractContextManager[bool]:
        """A slot for this job, while the context is open."""
        if job.wish.slots is None:
            return nullcontext(True)
        return job.wish.slots.one_at(record, self._clock())

    def _by_trust(
        self, job: JobState, waiting: list[Record], open_ways: dict[str, list[DialableRoute]]
    ) -> list[Record]:
        """Those who are left, once somebody failed: other networks first, claims of speed aside."""
        waiting = [record for record in waiting if record.peer_id not in job.excluded]
        if not job.failed:
            return waiting
        blamed = set(job.failed.values())
        order = rank(waiting, job.wish, self._reputation, self._clock(), self._rng, blamed=blamed)
        return sorted(order, key=lambda record: record.peer_id not in open_ways)

    async def _probe_candidates(
        self, job: JobState, waiting: list[Record], open_ways: dict[str, list[DialableRoute]]
    ) -> list[Record]:
        """`waiting` in another order: of its first few, those who answer a probe come first.
        Those who do not answer are gone; those who have not answered yet come next."""
        few = _by_turns(_of_different_addresses(waiting))[: limits.PROBES_AT_ONCE]
        rest = [record for record in waiting if record not in few]
        began = self._clock()

        async def probe(record: Record) -> bool:
            ways = await self._prober.of(record, via_farm=job.wish.via_farm)
            found = await self._prober.probe(ways, job.dials)
            if found:
                open_ways[record.peer_id] = found
            else:
                where = ", ".join(route for route, _ in ways) or "no route"
                seconds = self._clock() - began
                self._unreached(job, record, where, "nobody answered a probe", seconds)
            return bool(found)

        peers = {record.peer_id: record for record in few}
        tasks = [asyncio.create_task(probe(record)) for record in peers.values()]
        try:
            await first_true(set(tasks))
        finally:
            await ended(tasks)
        few = [record for record in few if record.peer_id not in job.excluded]
        return sorted(few, key=lambda record: record.peer_id not in open_ways) + rest

    async def _ask(
        self,
        job: JobState,
        record: Record,
        work: Work[T],
        emit: Emit,
        open_ways: list[DialableRoute] | None,
        *,
        queue: bool,
        hurry: bool,
    ) -> Done[T] | None:
        """One producer, by its routes in turn, until one of them reaches it; `queue` says that the
        job may wait there for a slot, since nobody else is left to ask; `hurry`, that others are.

        Raises:
            _Slow: a stranger who was to be in a hurry was not.
        """
        hurry = hurry and not self._reputation.has_succeeded(record.peer_id)
        ways = open_ways or ([] if job.wish.via_farm else self._prober.direct(record))
        farms_asked, dialled = open_ways is not None, False
        while True:
            if not ways and not farms_asked:
                ways = await self._prober.relayed(record, apart=job.wish.via_farm)
                farms_asked = True
                if record.peer_id in job.unreached:
                    ways = await self._prober.probe(ways, job.dials)
            if not ways:
                break
            way = min(ways, key=lambda way: way[0] in job.failed_routes)
            ways.remove(way)
            if not spend(job.dials, way[1]):
                continue
            dialled = True
            shortly = hurry and way[1].proxy is None  # a farm's address is other producers' too
            if shortly:
                way = (way[0], replace(way[1], connect_within=limits.FIRST_DIAL))
            try:
                return await self._ask_by(job, record, work, emit, way, queue=queue)
            except JobError as exc:
                if shortly and isinstance(exc, ProducerLost) and exc.timed_out and not exc.begun:
                    raise _Slow from exc
                if isinstance(exc, ProducerLost) and exc.begun and not await self._is_online():
                    job.excused.add(record.peer_id)
                if self._handle_failure(job, record, exc, way, answered=open_ways is not None):
                    return None
            if record.peer_id in job.unreached:
                ways = await self._prober.probe(ways, job.dials)
        if not dialled:
            farm = "it is parked at no farm that is known" if job.wish.via_farm else ""
            why = farm or self._prober.none_because(record)
            self._unreached(job, record, "no route", why, 0.0)
        return None

    async def _ask_by(
        self,
        job: JobState,
        record: Record,
        work: Work[T],
        emit: Emit,
        way: DialableRoute,
        *,
        queue: bool,
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

        emit(Dialing(record, route))
        watch = Stopwatch(emit, self._clock)
        asked = self._reputation.as_measured(record)
        try:
            value = await work(replace(endpoint, queue=queue), asked, watch)
        except asyncio.CancelledError:
            note(CANCELLED, f"it had worked on it for {self._clock() - began:.1f} s")
            raise
        except JobError as exc:
            learn(job.dials, endpoint, exc)
            said = str(exc) if isinstance(exc, ProducerLost) else quoted(str(exc))
            note(BUSY if isinstance(exc, ProducerBusy) else exc.outcome, said)
            raise
        self._reputation.record_success(record.peer_id)
        if watch.sound:
            self._reputation.record_speed(record, watch.sound, watch.seconds)
        learn(job.dials, endpoint, None)
        note(DONE, "")
        return Done(value, record, route, self._clock() - job.started, tuple(job.attempts))

    async def _is_online(self) -> bool:
        """Whether it was the producer that was lost, and not our own network."""
        return self._online is None or await self._online()

    def _handle_failure(
        self, job: JobState, record: Record, exc: JobError, way: DialableRoute, *, answered: bool
    ) -> bool:
        """Remember what a producer did; whether its other routes are not worth trying."""
        route, endpoint = way
        peer_id, now = record.peer_id, self._clock()
        if isinstance(exc, ProducerBusy):
            job.excluded.discard(peer_id)  # whatever broke before, it lives
            job.unreached.discard(peer_id)
            self._reputation.record_busy(peer_id, now, exc.retry_after)
            if job.wish.slots is not None:
                job.wish.slots.busy(record, now)
            return not isinstance(exc, NoParkedLine)
        home = home_of(*dialled(endpoint.base, endpoint.proxy))
        job.excluded.add(peer_id)
        match exc:
            case RequestRejected():
                proven = self._reputation.has_succeeded(peer_id)
                said = f"producer {peer_id[:8]} says: {quoted(exc.message)}"
                error = RequestRejected(said, status=exc.status, code=exc.code, param=exc.param)
                job.refusals.append(Refusal(home, proven, error))
                job.failed[peer_id] = home
                if not proven:
                    self._reputation.record_rejection(peer_id)
                return True
            case ProducerLost(begun=True):
                self._reputation.record_failure(peer_id, now)
                job.lose(peer_id, home)
                job.failed_routes.add(route)
                return endpoint.proxy is None  # a farm may be what died: other routes first
            case ProducerLost():
                self._reputation.record_failure(peer_id, now)
                if answered:
                    job.failed[peer_id] = home
                else:
                    job.unreached.add(peer_id)
                return False
            case EngineFailed():
                job.failed[peer_id] = home
                self._reputation.record_rejection(peer_id)
                return True
        raise exc

    def _unreached(
        self, job: JobState, record: Record, where: str, why: str, seconds: float
    ) -> None:
        """Nobody is there."""
        job.excluded.add(record.peer_id)
        job.unreached.add(record.peer_id)
        self._reputation.record_failure(record.peer_id, self._clock())
        self._note(job, Attempt(record.peer_id, record.engine, where, LOST, why, seconds))

    def _note(self, job: JobState, attempt: Attempt) -> None:
        job.record(attempt)
        log.debug("%s", attempt)


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


def _by_turns(records: list[Record]) -> list[Record]:
    """A few of each network, and then everybody else: who has many ports or many keys at one place
    does not use up the probes."""
    seen: Counter[str] = Counter()
    first: list[Record] = []
    rest: list[Record] = []
    for record in records:
        networks = homes_of(record) or {record.peer_id}
        seen.update(networks)
        few = max(seen[network] for network in networks) <= limits.PROBES_PER_NETWORK
        (first if few else rest).append(record)
    return first + rest
