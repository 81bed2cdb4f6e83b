"""The state of one job: who was asked, how that ended, whether to go on. Pure.

producers of 5 networks, or 16 in all, failed         the job fails (busy ones do not count)
producers of 3 networks were lost during the job      the job fails, since it may be what kills them
                                                      (not counted while our own network was down)
48 producers could not be reached                     the job fails: strangers can invent many
the last producer was lost, or does not answer        the job waits, and asks or dials it again
a producer rejects the input                          believed if it did a job for us before, or if
                                                      three networks agree and none is left that did

Failures are counted by network (`quotas.source_network`), since keys cost nothing and networks
do. All producers behind one farm count as one network, since theirs is unknown.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Generic, TypeVar

from privox_dht import limits
from privox_dht.backoff import backoff
from privox_dht.dispatch.dial_budget import DialBudget
from privox_dht.dispatch.selection import Requirements
from privox_dht.errors import AllProducersFailed, JobError, RequestRejected
from privox_dht.records import Record

T = TypeVar("T")
BUSY, DONE, LOST, CANCELLED = "busy", "done", "lost", "cancelled"
MAX_QUOTED = 200  # characters of a producer's message that are shown
MAX_LISTED = 8  # attempts in an error's message; its `.attempts` has all


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to one producer, and its outcome."""

    peer_id: str
    engine: str
    route: str  # "direct host:port" or "relayed by host:port"
    outcome: str  # done, busy, refused, failed, lost, cancelled
    why: str
    seconds: float

    def __str__(self) -> str:
        why = f" ({self.why})" if self.why else ""
        return f"{self.peer_id[:8]} {self.route}: {self.outcome}{why}"

    def as_json(self) -> dict[str, str | float]:
        return {**asdict(self), "seconds": round(self.seconds, 3)}


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The result of a job."""

    value: T
    record: Record | None  # of the producer; None: the fallback server, or several producers
    route: str
    seconds: float  # of the whole job, with waiting and failover
    attempts: tuple[Attempt, ...]
    shares: Mapping[str, int] = field(default_factory=dict)  # if it was scattered: how many pieces
    # each producer did, by peer id


@dataclass(frozen=True, slots=True)
class Refusal:
    """One producer's claim that the input is at fault."""

    network: str  # where the producer answered
    proven: bool  # it did a job for us before
    error: RequestRejected  # quotes its message


