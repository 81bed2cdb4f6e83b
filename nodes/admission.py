"""Slots: how many jobs at a time, and whose turn it is. The one place that says busy. Pure.

    a job comes   -> a slot is free: it runs                  -> idle changes, told to the mesh
                  -> none is free: it waits in a short queue, or Busy
    one leaves    -> of those that wait, one of the network that has fewest slots runs, and of
                     those the one that was served longest ago
    others wait   -> an upload that has not ended gives its slot up when its network has more than
                     its share of the slots, or when it is slower than is fair to those who wait

So whoever takes all slots, with slow uploads, many connections or a storm of cancelled jobs, delays
an honest client by one job and not for ever. Work that an engine has begun is never interrupted.
Time is an argument.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from privox_dht import limits
from privox_dht.errors import Busy, ConfigError
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes

NETWORKS_REMEMBERED = 4096  # networks whose last turn is known; more are strangers' inventions
HERE: Prefixes = ("this machine",)  # whatever comes from this very machine counts as one network


@dataclass(eq=False, slots=True)
class Ticket:
    """One job, from its coming to its leaving."""

    offer: Offer
    since: float  # when it came, or began to run
    running: bool = False

    @property
    def networks(self) -> Prefixes:
        """The widest first."""
        return self.offer.prefixes[::-1] or HERE

    @property
    def home(self) -> str:
        """The widest network: whoever shares it shares a turn."""
        return self.networks[0]


class Admission:
    """Room for `slots` jobs at a time, and a queue before it."""

    def __init__(self, slots: int, on_change: Callable[[], None] = lambda: None) -> None:
        if not 1 <= slots <= limits.MAX_SLOTS:
            raise ConfigError(f"--slots {slots}: between 1 and {limits.MAX_SLOTS}")
        self.slots = slots
        self.closed = False  # draining: what runs may end, nothing new begins
        self._on_change = on_change
        self._running: list[Ticket] = []
        self._waiting: list[Ticket] = []
        self._held: Counter[str] = Counter()  # running jobs by network, at every level
        self._served: OrderedDict[str, int] = OrderedDict()  # the turn a network had last
        self._turn = 0

    def __repr__(self) -> str:
        waiting = f", {len(self._waiting)} wait" if self._waiting else ""
        closed = ", closed" if self.closed else ""
        return f"<Admission {self.idle} of {self.slots} idle{waiting}{closed}>"

    @property
    def taken(self) -> int:
        """Jobs that run."""
        return len(self._running)

    @property
    def idle(self) -> int:
        """Slots that are free now."""
        return 0 if self.closed else self.slots - self.taken

    def enter(self, offer: Offer, now: float) -> Ticket:
        """A ticket that runs, or, for an offer that waits, one that is queued.

        Raises:
            Busy: there is neither a slot nor a place in the queue.
        """
        ticket = Ticket(offer, now)
        if self.idle > 0:
            self._run(ticket, now)
            return ticket
        queued = sum(other.home == ticket.home for other in self._waiting)
        if (
            self.closed
            or offer.wait <= 0
            or len(self._waiting) >= limits.QUEUE_PLACES
            or queued >= limits.QUEUE_PLACES_PER_NETWORK
        ):
            raise self.busy()
        self._waiting.append(ticket)
        return ticket

    def busy(self) -> Busy:
        """What is said when there is no room."""
        return Busy(f"all {self.slots} slots are taken", limits.RETRY_AFTER)

    def leave(self, ticket: Ticket, now: float) -> Ticket | None:
        """It is over, or does not wait any longer; who runs in its place."""
        if not ticket.running:
            self._waiting.remove(ticket)
            return None
        self._running.remove(ticket)
        for network in ticket.networks:
            self._held[network] -= 1
            if not self._held[network]:
                del self._held[network]
        following = min(self._waiting, key=self._before, default=None)
        if following is not None and self.idle > 0:
            self._waiting.remove(following)
            self._run(following, now)
            return following
        self._on_change()
        return None

    def close(self) -> None:
        """Let nothing new begin."""
        self.closed = True
        self._on_change()

    def in_the_way(self, now: float) -> Ticket | None:
        """An upload that must give its slot to those who wait: the newest of a network that has
        more than its share, or one that is too slow."""
        if not self._waiting:
            return None
        uploads = [ticket for ticket in self._running if ticket.offer.uploading]
        first = min(self._waiting, key=self._before)
        homes = {ticket.home for ticket in (*self._running, *self._waiting)}
        share = max(1, self.slots // len(homes))
        greedy = [ticket for ticket in uploads if self._held[ticket.home] > share]
        if greedy and self._held[first.home] < share:
            return max(greedy, key=lambda ticket: (self._held[ticket.home], ticket.since))
        return next((ticket for ticket in uploads if _is_slow(ticket, now)), None)

    def _before(self, ticket: Ticket) -> tuple[int, ...]:
        """Order in the queue: the least served network first, by what it has now, then by when."""
        networks = (ticket.networks[0], ticket.networks[-1])
        return (
            *(self._held[network] for network in networks),
            *(self._served.get(network, 0) for network in networks),
        )

    def _run(self, ticket: Ticket, now: float) -> None:
        ticket.running, ticket.since = True, now
        self._turn += 1
        self._running.append(ticket)
        for network in ticket.networks:
            self._held[network] += 1
            self._served[network] = self._turn
            self._served.move_to_end(network)
        while len(self._served) > NETWORKS_REMEMBERED:
            self._served.popitem(last=False)
        self._on_change()


def _is_slow(ticket: Ticket, now: float) -> bool:
    """Whether its upload is slower than one may be while others wait."""
    seconds = now - ticket.since
    enough = limits.CONTENDED_UPLOAD_RATE * seconds
    return seconds > limits.CONTENDED_UPLOAD_GRACE and ticket.offer.received < enough
