"""Whose turn it is at the gateway: first come, first served, but each client in its turn. Pure.

    a request comes   -> it waits; ProducerBusy, when too many wait
    there is room     -> of those that wait, the first one of the client that has the fewest jobs
    one leaves        -> there is room

Room is an argument, since producers come and go: as many jobs as the mesh has slots for it, whether
they are idle or not, for a producer lets short jobs in between the pieces of a long one. A
request that is sent away hears after how long it is likely to be served. Time is an argument.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from privox_dht import limits
from privox_dht.errors import ProducerBusy

FIRST_GUESS = 2.0  # seconds that a job takes, until one was seen
NEWEST_COUNTS = 0.1  # share of the last job in what a job is believed to take


@dataclass(eq=False, slots=True)
class Ticket:
    """One request, from its coming to its leaving."""

    client: str  # requests of one client share a turn
    since: float  # seconds; when it came, or began to run
    running: bool = False


class JobQueue:
    """The requests for one service.

    Args:
        places: requests that may wait.
    """

    def __init__(self, places: int = limits.GATEWAY_QUEUE_PLACES) -> None:
        self._places = places
        self._waiting: list[Ticket] = []
        self._running = 0
        self._held: Counter[str] = Counter()  # running jobs by client
        self._job_seconds = FIRST_GUESS

    def __repr__(self) -> str:
        return f"<JobQueue {self._running} running, {len(self._waiting)} waiting>"

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def enter(self, client: str, room: int, now: float) -> Ticket:
        """A ticket that waits; `start` says when it runs.

        Raises:
            ProducerBusy: too many wait already.
        """
        if len(self._waiting) >= self._places:
            raise self.busy(room)
        ticket = Ticket(client, now)
        self._waiting.append(ticket)
        return ticket

    def start(self, room: int, now: float) -> list[Ticket]:
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

    def leave(self, ticket: Ticket, now: float) -> None:
        """It is done, or does not wait any longer."""
        if not ticket.running:
            self._waiting.remove(ticket)
            return
        self._running -= 1
        self._held[ticket.client] -= 1
        if not self._held[ticket.client]:
            del self._held[ticket.client]
        self._job_seconds += NEWEST_COUNTS * (now - ticket.since - self._job_seconds)

    def busy(self, room: int) -> ProducerBusy:
        """What is said to whom there is no place for."""
        ahead = self._running + len(self._waiting)
        wait = self._job_seconds * ahead / max(1, room)
        wait = min(max(wait, limits.RETRY_AFTER), limits.LONGEST_RETRY_AFTER)
        return ProducerBusy(f"every slot of the mesh is taken, and {len(self._waiting)} wait", wait)
