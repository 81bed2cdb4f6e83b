"""One round of a job: the producers are asked one after the other until one does the job.

    ask     the first (see `single_producer`)               done         -> the result
                                                            no answer    -> probe the others
                                                            other errors -> the next

A producer that cannot be reached costs one time-out, a short one if it never did a job for us.
After that the next sixteen (the slow one too; two of each network before a third) are probed at
once over all their routes, and the first to answer is asked. Once a producer has failed, those of
other networks come before those of its own, and claimed speeds are ignored.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from privox_dht import limits
from privox_dht.dispatch.job_events import Emit
from privox_dht.dispatch.job_state import Done, JobState
from privox_dht.dispatch.reputation import ReputationTable
from privox_dht.dispatch.route_prober import DialableRoute, RouteProber, cancel_all, first_true
from privox_dht.dispatch.selection import networks_of, rank
from privox_dht.dispatch.single_producer import SingleProducer, SlowConnect
from privox_dht.dispatch.work import Work
from privox_dht.records import Direct, Record

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Failover:
    """Asks producers in turn."""

    prober: RouteProber
    reputation: ReputationTable  # how producers behaved
    single: SingleProducer  # asks one of them
    clock: Callable[[], float]  # monotonic, in seconds
    rng: random.Random

    async def try_each(
        self, job: JobState, order: list[Record], work: Work[T], emit: Emit
    ) -> Done[T] | None:
        """Ask each of `order` once; None: none of them did the job.

        Raises:
            JobError: the job has ended, see `JobState.failure`.
        """
        waiting = self._available(job, order)
        open_routes: dict[str, list[DialableRoute]] = {}  # that answered a probe, by peer id
        slow = False  # the dial of the first timed out
        while waiting:
            probes = self.prober.can_probe and waiting[0].peer_id not in open_routes
            if probes and (slow or job.unreached):
                waiting = await self._probe_candidates(job, waiting, open_routes)
            else:
                record = waiting.pop(0)
                if record.peer_id in job.excluded:  # it was asked for another engine
                    continue
                with self._slot(job, record) as got:
                    if not got:
                        continue
                    try:
                        done = await self.single.ask(
                            job, record, work, emit, open_routes.get(record.peer_id),
                            queue=not waiting, short_dial_first=probes and bool(waiting),
                        )  # fmt: skip
                    except SlowConnect:
                        slow = True
                        waiting.insert(0, record)
                        continue
                if done is not None:
                    return done
            waiting = self._by_trust(job, waiting, open_routes)
            proven_left = any(self.reputation.has_succeeded(record.peer_id) for record in waiting)
            if verdict := job.failure(proven_left=proven_left):
                raise verdict
        return None

    def _available(self, job: JobState, order: list[Record]) -> list[Record]:
        """Those of `order` that may be asked now. Jobs that share slots skip producers without a
        slot left for them, and those in back-off unless there are no others."""
        now, slots = self.clock(), job.needs.slots
        left = job.remaining(order)
        waiting = [r for r in left if not self.reputation.busy_seconds(r.peer_id, now)]
        if slots is None:
            return waiting
        well = [r for r in left if not self.reputation.is_backed_off(r.peer_id, now)]
        return [r for r in waiting if slots.free(r, now) and (r in well or not well)]

    def _slot(self, job: JobState, record: Record) -> AbstractContextManager[bool]:
        """Hold a slot for this job; False: there is none."""
        if job.needs.slots is None:
            return nullcontext(True)
        return job.needs.slots.hold(record, self.clock())

    def _by_trust(
        self, job: JobState, waiting: list[Record], open_routes: dict[str, list[DialableRoute]]
    ) -> list[Record]:
        """The remaining ones; once a producer has failed, in a new order (see above)."""
        waiting = [record for record in waiting if record.peer_id not in job.excluded]
        if not job.failed:
            return waiting
        failed = set(job.failed.values())
        order = rank(waiting, job.needs, self.reputation, self.clock(), self.rng, failed=failed)
        return sorted(order, key=lambda record: record.peer_id not in open_routes)

    async def _probe_candidates(
        self, job: JobState, waiting: list[Record], open_routes: dict[str, list[DialableRoute]]
    ) -> list[Record]:
        """Probe the first few of `waiting`. Those that answer come first, then those whose probes
        have not ended, then the rest; those that do not answer are dropped."""
        few = _spread_over_networks(_of_different_addresses(waiting))[: limits.PROBES_AT_ONCE]
        rest = [record for record in waiting if record not in few]
        began = self.clock()

        async def probe(record: Record) -> bool:
            routes = await self.prober.of(record, via_farm=job.needs.via_farm)
            found = await self.prober.probe(routes, job.dials)
            if found:
                open_routes[record.peer_id] = found
            else:
                where = ", ".join(route.name for route in routes) or "no route"
                seconds = self.clock() - began
                why = "no answer to a probe"
                self.single.unreached(job, record, where, why, seconds, silent=bool(routes))
            return bool(found)

        peers = {record.peer_id: record for record in few}
        tasks = [asyncio.create_task(probe(record)) for record in peers.values()]
        try:
            await first_true(set(tasks))
        finally:
            await cancel_all(tasks)
        few = [record for record in few if record.peer_id not in job.excluded]
        return sorted(few, key=lambda record: record.peer_id not in open_routes) + rest


def _of_different_addresses(records: list[Record]) -> list[Record]:
    """Without records that name a direct route of an earlier one: at most one can be right."""
    chosen: list[Record] = []
    named: set[Direct] = set()
    for record in records:
        direct = {route for route in record.routes if isinstance(route, Direct)}
        if direct.isdisjoint(named):
            chosen.append(record)
            named |= direct
    return chosen


def _spread_over_networks(records: list[Record]) -> list[Record]:
    """A few of each network first, so that many ports or keys in one network do not use up the
    probes."""
    seen: Counter[str] = Counter()
    first: list[Record] = []
    rest: list[Record] = []
    for record in records:
        networks = networks_of(record) or {record.peer_id}
        seen.update(networks)
        few = max(seen[network] for network in networks) <= limits.PROBES_PER_NETWORK
        (first if few else rest).append(record)
    return first + rest
