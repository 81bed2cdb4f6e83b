"""The gateway's queue: first come, first served, with the clients taking turns. Pure.

    a request comes   -> it waits; ProducerBusy, when too many wait, or it would wait for too long
    there is room     -> of those that wait, the first one of the client that has the fewest jobs
    one leaves        -> there is room
    one is rejected   -> it learns when there will be a place, which is kept for its client:
                         each later than the last, as fast as jobs end

Room is an argument, since producers come and go: as many jobs as the mesh has slots for it, whether
they are idle or not, for a producer lets short jobs in between the pieces of a long one. Time is an
argument.
"""

from bisect import insort
from collections import Counter
from dataclasses import dataclass

from nodes.gateway import gateway_limits
from privox_dht import limits
from privox_dht.errors import ProducerBusy

FIRST_GUESS = 2.0  # seconds that a job takes, until one was seen
NEWEST_COUNTS = 0.1  # share of the last job in what a job is believed to take
KEPT = 10.0  # seconds for which a place is kept for a client that was told to come then
SURE = 0.8  # share of the time it may wait in which a request that is let in should be served
MOST_PROMISED = 4096  # places that are kept at the same time
LEAST_PLACES = 16  # requests that may wait however long jobs take


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """One request, from its coming to its leaving."""

    client: str  # requests of one client share a turn
    since: float  # seconds; when it came, or began to run
    running: bool = False


class JobQueue:
    """The requests for one service.

    Args:
        places: requests that may wait.
    """

    def __init__(self, places: int = gateway_limits.QUEUE_PLACES) -> None:
        self._places = places
        self._waiting: list[QueuedRequest] = []
        self._running = 0
        self._held: Counter[str] = Counter()  # running jobs by client
        self._job_seconds = FIRST_GUESS
        self._jobs = 0  # that have ended
        self._promised: list[tuple[float, str]] = []  # when, to whom; the soonest first

    def __repr__(self) -> str:
        return f"<JobQueue {self._running} running, {len(self._waiting)} waiting>"

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enter(
        self, client: str, room: int, now: float, wait: float = gateway_limits.QUEUE_WAIT
    ) -> QueuedRequest:
        """A ticket that waits; `start` says when it runs.

        Args:
            wait: seconds that it may.

        Raises:
            ProducerBusy: too many wait already, or will have come by then as they were told.
        """
        self._promised = [(due, who) for due, who in self._promised if due + KEPT > now]
        expected = [n for n, (due, _) in enumerate(self._promised) if due <= now]
        mine = next((n for n in expected if self._promised[n][1] == client), None)
        if mine is not None:
            del self._promised[mine]
        elif len(self._waiting) + len(expected) >= self._fit(room, wait):
            raise self.busy(room, now, client)
        ticket = QueuedRequest(client, now)
        self._waiting.append(ticket)
        return ticket

    def start(self, room: int, now: float) -> list[QueuedRequest]:
        """Those whose turn it is, where there is room for so many jobs at a time; they run now."""
        started = []
        while self._waiting and self._running < room:
            ticket = min(self._waiting, key=lambda one: self._held[one.client])
            self._waiting.remove(ticket)
            ticket.running, ticket.since = True, now
            self._running += 1
            self._held[ticket.client] += 1
            started.append(ticket)
        return started

    def leave(self, ticket: QueuedRequest, now: float) -> None:
        """It is done, or does not wait any longer."""
        if not ticket.running:
            self._waiting.remove(ticket)
            return
        self._running -= 1
        self._held[ticket.client] -= 1
        if not self._held[ticket.client]:
            del self._held[ticket.client]
        self._jobs += 1
        counts = max(NEWEST_COUNTS, 1 / self._jobs)  # the first ones teach the most
        self._job_seconds += counts * (now - ticket.since - self._job_seconds)

    def busy(self, room: int, now: float, client: str) -> ProducerBusy:
        """The error when there is no place: it says when there will be one, kept for the client
        as far as that can be foreseen."""
        waiting, kept = len(self._waiting), len(self._promised)
        ahead = kept + 1 + max(0, waiting - self._fit(room, gateway_limits.QUEUE_WAIT))
        wait = max(self._job_seconds * ahead / max(1, room), limits.RETRY_AFTER)
        wait = min(wait, limits.LONGEST_RETRY_AFTER)
        if kept < MOST_PROMISED:
            insort(self._promised, (now + wait, client))
        return ProducerBusy(f"every slot of the mesh is taken, and {waiting} wait", wait)

    def _fit(self, room: int, wait: float) -> int:
        """How many may wait, so that each is likely to be served in its time."""
        served = int(SURE * wait * room / self._job_seconds)
        return min(self._places, max(served, LEAST_PLACES))
