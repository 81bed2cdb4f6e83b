"""Slots: how many jobs at a time, and whose turn it is. The one place that says busy. Pure.

    a job comes   -> a slot is free: it runs                  -> idle changes, told to the mesh
                  -> none is free, and it is short: it runs in the one place beside the slots
                  -> otherwise it waits in a short queue, or ProducerBusy
    one leaves    -> of those that wait, one of the network that has fewest slots runs, and of
                     those the one that was served longest ago
    others wait   -> an upload that has not ended gives its slot up when its network has more than
                     its share of the slots, or when it is slower than is fair to those who wait

So whoever takes all slots, with slow uploads, many connections or a storm of cancelled jobs, delays
an honest client by one job and not for ever. Who ended a job here and comes back at once is told
to wait while others, who had their turn longer ago, were turned away in the last second. Work that
an engine has begun is never interrupted.

Of its slots some may be lent at a time (`lend`): for the others nothing new begins, but for jobs of
the owner's own. Time is an argument.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from privox_dht import limits
from privox_dht.errors import ConfigError, ProducerBusy
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes

NETWORKS_REMEMBERED = 4096  # networks whose last turn is known; more are strangers' inventions
TURNED_AWAY_REMEMBERED = 64  # told to wait within a second; each is looked at for each offer
HERE: Prefixes = ("this machine",)  # whatever comes from this very machine counts as one network


Number = TypeVar("Number", int, float)


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
        self.lent = slots  # of them, to others than the owner
        self.closed = False  # draining: what runs may end, nothing new begins
        self._retry_after = limits.RETRY_AFTER  # seconds, while none is lent
        self._on_change = on_change
        self._running: list[Ticket] = []
        self._beside: Ticket | None = None  # a short job, in the place beside the slots
        self._waiting: list[Ticket] = []
        self._held: Counter[str] = Counter()  # running jobs by network, at every level
        self._served: OrderedDict[str, int] = OrderedDict()  # the turn a network had last
        self._turn = 0
        self._ended: OrderedDict[str, float] = OrderedDict()  # when a network last ended a job
        self._turned_away: deque[tuple[str, float]] = deque(maxlen=TURNED_AWAY_REMEMBERED)
        self._long: OrderedDict[str, float] = OrderedDict()  # when one sent what was no short job

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
        """Slots that are free now, for others than the owner."""
        return 0 if self.closed else max(0, self.lent - self.taken)

    def lend(self, slots: int, retry_after: float, now: float) -> list[Ticket]:
        """From now on so many slots are for others; those who run now, of those who waited.

        Args:
            retry_after: seconds after which it is worth asking again, where it is none.
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
        """A ticket that runs, or, for an offer that waits, one that is queued.

        Raises:
            ProducerBusy: there is neither a slot nor a place in the queue.
        """
        ticket = Ticket(offer, now)
        stands_back = self._stands_back(ticket, now)
        if self._has_room(ticket) and not stands_back:
            self._run(ticket, now)
            return ticket
        if self._fits_beside(ticket, now):
            self._run_beside(ticket, now)
            return ticket
        queued = sum(other.home == ticket.home for other in self._waiting)
        if (
            self.closed
            or not self._may_begin(ticket)
            or stands_back
            or offer.wait <= 0
            or len(self._waiting) >= limits.QUEUE_PLACES
            or queued >= limits.QUEUE_PLACES_PER_NETWORK
        ):
            raise self.turned_away(ticket, now)
        self._waiting.append(ticket)
        return ticket

    def turned_away(self, ticket: Ticket, now: float) -> ProducerBusy:
        """What is said when there is no room."""
        if not self._may_begin(ticket):
            return ProducerBusy("this producer does not lend now", self._retry_after)
        self._turned_away.append((ticket.home, now))
        return ProducerBusy(f"all {self.lent} slots are taken", limits.RETRY_AFTER)

    def leave(self, ticket: Ticket, now: float) -> Ticket | None:
        """It is over, or does not wait any longer; who runs in its place."""
        if not ticket.running:
            self._waiting.remove(ticket)
            return None
        _note(self._ended, ticket.home, now)
        if ticket is self._beside:
            return self._leave_beside(ticket, now)
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
        """Let nothing new begin."""
        self.closed = True
        self._on_change()

    def in_the_way(self, now: float) -> Ticket | None:
        """An upload that must give its slot to those who wait: the newest of a network that has
        more than its share, or one that is too slow."""
        if not self._waiting:
            return None
        uploads = [ticket for ticket in self._running if ticket.offer.uploading]
        beside = self._beside
        if beside is not None and beside.offer.uploading and _is_slow(beside, now):
            return beside
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

    def _next_to_run(self) -> Ticket | None:
        """Whose turn it is, of those who wait and for whom there is a slot."""
        able = filter(self._has_room, self._waiting)
        return min(able, key=self._before, default=None)

    def _may_begin(self, ticket: Ticket) -> bool:
        """Whether anything of its kind begins now."""
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

    def _stands_back(self, ticket: Ticket, now: float) -> bool:
        """Whether it comes back at once, while one that was turned away should have its turn."""
        home = ticket.home
        if now - self._ended.get(home, -limits.COME_BACK) >= limits.COME_BACK:
            return False
        return any(
            other != home
            and now - when < limits.COME_BACK
            and self._held[other] <= self._held[home]
            and self._served.get(other, 0) < self._served.get(home, 0)
            for other, when in self._turned_away
        )

    def _fits_beside(self, ticket: Ticket, now: float) -> bool:
        """Whether it may have the place beside the slots, as far as is known before its body."""
        size, long_ago = ticket.offer.body, -limits.SHORT_JOB_AGAIN
        return (
            self._beside is None
            and not self.closed
            and self._may_begin(ticket)
            and size is not None
            and size <= limits.SHORT_JOB_BODY
            and now - self._long.get(ticket.home, long_ago) >= limits.SHORT_JOB_AGAIN
        )

    def _run_beside(self, ticket: Ticket, now: float) -> None:
        ticket.running, ticket.since = True, now
        ticket.offer.beside = True
        self._beside = ticket

    def _leave_beside(self, ticket: Ticket, now: float) -> Ticket | None:
        """A short job is over; the one that has the place after it."""
        self._beside = None
        if ticket.offer.too_long:
            _note(self._long, ticket.home, now)
        short = [other for other in self._waiting if self._fits_beside(other, now)]
        following = min(short, key=self._before, default=None)
        if following is not None:
            self._waiting.remove(following)
            self._run_beside(following, now)
        return following


def _note(known: OrderedDict[str, Number], network: str, value: Number) -> None:
    """Remember `value` of a network, and forget those that were not heard of for longest."""
    known[network] = value
    known.move_to_end(network)
    while len(known) > NETWORKS_REMEMBERED:
        known.popitem(last=False)


def _is_slow(ticket: Ticket, now: float) -> bool:
    """Whether its upload is slower than one may be while others wait."""
    seconds = now - ticket.since
    enough = limits.CONTENDED_UPLOAD_RATE * seconds
    return seconds > limits.CONTENDED_UPLOAD_GRACE and ticket.offer.received < enough
