"""Gives a job to a producer: find, pick, ask, and on to the next when one cannot. The caller reads
the job as a stream of events.

    find    records from the DHT (cached there)             nobody fits  -> NoProducer
            to be hidden (via_farm): nobody that was ever sent anything
    pick    an order, by `selection.rank`
    ask     each in turn, by `attempts`                     busy         -> wait, ask again
                                                            nobody left  -> look again, wider

What ends a job is written in `job_state`. The caller learns what was tried.

When the last one is lost that had taken the job, or does not answer, it is waited for: found
again, by whatever routes it has then, and asked again. A loss while our own network was gone is
held against nobody.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

from privox_dht import limits
from privox_dht.addresses import Address
from privox_dht.dispatch.attempts import Failover
from privox_dht.dispatch.dial_budget import DialBudget
from privox_dht.dispatch.discovery import RecordSource, discover
from privox_dht.dispatch.event_stream import streamed
from privox_dht.dispatch.job_events import Emit, JobEvent, Waiting
from privox_dht.dispatch.job_state import Done, JobState
from privox_dht.dispatch.reputation import ReputationTable
from privox_dht.dispatch.route_prober import DialableRoute, RouteProber
from privox_dht.dispatch.selection import (
    ANY,
    Requirements,
    explain_no_match,
    rank,
    unmet_demand,
)
from privox_dht.dispatch.work import Work
from privox_dht.errors import AllProducersBusy, NoProducer
from privox_dht.records import Direct, Record, latest_per_key
from privox_dht.speech_api.client import Endpoint

log = logging.getLogger("privox.caller")

T = TypeVar("T")
POLL_AT_LEAST = 0.2  # seconds between rounds while all are busy, whatever Retry-After says
SEARCH_INTERVAL = 5.0  # seconds after which a waiting job asks the DHT who else has come


class Dispatcher:
    """Gives jobs to producers.

    Args:
        directory: the DHT.
        allow: whether an address may be dialled (in a public mesh only global ones).
        probe: asks an endpoint something short, to find out whether anybody is there.
        has_route: whether a packet to an address would leave this machine.
        online: whether our own network is up: some other node answers now.
        contacted: whether we ever sent anything to an address: who asks to be hidden is not hidden
            from it.
        clock_advice: what to do where our own clock is wrong; else empty.
        clock: seconds that only go forward.
        now: seconds since the epoch, for what a record says of itself.
        patient: wait for those that do not answer, since there is nobody else to do the job.
        rng: chance.
    """

    def __init__(
        self,
        directory: RecordSource,
        *,
        allow: Callable[[str], bool],
        probe: Callable[[Endpoint], Awaitable[Any]] | None = None,
        has_route: Callable[[str], bool] = lambda ip: True,
        online: Callable[[], Awaitable[bool]] | None = None,
        contacted: Callable[[Address], bool] = lambda address: False,
        clock_advice: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        wait_for_silent: bool = True,
        rng: random.Random | None = None,
    ) -> None:
        self._directory = directory
        self._prober = RouteProber(directory, allow, probe, has_route)
        self._contacted = contacted
        self._clock_advice = clock_advice
        self._clock = clock
        self._rng = rng or random.Random()
        self._now = now
        self._wait_for_silent = wait_for_silent
        self._proven: dict[str, Record] = {}  # of producers that did a job for us, by peer id
        self.reputation = ReputationTable()
        self._failover = Failover(self._prober, self.reputation, online, clock, self._rng)

    async def dispatch(
        self,
        needs: Requirements,
        work: Work[T],
        *,
        wait: float = limits.WAIT,
        timeout: float | None = None,
        known: Sequence[Record] = (),
    ) -> AsyncGenerator[JobEvent[T]]:
        """Do `work` at a producer that meets `needs`: what happens, and at last `Done`. Closing the
        stream cancels the job, also at the producer.

        Args:
            needs: what a producer must have.
            work: does the job at an endpoint.
            wait: seconds to go on asking while all are busy, or the last one is lost or silent.
            timeout: seconds for the whole job; None: `limits.JOB_DEADLINE`.
            known: who was found a moment ago: nobody is looked for before these were asked.

        Raises:
            RequestRejected, NoProducer, AllProducersBusy, AllProducersFailed.
        """
        timeout = limits.JOB_DEADLINE if timeout is None else timeout

        async def job(emit: Emit) -> Done[T]:
            return await self._with_deadline(needs, work, emit, wait, timeout, known)

        async with aclosing(streamed(job)) as events:
            async for event in events:
                yield event

    async def _with_deadline(
        self,
        needs: Requirements,
        work: Work[T],
        emit: Emit,
        wait: float,
        timeout: float,
        known: Sequence[Record],
    ) -> Done[T]:
        wait_for_silent = self._wait_for_silent and needs.slots is None  # pieces go to others
        job = JobState(needs, self._clock(), wait_for_silent)
        try:
            async with asyncio.timeout(timeout) as deadline:
                return await self._until_done(job, work, emit, wait, known)
        except TimeoutError as exc:
            if not deadline.expired():
                raise
            raise job.timed_out(timeout) from exc

    async def candidates(self, needs: Requirements) -> list[Record]:
        """The producers that can do it, best first, one engine of each.

        Raises:
            NoProducer: nobody can, without seeing an address that is to be hidden.
        """
        found = await discover(self._directory, needs, limits.LIST_WANT)
        found = latest_per_key([*found, *self._proven_records()])
        order = rank(found, needs, self.reputation, self._clock(), self._rng)
        order = [*{record.peer_id: record for record in reversed(order)}.values()][::-1]
        return await self._hidden_candidates(order) if needs.via_farm and order else order

    def idle_slots(self, records: Iterable[Record], needs: Requirements) -> int:
        """For how many more of the jobs that share `needs.slots` there is room at these."""
        now = self._clock()
        assert needs.slots is not None
        return sum(
            needs.slots.free(record, now)
            for record in records
            if not self.reputation.is_backed_off(record.peer_id, now)
            and not self.reputation.busy_seconds(record.peer_id, now)
        )

    async def probe_routes(self, record: Record, dials: DialBudget) -> list[DialableRoute]:
        """The routes by which this producer answers just now, as far as `dials` affords; none:
        by none."""
        return await self._prober.probe(await self._prober.of(record), dials)

    async def _until_done(
        self, job: JobState, work: Work[T], emit: Emit, wait: float, known: Sequence[Record]
    ) -> Done[T]:
        order: list[Record] = []
        want = limits.FIND_WANT
        while True:
            fresh = want > limits.FIND_WANT and not job.refusals
            found, known = known or await self._search(job, want, fresh), ()
            found = latest_per_key([*found, *self._proven_records()])
            self.reputation.update(found)
            order = rank(found, job.needs, self.reputation, self._clock(), self._rng) or order
            if not order:
                raise await self._no_producer(found, job.needs)
            if job.needs.via_farm:
                order = await self._hidden_candidates(order)
            if job.is_waiting:
                await self._readmit(job, order)
            next_search = self._clock() + SEARCH_INTERVAL
            while job.remaining(order) and self._clock() < next_search:
                done = await self._failover.try_each(job, order, work, emit)
                if done is not None:
                    assert done.record is not None  # a producer did it
                    self._proven[done.record.peer_id] = done.record
                    return done
                if job.remaining(order):
                    await self._wait_until_idle(job, order, emit, wait)
            if not job.remaining(order):
                if want == limits.LIST_WANT:
                    await self._wait_for_return(job, emit, wait)
                want = limits.LIST_WANT  # there may be more than a look-up usually asks for

    async def _search(self, job: JobState, want: int, fresh: bool) -> list[Record]:
        """Look up who meets the needs. While a lost producer is waited for, our network may be gone
        as well: a look-up must not take all the time."""
        looking = discover(self._directory, job.needs, want, fresh=fresh)
        if not job.is_waiting:
            return await looking
        try:
            async with asyncio.timeout(limits.RETURN_SEARCH):
                return await looking
        except TimeoutError:
            return []

    async def _wait_for_return(self, job: JobState, emit: Emit, wait: float) -> None:
        """Nobody is left: wait for those that had the job and were lost, or do not answer, unless
        that takes too long, or something else was wrong."""
        now = self._clock()
        if not job.is_worth_waiting or not self._prober.can_probe:
            raise job.exhausted()
        if job.waiting_since is None:
            job.waiting_since = now
        left = job.waiting_since + wait - now
        if left <= 0:
            raise job.exhausted(waited=wait)
        emit(Waiting(left))
        pause = limits.RETURN_POLL if job.lost else max(limits.RETURN_POLL, job.redial_at - now)
        await asyncio.sleep(min(pause, SEARCH_INTERVAL, left))

    async def _readmit(self, job: JobState, order: list[Record]) -> None:
        """Those that were lost with the job, or were not reached, and answer by now may be asked
        (again): a farm that moved takes the routes to all who are parked at it along."""
        job.redial(self._clock())
        lost = [record for record in order if record.peer_id in job.lost]
        unreached = [record for record in order if record.peer_id in job.unreached]
        some = [*lost, *unreached][: limits.PROBES_AT_ONCE]
        routes = await self._prober.probe_again(some, job.dials, via_farm=job.needs.via_farm)
        job.record_returned(routes)

    async def _hidden_candidates(self, order: list[Record]) -> list[Record]:
        """Of those that fit, the ones we can hide from: that we never sent anything, and that are
        parked at a farm which does not stand where they do.

        Raises:
            NoProducer: there is none; it says why.
        """
        strange = [record for record in order if not any(
            isinstance(route, Direct) and self._contacted((route.host, route.port))
            for route in record.routes
        )]  # fmt: skip
        routes = await asyncio.gather(
            *(self._prober.relayed(record, other_host=True) for record in strange)
        )
        hidden = [record for record, some in zip(strange, routes, strict=True) if some]
        if not hidden:
            met, parked = len(order) - len(strange), len(strange)
            raise NoProducer(
                f"nobody can be asked through a farm without seeing this address: {met} of "
                f"{len(order)} that fit were spoken to already (as neighbours), {parked} are "
                "parked at no farm apart from them"
            )
        return hidden

    async def _no_producer(self, found: list[Record], needs: Requirements) -> NoProducer:
        """The error when nothing that was found fits: what there is, the other backend included."""
        if needs.backend != ANY:
            found = found + await discover(self._directory, replace(needs, backend=ANY))
        there = latest_per_key(found)
        why = explain_no_match(there, needs)
        advice = self._clock_advice()
        return NoProducer(f"{why}; {advice}" if advice else why, unmet_demand(there, needs))

    def _proven_records(self) -> list[Record]:
        """Records of those who did a job for us, while they hold: a look-up returns a sample, and
        among many strangers theirs may not be in it."""
        now = self._now()
        self._proven = {peer: r for peer, r in self._proven.items() if r.expires > now}
        return list(self._proven.values())

    async def _wait_until_idle(
        self, job: JobState, order: list[Record], emit: Emit, wait: float
    ) -> None:
        """Everybody who is left is busy: wait until the first of them may be asked again."""
        now = self._clock()
        left = job.started + wait - now
        busy = {record.peer_id for record in job.remaining(order)}
        if left <= 0:
            raise AllProducersBusy(
                f"all {len(busy)} producers of {job.needs} were busy for {wait:.0f} s", job.attempts
            )
        emit(Waiting(left))
        first = min(self.reputation.busy_seconds(peer_id, now) for peer_id in busy)
        pause = max(POLL_AT_LEAST, first) * self._rng.uniform(1.0, 1.2)
        await asyncio.sleep(min(pause, SEARCH_INTERVAL, max(left, 0.01)))
