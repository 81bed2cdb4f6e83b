"""The gateway's queue: first come, first served, with the clients taking turns. Pure.

    enter    a request waits; ProducerBusy if too many wait, or it would have to wait too long
    start    while there is capacity: the first waiting request of the client with the fewest jobs
    leave    a job ends; there is capacity for another one
    busy     a rejected request gets a Retry-After at which a place is reserved for its client;
             these times follow each other as fast as jobs end

The capacity is an argument, since producers come and go: the slots of the mesh, idle or not, for a
producer does short jobs between the segments of a long one. Time (seconds) is an argument.
"""

from bisect import insort
from collections import Counter
from dataclasses import dataclass

from nodes.gateway import gateway_limits
from privox_dht import limits
from privox_dht.errors import ProducerBusy

FIRST_GUESS = 2.0  # seconds that a job takes, until one has ended
NEWEST_WEIGHT = 0.1  # weight of the last job in the average duration
RESERVED_FOR = 10.0  # seconds for which a place stays reserved after its time
SAFETY = 0.8  # share of its waiting time in which an admitted request should get its turn
MAX_RESERVED = 4096  # places reserved at the same time
MIN_PLACES = 16  # requests that may wait, however long jobs take


@dataclass(eq=False, slots=True)
class QueuedRequest:
    """One request, from its arrival to its end."""

    client: str  # requests of one client share a turn
    since: float  # when it arrived, or began to run
    running: bool = False


class JobQueue:
    """The requests for one service.

    Args:
        places: requests that may wait at a time.
    """

    def __init__(self, places: int = gateway_limits.QUEUE_PLACES) -> None:
        self._places = places
        self._waiting: list[QueuedRequest] = []
        self.running = 0  # jobs that run
        self._running_by_client: Counter[str] = Counter()
        self._job_seconds = FIRST_GUESS
        self._jobs = 0  # that have ended
        self._reserved: list[tuple[float, str]] = []  # time and client, the soonest first

    def __repr__(self) -> str:
        return f"<JobQueue {self.running} running, {len(self._waiting)} waiting>"

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enter(
        self, client: str, capacity: int, now: float, wait: float = gateway_limits.QUEUE_WAIT
    ) -> QueuedRequest:
        """Let a request wait; `start` says when it runs.

        Args:
            wait: seconds that it may wait.

        Raises:
            ProducerBusy: too many wait, or have places reserved.
        """
        self._reserved = [(due, who) for due, who in self._reserved if due + RESERVED_FOR > now]
        expected = [n for n, (due, _) in enumerate(self._reserved) if due <= now]
        mine = next((n for n in expected if self._reserved[n][1] == client), None)
        if mine is not None:
            del self._reserved[mine]
        elif len(self._waiting) + len(expected) >= self._max_waiting(capacity, wait):
            raise self.busy(capacity, now, client)
        ticket = QueuedRequest(client, now)
        self._waiting.append(ticket)
        return ticket

    def start(self, capacity: int, now: float) -> list[QueuedRequest]:
        """The requests that run from now on, where so many jobs may run at a time."""
        started = []
        while self._waiting and self.running < capacity:
            ticket = min(self._waiting, key=lambda one: self._running_by_client[one.client])
            self._waiting.remove(ticket)
            ticket.running, ticket.since = True, now
            self.running += 1
            self._running_by_client[ticket.client] += 1
            started.append(ticket)
        return started

    def leave(self, ticket: QueuedRequest, now: float) -> None:
        """A request is done, or waits no longer."""
        if not ticket.running:
            self._waiting.remove(ticket)
            return
        self.running -= 1
        self._running_by_client[ticket.client] -= 1
        if not self._running_by_client[ticket.client]:
            del self._running_by_client[ticket.client]
        self._jobs += 1
        counts = max(NEWEST_WEIGHT, 1 / self._jobs)  # the plain average of the first ones
        self._job_seconds += counts * (now - ticket.since - self._job_seconds)

    def busy(self, capacity: int, now: float, client: str) -> ProducerBusy:
        """The error when there is no place; its Retry-After is when one will be reserved for the
        client, as far as that can be estimated."""
        waiting, kept = len(self._waiting), len(self._reserved)
        ahead = kept + 1 + max(0, waiting - self._max_waiting(capacity, gateway_limits.QUEUE_WAIT))
        wait = max(self._job_seconds * ahead / max(1, capacity), limits.RETRY_AFTER)
        wait = min(wait, limits.LONGEST_RETRY_AFTER)
        if kept < MAX_RESERVED:
            insort(self._reserved, (now + wait, client))
        return ProducerBusy(f"every slot of the mesh is taken, and {waiting} wait", wait)

    def _max_waiting(self, capacity: int, wait: float) -> int:
        """How many may wait so that each is likely to get its turn in time."""
        served = int(SAFETY * wait * capacity / self._job_seconds)
        return min(self._places, max(served, MIN_PLACES))