@dataclass(slots=True)
class JobState:
    """What happened to one job so far. Sets hold peer ids (`failed_routes`: names of routes); dicts
    map peer ids to the networks where they answered."""

    needs: Requirements
    started: float
    wait_for_silent: bool = True  # whether to wait for those that never answered
    attempts: list[Attempt] = field(default_factory=list)
    idle_since: float = field(init=False)  # when a producer last ended work on it, or it began
    excluded: set[str] = field(default_factory=set)  # not to be asked again for this job
    failed: dict[str, str] = field(default_factory=dict)  # were reached, but did not do the job
    # Were lost after they took the job, while our own network was up
    lost_after_accept: dict[str, str] = field(default_factory=dict)
    # Were lost after they took the job, worth waiting for
    lost: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)  # never answered, worth waiting for
    lost_offline: set[str] = field(default_factory=set)  # lost while our own network was down
    waiting_since: float | None = None  # when no others were left
    redials: int = 0  # rounds in which silent addresses were dialled again
    redial_at: float = 0.0  # when the next round may be
    returned: set[str] = field(default_factory=set)  # were lost, and answered again
    returns: int = 0  # how often some that were lost or unreached answered again
    unreached: set[str] = field(default_factory=set)  # never took the job: no answer
    failed_routes: set[str] = field(default_factory=set)  # on which the job was lost: tried last
    refusals: list[Refusal] = field(default_factory=list)
    dials: DialBudget = field(init=False)

    def __post_init__(self) -> None:
        self.idle_since = self.started
        self.dials = DialBudget(named=bool(self.needs.only))

    def remaining(self, order: Iterable[Record]) -> list[Record]:
        """The records of `order` that may still be asked, now or later."""
        return [record for record in order if record.peer_id not in self.excluded]

    def record(self, attempt: Attempt) -> None:
        """Record an attempt; of several that found the same producer busy, keep the last."""
        if attempt.outcome == BUSY:
            place = (attempt.peer_id, attempt.route)
            self.attempts = [
                a for a in self.attempts if a.outcome != BUSY or (a.peer_id, a.route) != place
            ]
        self.attempts.append(attempt)

    def failure(self, *, proven_left: bool = False) -> JobError | None:
        """The error that ends this job before all producers were asked; None: go on. `proven_left`:
        one that did a job for us before is left."""
        for refusal in self.refusals:
            agreeing = {r.network for r in self.refusals if r.error.status == refusal.error.status}
            if refusal.proven or (len(agreeing) >= limits.AGREEING_REFUSALS and not proven_left):
                return refusal.error
        lost, networks = len(self.lost_after_accept), set(self.lost_after_accept.values())
        most = self.needs.most_lost
        if lost >= most if most else len(networks) >= limits.MAX_LOST_DURING_JOB:
            return self._failed(f"{lost} producers were lost during this job, so no other gets it")
        networks = set(self.failed.values())
        if len(networks) >= limits.MAX_PRODUCERS or len(self.failed) >= limits.MAX_FAILED:
            return self._failed(f"{len(self.failed)} producers failed")
        if len(self.unreached) >= limits.MAX_UNREACHED:
            return self._failed(f"{len(self.unreached)} producers could not be reached")
        return None

    @property
    def is_waiting(self) -> bool:
        """Whether the job waits for a producer that was lost or does not answer."""
        return self.waiting_since is not None

    @property
    def is_worth_waiting(self) -> bool:
        """Whether to wait for a producer that was lost or does not answer."""
        often = self.returns >= limits.MAX_RETURNS
        some = self.lost or (self.wait_for_silent and self.silent)
        return bool(some) and not self.refusals and not often

    def redial(self, now: float) -> None:
        """Allow another dial of silent addresses, if it is time."""
        if now >= self.redial_at:
            self.dials.allow_one_more()
            self.redials += 1
            self.redial_at = now + backoff(self.redials, *limits.REDIAL)

    def record_returned(self, peer_ids: Collection[str]) -> None:
        """These were lost or not reached, and answer now."""
        if not peer_ids:
            return
        self.waiting_since = None
        self.returns += 1
        self.returned |= self.lost & set(peer_ids)
        for peer_id in peer_ids:
            self.failed.pop(peer_id, None)
        for those in (self.excluded, self.lost, self.lost_offline, self.unreached, self.silent):
            those.difference_update(peer_ids)

    def record_lost(self, peer_id: str, network: str) -> None:
        """A producer was lost after it took the job. The second time while our own network was up,
        the job does not wait for it again: the job may be what kills it."""
        self.failed[peer_id] = network
        if peer_id in self.lost_offline or peer_id not in self.lost_after_accept:
            self.lost.add(peer_id)
        if peer_id not in self.lost_offline:
            self.lost_after_accept[peer_id] = network

    def record_unreached(self, peer_id: str, network: str, *, answered: bool, silent: bool) -> None:
        """A producer was not reached. If it was lost and returned before, the job still waits for
        it: its connections may come and go.

        Args:
            network: where it was dialled.
            answered: it had answered a probe.
            silent: no server answered there, so it may sleep or be offline.
        """
        if answered:
            self.failed[peer_id] = network
        else:
            self.unreached.add(peer_id)
            if silent:
                self.silent.add(peer_id)
        if peer_id in self.returned:
            self.lost.add(peer_id)

    def exhausted(self, waited: float = 0.0) -> JobError:
        """The error if no producer is left; the job waited `waited` seconds for one to return."""
        if self.refusals:  # no producer is left for a second opinion
            return self.refusals[0].error
        again = f", and none answered in another {waited:.0f} s" if waited else ""
        return self._failed(f"every producer that was tried failed{again}")

    def timed_out(self, timeout: float) -> JobError:
        """The error that ends this job at its deadline."""
        busy = len({attempt.peer_id for attempt in self.attempts if attempt.outcome == BUSY})
        waited = (
            f"all {busy} producers that were asked were busy" if busy else "no producer was found"
        )
        return AllProducersFailed(
            f"not done within {timeout:g} s: {self.summary() or waited}", self.attempts
        )

    def summary(self) -> str:
        """The attempts, for a person."""
        tried = [str(attempt) for attempt in self.attempts if attempt.outcome != BUSY]
        more = [f"and {len(tried) - MAX_LISTED} more"] if len(tried) > MAX_LISTED else []
        return "; ".join(tried[:MAX_LISTED] + more)

    def _failed(self, what: str) -> AllProducersFailed:
        return AllProducersFailed(f"{what}: {self.summary()}", self.attempts)


def quoted(message: str) -> str:
    """A stranger's message in quotes, cut if it is long."""
    cut = message if len(message) <= MAX_QUOTED else f"{message[:MAX_QUOTED]}..."
    return f'"{cut}"'
