"""One producer asked for one job, over one route after the other; the outcome is recorded.

dial    a direct route, else one through a farm         no answer    -> its next route
offer   headers before a large upload                   busy         -> asked again later
job     upload, answer                                  lost         -> back-off
                                                        rejected     -> see `job_state`
                                                        failed       -> others first
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from privox_dht import limits
from privox_dht.dispatch.dial_budget import dialled_address
from privox_dht.dispatch.job_events import Dialing, Emit, Progress, Uploading
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
from privox_dht.dispatch.route_prober import DialableRoute, RouteProber, record_dial, try_spend
from privox_dht.dispatch.work import Work
from privox_dht.errors import (
    EngineFailed,
    JobError,
    NoParkedLine,
    PeerKeyMismatch,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)
from privox_dht.quotas import source_network
from privox_dht.records import Record
from privox_dht.speech import AudioInfo

log = logging.getLogger("privox.dispatch")

T = TypeVar("T")


class Stopwatch:
    """Passes a job's events on to `emit`, and measures its sound and its work."""

    def __init__(self, emit: Emit, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._began = clock()
        self.sound = 0.0  # seconds; 0: not known

    def __call__(self, event: Progress) -> None:
        match event:
            case Uploading(sent, total) if sent >= total:
                self._began = self._clock()
            case AudioInfo(seconds):
                self.sound = seconds
        self._emit(event)

    @property
    def seconds(self) -> float:
        """Since the upload ended, or the job began."""
        return self._clock() - self._began


class SlowConnect(Exception):
    """The short first dial of an unproven producer timed out: others may be quicker."""


@dataclass(slots=True, eq=False)
class SingleProducer:
    """Asks one producer, and records how it behaved."""

    prober: RouteProber
    reputation: ReputationTable
    online: Callable[[], Awaitable[bool]] | None  # whether our own network is up; None: assume so
    clock: Callable[[], float]  # monotonic, in seconds

    async def ask(
        self,
        job: JobState,
        record: Record,
        work: Work[T],
        emit: Emit,
        open_routes: list[DialableRoute] | None,
        *,
        queue: bool,
        short_dial_first: bool,
    ) -> Done[T] | None:
        """Ask over one route after the other, until one reaches the producer.

        Args:
            open_routes: those that answered a probe; None: it was not probed.
            queue: the job may wait there for a slot, since no other producer is left.
            short_dial_first: others are left, so dial an unproven producer only briefly.

        Raises:
            SlowConnect: that short dial timed out.
        """
        short_dial_first = short_dial_first and not self.reputation.has_succeeded(record.peer_id)
        routes = open_routes or ([] if job.needs.via_farm else self.prober.direct(record))
        farms_looked_up, dialled = open_routes is not None, False
        while True:
            if not routes and not farms_looked_up:
                routes = await self.prober.relayed(record, other_host=job.needs.via_farm)
                farms_looked_up = True
                if record.peer_id in job.unreached:
                    routes = await self.prober.probe(routes, job.dials)
            if not routes:
                break
            route = min(routes, key=lambda route: route.name in job.failed_routes)
            routes.remove(route)
            if not try_spend(job.dials, route.endpoint):
                continue
            dialled = True
            # Not to a farm, whose address is other producers' too
            short_dial = short_dial_first and route.endpoint.proxy is None
            if short_dial:
                quick = replace(route.endpoint, connect_within=limits.FIRST_DIAL)
                route = route._replace(endpoint=quick)
            try:
                return await self._ask_over(job, record, work, emit, route, queue=queue)
            except JobError as exc:
                if short_dial and isinstance(exc, ProducerLost) and exc.timed_out and not exc.begun:
                    raise SlowConnect from exc
                if isinstance(exc, ProducerLost) and exc.begun and not await self._is_online():
                    job.lost_offline.add(record.peer_id)
                if self._handle_failure(job, record, exc, route, answered=open_routes is not None):
                    return None
            if record.peer_id in job.unreached:
                routes = await self.prober.probe(routes, job.dials)
        if not dialled:
            farm = "it is parked at no farm that was found" if job.needs.via_farm else ""
            why = farm or self.prober.explain_no_route(record)
            self.unreached(job, record, "no route", why, 0.0)
        return None

    async def _ask_over(
        self,
        job: JobState,
        record: Record,
        work: Work[T],
        emit: Emit,
        route: DialableRoute,
        *,
        queue: bool,
    ) -> Done[T]:
        """Ask one producer over one route; the outcome is recorded.

        Raises:
            JobError: it did not do the job.
        """
        endpoint = route.endpoint
        began = self.clock()

        def note(outcome: str, why: str) -> None:
            seconds = self.clock() - began
            self._note(
                job, Attempt(record.peer_id, record.engine, route.name, outcome, why, seconds)
            )

        emit(Dialing(record, route.name))
        watch = Stopwatch(emit, self.clock)
        asked = self.reputation.with_measured_speed(record)
        try:
            value = await work(replace(endpoint, queue=queue), asked, watch)
        except asyncio.CancelledError:
            note(CANCELLED, f"it had worked on it for {self.clock() - began:.1f} s")
            raise
        except JobError as exc:
            record_dial(job.dials, endpoint, exc)
            reason = str(exc) if isinstance(exc, ProducerLost) else quoted(str(exc))
            note(BUSY if isinstance(exc, ProducerBusy) else exc.outcome, reason)
            if not isinstance(exc, ProducerBusy):
                job.idle_since = self.clock()
            raise
        self.reputation.record_success(record.peer_id)
        if watch.sound:
            self.reputation.record_speed(record, watch.sound, watch.seconds)
        record_dial(job.dials, endpoint, None)
        note(DONE, "")
        return Done(value, record, route.name, self.clock() - job.started, tuple(job.attempts))

    async def _is_online(self) -> bool:
        """Whether our own network is up, so that the producer itself was lost."""
        return self.online is None or await self.online()

    def _handle_failure(
        self, job: JobState, record: Record, exc: JobError, route: DialableRoute, *, answered: bool
    ) -> bool:
        """Record a failure; whether the other routes of this producer need not be tried."""
        endpoint = route.endpoint
        peer_id, now = record.peer_id, self.clock()
        if isinstance(exc, ProducerBusy):
            job.excluded.discard(peer_id)  # it answers again
            job.unreached.discard(peer_id)
            self.reputation.record_busy(peer_id, now, exc.retry_after, record.sequence)
            if job.needs.slots is not None:
                job.needs.slots.record_busy(record, now)
            return not isinstance(exc, NoParkedLine)
        if isinstance(exc, RequestRejected) and exc.local:
            raise exc
        network = source_network(*dialled_address(endpoint.base, endpoint.proxy))
        job.excluded.add(peer_id)
        match exc:
            case RequestRejected():
                proven = self.reputation.has_succeeded(peer_id)
                message = f"producer {peer_id[:8]} says: {quoted(exc.message)}"
                error = RequestRejected(message, status=exc.status, code=exc.code, param=exc.param)
                job.refusals.append(Refusal(network, proven, error))
                job.failed[peer_id] = network
                if not proven:
                    self.reputation.record_rejection(peer_id)
                return True
            case ProducerLost(begun=True):
                self.reputation.record_failure(peer_id, now)
                job.record_lost(peer_id, network)
                job.failed_routes.add(route.name)
                return endpoint.proxy is None  # a farm may be what was lost: try other routes first
            case ProducerLost():
                self.reputation.record_failure(peer_id, now)
                silent = not isinstance(exc, PeerKeyMismatch)
                job.record_unreached(peer_id, network, answered=answered, silent=silent)
                return False
            case EngineFailed():
                job.failed[peer_id] = network
                self.reputation.record_rejection(peer_id)
                return True
        raise exc

    def unreached(
        self,
        job: JobState,
        record: Record,
        where: str,
        why: str,
        seconds: float,
        *,
        silent: bool = False,
    ) -> None:
        """Record a producer that was not reached; `silent`: no server answered at its routes."""
        job.excluded.add(record.peer_id)
        job.unreached.add(record.peer_id)
        if silent:
            job.silent.add(record.peer_id)
        self.reputation.record_failure(record.peer_id, self.clock())
        self._note(job, Attempt(record.peer_id, record.engine, where, LOST, why, seconds))

    def _note(self, job: JobState, attempt: Attempt) -> None:
        job.record(attempt)
        log.debug("%s", attempt)
