"""One job, and what happened to it so far: who was asked, how that ended, whether to go on. Pure.

at most 5 networks' producers fail a job              (busy ones are not counted, 16 in all)
at most 3 networks' producers die during it           (it may be what kills them; not counted
                                                      while our own network was gone)
the last one that was lost is waited for              (and given the job again, but not for ever);
those that did not answer are, too                    (and dialled again, ever more seldom)
at most 48 are found to be unreachable                (strangers can invent many)
a refusal is believed of a producer that did a job for us before, or when producers of three
networks say the same and nobody is left who did

Voices are counted by network (`quotas.home_of`): keys cost nothing, networks do. Those reached
through one farm are one voice, since nobody knows where they are.
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
MAX_QUOTED = 200  # characters of a producer's words that are shown
MAX_LISTED = 8  # attempts that an error's sentence tells; its `.attempts` has all


@dataclass(frozen=True, slots=True)
class Attempt:
    """One producer that was asked, and how that ended."""

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
    """A job that was done."""

    value: T
    record: Record | None  # of the producer that did it; None: the fallback server did
    route: str
    seconds: float  # for the whole job, waiting and failing over included
    attempts: tuple[Attempt, ...]
    shares: Mapping[str, int] = field(default_factory=dict)  # of a recording that was scattered:
    # how many pieces each producer did, by peer id


@dataclass(frozen=True, slots=True)
class Refusal:
    """One producer's word that the input is at fault."""

    network: str  # the network it said so from
    proven: bool  # it did a job for us before
    error: RequestRejected  # its words in quotes


@dataclass(slots=True)
class JobState:
    """What happened to one job so far. All sets but `broken` hold peer ids, and so do the keys of
    dicts, whose values are the networks they answered from."""

    needs: Requirements
    started: float
    wait_for_silent: bool = True  # waits for those that never answered, too
    attempts: list[Attempt] = field(default_factory=list)
    excluded: set[str] = field(default_factory=set)  # not to be asked again for this job
    failed: dict[str, str] = field(default_factory=dict)  # were reached, and did not do it
    # Were lost after they took the job
    lost_after_accept: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # of `lost_after_accept`, worth waiting for
    silent: set[str] = field(default_factory=set)  # of those never reached, worth waiting for
    lost_offline: set[str] = field(default_factory=set)  # were lost while our own network was gone
    waiting_since: float | None = None  # when nobody but those was left
    redials: int = 0  # times that silent addresses were dialled again
    redial_at: float = 0.0  # when they may be next
    returned: set[str] = field(default_factory=set)  # were lost with the job, and found again
    returns: int = 0  # times that some of them, or of those never reached, were found again
    unreached: set[str] = field(default_factory=set)  # never took it: nobody answered there
    failed_routes: set[str] = field(default_factory=set)  # routes on which it was lost: tried last
    refusals: list[Refusal] = field(default_factory=list)
    dials: DialBudget = field(init=False)

    def __post_init__(self) -> None:
        self.dials = DialBudget(named=bool(self.needs.only))

    def remaining(self, order: Iterable[Record]) -> list[Record]:
        """Those of `order` that may still be asked, now or later."""
        return [record for record in order if record.peer_id not in self.excluded]

    def record(self, attempt: Attempt) -> None:
        """Remember an attempt; of those that found the same producer busy, the last."""
        if attempt.outcome == BUSY:
            place = (attempt.peer_id, attempt.route)
            self.attempts = [
                a for a in self.attempts if a.outcome != BUSY or (a.peer_id, a.route) != place
            ]
        self.attempts.append(attempt)

    def failure(self, *, proven_left: bool = False) -> JobError | None:
        """The error that ends this job before everybody was asked, if there is one; `proven_left`
        says that somebody is left who did a job for us before."""
        for refusal in self.refusals:
            voices = {r.network for r in self.refusals if r.error.status == refusal.error.status}
            if refusal.proven or (len(voices) >= limits.AGREEING_REFUSALS and not proven_left):
                return refusal.error
        lost, networks = len(self.lost_after_accept), set(self.lost_after_accept.values())
        most = self.needs.most_lost
        if lost >= most if most else len(networks) >= limits.MAX_LOST_DURING_JOB:
            return self._failed(f"{lost} producers died on this job, so it is not given to another")
        networks = set(self.failed.values())
        if len(networks) >= limits.MAX_PRODUCERS or len(self.failed) >= limits.MAX_FAILED:
            return self._failed(f"{len(self.failed)} producers failed")
        if len(self.unreached) >= limits.MAX_UNREACHED:
            return self._failed(f"{len(self.unreached)} producers could not be reached")
        return None

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for one that was lost."""
        return self.waiting_since is not None

    @property
    def is_worth_waiting(self) -> bool:
        """Whether one that was lost with the job, or did not answer, is worth waiting for."""
        often = self.returns >= limits.MAX_RETURNS
        some = self.lost or (self.wait_for_silent and self.silent)
        return bool(some) and not self.refusals and not often

    def redial(self, now: float) -> None:
        """Addresses where nobody answered may be dialled once more, if it is time."""
        if now >= self.redial_at:
            self.dials.allow_one_more()
            self.redials += 1
            self.redial_at = now + backoff(self.redials, *limits.REDIAL)

    def record_returned(self, peer_ids: Collection[str]) -> None:
        """Some that were lost or not reached answer by now."""
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
        """One was lost with the job. Once more while our own network was there: it may be the job
        that kills it, so it is not waited for again."""
        self.failed[peer_id] = network
        if peer_id in self.lost_offline or peer_id not in self.lost_after_accept:
            self.lost.add(peer_id)
        if peer_id not in self.lost_offline:
            self.lost_after_accept[peer_id] = network

    def record_unreached(self, peer_id: str, network: str, *, answered: bool, silent: bool) -> None:
        """One was not reached.

        Args:
            network: the network where it was looked for.
            answered: it had answered a probe. One that had the job and was found again before is
                worth waiting for still: its lines may come and go.
            silent: nobody answered there, so it may sleep, or its network be gone.
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
        """The error that ends this job when nobody is left to be asked, after so many seconds."""
        if self.refusals:  # there is nobody to give a second opinion
            return self.refusals[0].error
        again = f", and none answered within {waited:.0f} s more" if waited else ""
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
        """What was tried, for a person."""
        told = [str(attempt) for attempt in self.attempts if attempt.outcome != BUSY]
        more = [f"and {len(told) - MAX_LISTED} more"] if len(told) > MAX_LISTED else []
        return "; ".join(told[:MAX_LISTED] + more)

    def _failed(self, what: str) -> AllProducersFailed:
        return AllProducersFailed(f"{what}: {self.summary()}", self.attempts)


def quoted(words: str) -> str:
    """A stranger's words, so that nobody takes them for ours."""
    cut = words if len(words) <= MAX_QUOTED else f"{words[:MAX_QUOTED]}..."
    return f'"{cut}"'
