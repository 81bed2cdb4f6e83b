"""From a wish to a result: find, pick, dial, offer, and on to the next when one cannot.

    find    records from the DHT (cached there)             nobody fits  -> NoProducer
    pick    an order, by `pick.rank`
    dial    a route of the first: direct, else relayed      no answer    -> next route, or producer
    offer   ask before a large upload                       busy         -> next; ask again later
    job     upload, answer                                  lost         -> left alone a while, next
                                                            refused      -> believed when two agree
                                                            failed       -> next

Bounds: at most 5 producers a job, busy ones not counted; a job during which two producers died is
not given to a third (it may be what kills them). The caller learns what was tried.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Generic, Protocol, TypeVar

from privox_dht import limits
from privox_dht.api.client import Endpoint
from privox_dht.errors import (
    AllBusy,
    AllFailed,
    Busy,
    Failed,
    JobError,
    Lost,
    NoLine,
    NoProducer,
    Refused,
)
from privox_dht.hostport import join_host
from privox_dht.manners import Manners
from privox_dht.pick import Wish, fits, rank, why_nobody
from privox_dht.records import Direct, Record, Relayed

log = logging.getLogger("privox.caller")

T = TypeVar("T")
POLL_AT_LEAST = 0.2  # seconds between rounds while everybody is busy, whatever Retry-After says
LOOK_AGAIN = 5.0  # seconds after which a waiting job asks the DHT who else has come


class Directory(Protocol):
    """What the caller needs of the DHT."""

    async def find(
        self, kind: str, backend: str = "", *narrower: str, want: int = ...
    ) -> list[Record]: ...

    async def find_farm(self, public: bytes) -> Record | None: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One producer that was asked, and how that ended."""

    peer_id: str
    engine: str
    route: str  # "direct host:port" or "relayed by host:port"
    outcome: str  # done, busy, refused, failed, lost
    why: str
    seconds: float

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.peer_id[:8]} {self.route}: {self.outcome}{why}"

    def as_json(self) -> dict[str, str | float]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A job that was done."""

    value: T
    record: Record | None  # of the producer that did it; None: the fallback server did
    route: str
    seconds: float  # for the whole job, waiting and failing over included
    attempts: tuple[Attempt, ...]


@dataclass(slots=True)
class _Job:
    """What happened to one job so far."""

    wish: Wish
    started: float
    attempts: list[Attempt] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)  # peer ids not to be asked again for this job
    died: set[str] = field(default_factory=set)  # peer ids that were lost after they took the job
    refusals: list[Refused] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return sum(attempt.outcome != "busy" for attempt in self.attempts)

    def verdict(self) -> JobError | None:
        """The error that ends this job before everybody was asked, if there is one."""
        if len(self.refusals) >= limits.MAX_BELIEVED:
            return self.refusals[0]
        if len(self.died) >= limits.MAX_DEATHS:
            return AllFailed(
                f"{len(self.died)} producers died on this job, so it is not given to another: "
                + self.story(),
                self.attempts,
            )
        if self.tried >= limits.MAX_PRODUCERS:
            return AllFailed(f"{self.tried} producers failed: {self.story()}", self.attempts)
        return None

    def story(self) -> str:
        return "; ".join(str(a) for a in self.attempts if a.outcome != "busy")


Work = Callable[[Endpoint, Record | None], Awaitable[T]]


class Caller:
    """Gives jobs to producers.

    Args:
        directory: the DHT.
        allow: whether an address may be dialled (in a public mesh only global ones).
        clock: seconds that only go forward.
        rng: chance.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        allow: Callable[[str], bool],
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._directory = directory
        self._allow = allow
        self._clock = clock
        self._rng = rng or random.Random()
        self.manners = Manners()

    async def run(
        self,
        wish: Wish,
        work: Work[T],
        *,
        wait: float = limits.WAIT,
        timeout: float | None = None,
        on_wait: Callable[[float], None] | None = None,
    ) -> Done[T]:
        """Do `work` at a producer that fits `wish`.

        Args:
            wish: what is asked for.
            work: does the job at an endpoint; raises only `JobError`.
            wait: seconds to go on asking while everybody is busy.
            timeout: seconds for the whole job; None is no limit.
            on_wait: told, each time everybody is busy, how many seconds of waiting are left.

        Raises:
            Refused, NoProducer, AllBusy, AllFailed.
        """
        job = _Job(wish, self._clock())
        try:
            async with asyncio.timeout(timeout):
                return await self._until_done(job, work, wait, on_wait)
        except TimeoutError as exc:
            story = job.story() or "nobody had failed yet"
            raise AllFailed(f"not done within {timeout:g} s; {story}", job.attempts) from exc

    async def _until_done(
        self, job: _Job, work: Work[T], wait: float, on_wait: Callable[[float], None] | None
    ) -> Done[T]:
        wish = job.wish
        while True:
            records = await self.find(wish)
            order = rank(records, wish, self.manners, self._clock(), self._rng)
            if not order:
                raise NoProducer(why_nobody(records, wish))
            look_again = self._clock() + LOOK_AGAIN
            while self._clock() < look_again:
                done = await self._round(job, order, work)
                if done is not None:
                    return done
                await self._pause(job, order, wait, on_wait)

    async def find(self, wish: Wish) -> list[Record]:
        """Who offers the service; under its narrower keys too when none of the first lot fits."""
        found: list[Record] = []
        for words in wish.searches:
            looked = (
                self._directory.find(wish.service, backend, *words, want=limits.FIND_WANT)
                for backend in wish.backends
            )
            found += [record for records in await asyncio.gather(*looked) for record in records]
            if any(fits(record, wish) for record in found):
                break
        return found

    async def _round(self, job: _Job, order: list[Record], work: Work[T]) -> Done[T] | None:
        """Ask each of `order` once; None when nobody could and the job may go on waiting."""
        for record in order:
            if record.peer_id in job.gone:
                continue
            if self.manners.busy_for(record.peer_id, self._clock()) > 0:
                continue
            done = await self._ask(job, record, work)
            if done is not None:
                return done
            if verdict := job.verdict():
                raise verdict
        if any(record.peer_id not in job.gone for record in order):
            return None
        if job.refusals:  # nobody is left to ask for a second opinion
            raise job.refusals[0]
        raise AllFailed(f"every producer that was tried failed: {job.story()}", job.attempts)

    async def _ask(self, job: _Job, record: Record, work: Work[T]) -> Done[T] | None:
        """One producer, by its routes in turn, until one of them reaches it."""
        ways = await self.ways(record, via_farm=job.wish.via_farm)
        if not ways:
            self._note(job, record, "no route", "lost", "no route that may be dialled", 0.0)
            job.gone.add(record.peer_id)
        for route, endpoint in ways:
            began = self._clock()
            try:
                value = await work(endpoint, record)
            except Busy as exc:
                job.gone.discard(record.peer_id)  # whatever broke before, it lives
                self.manners.busy(record.peer_id, self._clock(), exc.retry_after)
                self._note(job, record, route, "busy", str(exc), self._clock() - began)
                if not isinstance(exc, NoLine):
                    return None
            except JobError as exc:
                self._note(job, record, route, exc.outcome, str(exc), self._clock() - began)
                if self._is_over(job, record, exc, relayed=endpoint.proxy is not None):
                    return None
            else:
                self.manners.good(record.peer_id)
                self._note(job, record, route, "done", "", self._clock() - began)
                seconds = self._clock() - job.started
                return Done(value, record, route, seconds, tuple(job.attempts))
        return None

    def _is_over(self, job: _Job, record: Record, exc: JobError, *, relayed: bool) -> bool:
        """Remember what a producer did; whether its other routes are not worth trying."""
        job.gone.add(record.peer_id)
        match exc:
            case Refused():
                job.refusals.append(exc)
                return True
            case Lost(begun=True):
                self.manners.lost(record.peer_id, self._clock())
                job.died.add(record.peer_id)
                return not relayed  # the farm may be what died: its other routes first
            case Lost():
                self.manners.lost(record.peer_id, self._clock())
                return False
            case Failed():
                return True
        raise exc

    async def ways(self, record: Record, *, via_farm: bool = False) -> list[tuple[str, Endpoint]]:
        """The routes of `record` that may be dialled, direct ones first, as endpoints."""
        direct = [] if via_farm else [r for r in record.routes if isinstance(r, Direct)]
        found = [
            (str(route), Endpoint(f"https://{join_host(route.host, route.port)}", record.publisher))
            for route in direct
            if self._allow(route.host)
        ]
        for route in record.routes:
            if isinstance(route, Relayed):
                farm = await self._directory.find_farm(route.farm)
                found += self._relayed(record, farm) if farm else []
        return found

    def _relayed(self, record: Record, farm: Record) -> list[tuple[str, Endpoint]]:
        base = f"https://{record.peer_id}.privox"
        return [
            (
                f"relayed by {join_host(door.host, door.port)}",
                Endpoint(base, record.publisher, proxy=f"http://{join_host(door.host, door.port)}"),
            )
            for door in farm.routes
            if isinstance(door, Direct) and self._allow(door.host)
        ]

    async def _pause(
        self,
        job: _Job,
        order: list[Record],
        wait: float,
        on_wait: Callable[[float], None] | None,
    ) -> None:
        """Everybody who is left is busy: wait until the first of them may be asked again."""
        now = self._clock()
        left = job.started + wait - now
        if left <= 0:
            busy = len({r.peer_id for r in order} - job.gone)
            raise AllBusy(f"all {busy} producers of {job.wish} were busy for {wait:.0f} s")
        if on_wait:
            on_wait(left)
        waits = [self.manners.busy_for(r.peer_id, now) for r in order if r.peer_id not in job.gone]
        pause = max(POLL_AT_LEAST, min(waits)) * self._rng.uniform(1.0, 1.2)
        await asyncio.sleep(min(pause, max(left, 0.01)))

    def _note(
        self, job: _Job, record: Record, route: str, outcome: str, why: str, seconds: float
    ) -> None:
        attempt = Attempt(record.peer_id, record.engine, route, outcome, why, seconds)
        job.attempts.append(attempt)
        log.debug("%s", attempt)
