"""Gives a job to a producer: discover, rank, ask, fail over. The caller reads a stream of events.

    discover  records from the DHT (cached there)           none matches -> NoProducer
              with via_farm: no producer to which this program ever sent anything
    rank      in an order, by `selection.rank`
    ask       each in turn, by `attempts`                   busy         -> wait, ask again
                                                            none left    -> search again, for more

`job_state` decides what ends a job; the error lists the attempts.

If the last producer was lost after it took the job, or does not answer, the job waits for it: it is
looked up again, probed over the routes that it has then, and asked again. A producer that is lost
while our own network is down is not blamed.
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
from privox_dht.dispatch.single_producer import SingleProducer
from privox_dht.dispatch.work import Work
from privox_dht.errors import AllProducersBusy, NoProducer
from privox_dht.records import Direct, Record, latest_per_key
from privox_dht.speech_api.client import Endpoint

log = logging.getLogger("privox.dispatch")

T = TypeVar("T")
POLL_AT_LEAST = 0.2  # seconds between rounds while all are busy, whatever Retry-After says
SEARCH_INTERVAL = 5.0  # seconds after which a waiting job looks for new producers in the DHT


class Dispatcher:
    """Gives jobs to producers.

    Args:
        directory: the DHT.
        allow: whether an address may be dialled (in a public mesh only global ones).
        probe: sends a short request to an endpoint, to learn whether it answers.
        has_route: whether this machine has a route to an address.
        online: whether our own network is up: some other node answers now.
        contacted: whether we ever sent anything to an address, which then knows ours: jobs with
            `via_farm` avoid it.
        clock_advice: what to do if our own clock is wrong; else empty.
        clock: a monotonic clock, in seconds.
        now: seconds since the epoch, to compare with the times in records.
        wait_for_silent: wait for producers that do not answer: there is no fallback.
        rng: randomness.
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
        single = SingleProducer(self._prober, self.reputation, online, clock)
        self._failover = Failover(self._prober, self.reputation, single, clock, self._rng)

    async def dispatch(
        self,
        needs: Requirements,
        work: Work[T],
        *,
        wait: float = limits.WAIT,
        timeout: float | None = None,
        known: Sequence[Record] = (),
    ) -> AsyncGenerator[JobEvent[T]]:
        """Do `work` at a producer that meets `needs`: the events of the job, the last is `Done`.
        Closing the stream cancels the job, also at the producer.

        Args:
            needs: what a producer must have.
            work: does the job at an endpoint.
            wait: seconds to retry while all producers are busy, or the last is lost or silent.
            timeout: seconds for the whole job; None: `limits.JOB_DEADLINE`.
            known: records found just now, which are used before the DHT is searched.

        Raises:
            RequestRejected, NoProducer, AllProducersBusy, AllProducersFailed.
        """
        seconds = limits.JOB_DEADLINE if timeout is None else timeout
        wait_for_silent = self._wait_for_silent and needs.slots is None  # pieces go to others
        job = JobState(needs, self._clock(), wait_for_silent)

        async def run(emit: Emit) -> Done[T]:
            try:
                async with asyncio.timeout(seconds) as deadline:
                    return await self._until_done(job, work, emit, wait, known)
            except TimeoutError as exc:
                if not deadline.expired():
                    raise
                raise job.timed_out(seconds) from exc

        async with aclosing(streamed(run)) as events:
            async for event in events:
                yield event

    async def candidates(self, needs: Requirements) -> list[Record]:
        """The producers that can do a job, best first, one engine of each.

        Raises:
            NoProducer: with `via_farm`, every one of them would learn our address.
        """
        found = await discover(self._directory, needs, limits.LIST_WANT)
        found = latest_per_key([*found, *self._proven_records()])
        best: dict[str, Record] = {}
        for record in rank(found, needs, self.reputation, self._clock(), self._rng):
            best.setdefault(record.peer_id, record)
        order = [*best.values()]
        return await self._hidden_candidates(order) if needs.via_farm and order else order

    def idle_slots(self, records: Iterable[Record], needs: Requirements) -> int:
        """How many more of the jobs that share `needs.slots` these producers can take now."""
        now = self._clock()
        assert needs.slots is not None
        return sum(
            needs.slots.free(record, now)
            for record in records
            if not self.reputation.is_backed_off(record.peer_id, now)
            and not self.reputation.busy_seconds(record.peer_id, now)
        )

    async def probe_routes(self, record: Record, dials: DialBudget) -> list[DialableRoute]:
        """The routes over which this producer answers now, as far as `dials` allows."""
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
            if not (order or job.is_worth_waiting):
                raise await self._no_producer(found, job.needs)
            if job.needs.via_farm:
                try:
                    order = await self._hidden_candidates(order)
                except NoProducer:
                    if not job.is_worth_waiting:
                        raise
                    order = []  # the farm of a lost producer may be gone for a moment
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
                want = limits.LIST_WANT  # there may be more records than a usual look-up returns

    async def _search(self, job: JobState, want: int, fresh: bool) -> list[Record]:
        """Discover producers. While the job waits for a lost one, our own network may be down too:
        then the search is cut short."""
        looking = discover(self._directory, job.needs, want, fresh=fresh)
        if not job.is_waiting:
            return await looking
        try:
            async with asyncio.timeout(limits.RETURN_SEARCH):
                return await looking
        except TimeoutError:
            return []

    async def _wait_for_return(self, job: JobState, emit: Emit, wait: float) -> None:
        """No producer is left: wait before the next search, for those that were lost or silent. The
        job ends if none of them is worth waiting for, or `wait` is over."""
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
        """Probe those that were lost or not reached; the ones that answer may be asked again. Their
        routes are looked up anew, since a farm may have moved."""
        job.redial(self._clock())
        lost = [record for record in order if record.peer_id in job.lost]
        unreached = [record for record in order if record.peer_id in job.unreached]
        some = [*lost, *unreached][: limits.PROBES_AT_ONCE]
        routes = await self._prober.probe_again(some, job.dials, via_farm=job.needs.via_farm)
        job.record_returned(routes)

    async def _hidden_candidates(self, order: list[Record]) -> list[Record]:
        """Those that can do the job without learning our address: we never sent them anything, and
        they are parked at a farm that is not on their own host.

        Raises:
            NoProducer: there is none; says why.
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
                f"no producer can be asked without seeing this machine's address: {met} of "
                f"{len(order)} that match have seen it already (as neighbours), {parked} are"
                " parked at no farm on another host"
            )
        return hidden

    async def _no_producer(self, found: list[Record], needs: Requirements) -> NoProducer:
        """The error if no record matches: says what there is, on the other backend too."""
        if needs.backend != ANY:
            found = found + await discover(self._directory, replace(needs, backend=ANY))
        there = latest_per_key(found)
        why = explain_no_match(there, needs)
        advice = self._clock_advice()
        return NoProducer(f"{why}; {advice}" if advice else why, unmet_demand(there, needs))

    def _proven_records(self) -> list[Record]:
        """Records, not expired yet, of producers that did a job for us: a look-up returns a sample,
        which may not contain them."""
        now = self._now()
        self._proven = {peer: r for peer, r in self._proven.items() if r.expires > now}
        return list(self._proven.values())

    async def _wait_until_idle(
        self, job: JobState, order: list[Record], emit: Emit, wait: float
    ) -> None:
        """All remaining producers are busy: wait until the first may be asked again."""
        now = self._clock()
        left = job.idle_since + wait - now
        busy = {record.peer_id for record in job.remaining(order)}
        if left <= 0:
            raise AllProducersBusy(
                f"all {len(busy)} producers of {job.needs} were busy for {wait:.0f} s", job.attempts
            )
        emit(Waiting(left))
        first = min(self.reputation.busy_seconds(peer_id, now) for peer_id in busy)
        pause = max(POLL_AT_LEAST, first) * self._rng.uniform(1.0, 1.2)
        await asyncio.sleep(min(pause, SEARCH_INTERVAL, max(left, 0.01)))
