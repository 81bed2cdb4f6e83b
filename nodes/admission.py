"""Slots: how many jobs run at a time, and which is next. Only this module decides "busy". Pure.

    a job arrives    -> a slot is free: it runs                  -> the number of idle slots changes
                     -> none is free, and it is short: it runs in the one extra slot
                     -> otherwise it waits in a short queue, or is rejected with ProducerBusy
    a job ends       -> the next of the queue runs: from the network with the fewest slots, and
                        of these the one that was served longest ago
    the queue is     -> an upload loses its slot if its network has more than its share of the
    not empty           slots, or if it is too slow

So a client that takes all slots, by slow uploads, many connections or many cancelled jobs, delays
an honest client by one job at most. A network whose job has just ended must wait if others, served
longer ago, were rejected in the last second. Work that an engine has begun is never interrupted.

The owner may lend only some of the slots (`lend`): in the others only the owner's jobs begin. Time
is an argument.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from privox_dht import limits
from privox_dht.errors import ConfigError, ProducerBusy
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes

NETWORKS_REMEMBERED = 4096  # networks whose last turn is known; more can only be an attack
REJECTIONS_REMEMBERED = 64  # rejected within a second; all are checked for each offer
LOCAL: Prefixes = ("this machine",)  # the network of all jobs from this machine


Number = TypeVar("Number", int, float)


@dataclass(eq=False, slots=True)
class Ticket:
    """One job, from its arrival to its end."""

    offer: Offer
    since: float  # when it arrived or began to run
    running: bool = False

    @property
    def networks(self) -> Prefixes:
        """The networks that its client counts for, the widest first."""
        return self.offer.prefixes[::-1] or LOCAL

    @property
    def home(self) -> str:
        """The widest network: its clients share their turns."""
        return self.networks[0]


class Admission:
    """`slots` jobs at a time, and a queue."""

    def __init__(self, slots: int, on_change: Callable[[], None] = lambda: None) -> None:
        if not 1 <= slots <= limits.MAX_SLOTS:
            raise ConfigError(f"--slots {slots}: between 1 and {limits.MAX_SLOTS}")
        self.slots = slots
        self.lent = slots  # how many of them are for others than the owner
        self.closed = False  # draining: running jobs go on, no job begins
        self._retry_after = limits.RETRY_AFTER  # seconds, for clients while no slot is lent
        self._on_change = on_change
        self._running: list[Ticket] = []
        self._extra: Ticket | None = None  # a short job, in the extra slot
        self._waiting: list[Ticket] = []
        self._held: Counter[str] = Counter()  # running jobs of each network, of every width
        self._served: OrderedDict[str, int] = OrderedDict()  # the last turn of each network
        self._turn = 0
        self._ended: OrderedDict[str, float] = OrderedDict()  # when a network's last job ended
        self._rejected: deque[tuple[str, float]] = deque(maxlen=REJECTIONS_REMEMBERED)
        self._long: OrderedDict[str, float] = OrderedDict()  # when a network last sent a long one

    def __repr__(self) -> str:
        waiting = f", {len(self._waiting)} wait" if self._waiting else ""
        closed = ", closed" if self.closed else ""
        return f"<Admission {self.idle} of {self.slots} idle{waiting}{closed}>"

    @property
    def taken(self) -> int:
        """Running jobs."""
        return len(self._running)

    @property
    def idle(self) -> int:
        """Free slots for others than the owner."""
        return 0 if self.closed else max(0, self.lent - self.taken)

    def lend(self, slots: int, retry_after: float, now: float) -> list[Ticket]:
        """Lend so many slots to others from now on; returns the waiting jobs that begin.

        Args:
            retry_after: seconds after which a client may ask again, if none is lent.
        """
        self._retry_after = retry_after
        if slots == self.lent:
            return []
        self.lent = slots
        following = []
        while (ticket := self._next_to_run()) is not None:
            self._waiting.remove(ticket)
            self._run(ticket, now)
            following.append(ticket)
        self._on_change()
        return following

    def enter(self, offer: Offer, now: float) -> Ticket:
        """A ticket that runs or, if the offer may wait, is queued.

        Raises:
            ProducerBusy: there is no slot and no place in the queue.
        """
        ticket = Ticket(offer, now)
        must_yield = self._must_yield(ticket, now)
        if self._has_room(ticket) and not must_yield:
            self._run(ticket, now)
            return ticket
        if self._fits_extra(ticket, now):
            self._run_extra(ticket, now)
            return ticket
        queued = sum(other.home == ticket.home for other in self._waiting)
        if (
            self.closed
            or not self._may_begin(ticket)
            or must_yield
            or offer.wait <= 0
            or len(self._waiting) >= limits.QUEUE_PLACES
            or queued >= limits.QUEUE_PLACES_PER_NETWORK
        ):
            raise self.rejection(ticket, now)
        self._waiting.append(ticket)
        return ticket

    def rejection(self, ticket: Ticket, now: float) -> ProducerBusy:
        """The error for a job without a slot; remembers the rejection."""
        if not self._may_begin(ticket):
            return ProducerBusy("this producer does not lend now", self._retry_after)
        self._rejected.append((ticket.home, now))
        return ProducerBusy(f"all {self.lent} slots are taken", limits.RETRY_AFTER)

    def leave(self, ticket: Ticket, now: float) -> Ticket | None:
        """The job has ended or stopped waiting; returns the ticket that runs in its place."""
        if not ticket.running:
            self._waiting.remove(ticket)
            return None
        _note(self._ended, ticket.home, now)
        if ticket is self._extra:
            return self._leave_extra(ticket, now)
        self._running.remove(ticket)
        for network in ticket.networks:
            self._held[network] -= 1
            if not self._held[network]:
                del self._held[network]
        following = self._next_to_run()
        if following is not None:
            self._waiting.remove(following)
            self._run(following, now)
            return following
        self._on_change()
        return None

    def close(self) -> None:
        """Let no job begin any more."""
        self.closed = True
        self._on_change()

    def to_preempt(self, now: float) -> Ticket | None:
        """An upload that must give its slot to a waiting job: the newest of a network with more
        than its share, or one that is too slow."""
        if not self._waiting:
            return None
        uploads = [ticket for ticket in self._running if ticket.offer.uploading]
        extra = self._extra
        if extra is not None and extra.offer.uploading and _is_slow(extra, now):
            return extra
        first = min(self._waiting, key=self._before)
        homes = {ticket.home for ticket in (*self._running, *self._waiting)}
        share = max(1, self.slots // len(homes))
        greedy = [ticket for ticket in uploads if self._held[ticket.home] > share]
        if greedy and self._held[first.home] < share:
            return max(greedy, key=lambda ticket: (self._held[ticket.home], ticket.since))
        return next((ticket for ticket in uploads if _is_slow(ticket, now)), None)

    def _before(self, ticket: Ticket) -> tuple[int, ...]:
        """Order in the queue: the network with the fewest slots, then the least recently served."""
        networks = (ticket.networks[0], ticket.networks[-1])
        return (
            *(self._held[network] for network in networks),
            *(self._served.get(network, 0) for network in networks),
        )

    def _next_to_run(self) -> Ticket | None:
        """The first waiting ticket for which there is a slot."""
        able = filter(self._has_room, self._waiting)
        return min(able, key=self._before, default=None)

    def _may_begin(self, ticket: Ticket) -> bool:
        """Whether a slot is lent, or it is the owner's own job."""
        return self.lent > 0 or ticket.offer.own

    def _has_room(self, ticket: Ticket) -> bool:
        """Whether there is a slot for it."""
        if ticket.offer.own:
            return not self.closed and self.taken < self.slots
        return self.idle > 0

    def _run(self, ticket: Ticket, now: float) -> None:
        ticket.running, ticket.since = True, now
        self._turn += 1
        self._running.append(ticket)
        for network in ticket.networks:
            self._held[network] += 1
            _note(self._served, network, self._turn)
        self._on_change()

    def _must_yield(self, ticket: Ticket, now: float) -> bool:
        """Whether its network had a job just now, and a rejected network should be next."""
        home = ticket.home
        if now - self._ended.get(home, -limits.COME_BACK) >= limits.COME_BACK:
            return False
        return any(
            other != home
            and now - when < limits.COME_BACK
            and self._held[other] <= self._held[home]
            and self._served.get(other, 0) < self._served.get(home, 0)
            for other, when in self._rejected
        )

    def _fits_extra(self, ticket: Ticket, now: float) -> bool:
        """Whether it may have the extra slot, as far as its headers tell."""
        size, long_ago = ticket.offer.body, -limits.SHORT_JOB_AGAIN
        return (
            self._extra is None
            and not self.closed
            and self._may_begin(ticket)
            and size is not None
            and size <= limits.SHORT_JOB_BODY
            and now - self._long.get(ticket.home, long_ago) >= limits.SHORT_JOB_AGAIN
        )

    def _run_extra(self, ticket: Ticket, now: float) -> None:
        ticket.running, ticket.since = True, now
        ticket.offer.extra_slot = True
        self._extra = ticket

    def _leave_extra(self, ticket: Ticket, now: float) -> Ticket | None:
        """The job in the extra slot has ended; returns the next one for it."""
        self._extra = None
        if ticket.offer.too_long:
            _note(self._long, ticket.home, now)
        short = [other for other in self._waiting if self._fits_extra(other, now)]
        following = min(short, key=self._before, default=None)
        if following is not None:
            self._waiting.remove(following)
            self._run_extra(following, now)
        return following


def _note(known: OrderedDict[str, Number], network: str, value: Number) -> None:
    """Remember `value` of a network, and forget the oldest."""
    known[network] = value
    known.move_to_end(network)
    while len(known) > NETWORKS_REMEMBERED:
        known.popitem(last=False)


def _is_slow(ticket: Ticket, now: float) -> bool:
    """Whether its upload is too slow while others wait."""
    seconds = now - ticket.since
    enough = limits.CONTENDED_UPLOAD_RATE * seconds
    return seconds > limits.CONTENDED_UPLOAD_GRACE and ticket.offer.received < enough
