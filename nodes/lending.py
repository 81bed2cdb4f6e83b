"""How many slots a machine lends at this moment, and why no more. Pure: the clock, local time, the
battery, the load and the transfer are arguments.

    paused by its owner      none, until that ends               privox-node pause
    outside its hours        none, until the next of them        --lend-hours
    on battery               none                                unless --on-battery
    this month's transfer    none, until the next month          --transfer
    others use the machine   fewer slots                         --give-way

Running jobs are always finished.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from nodes.lending_hours import Hours, Local, contains, next_start
from privox_dht import limits

LOAD_RISE_TIME, LOAD_FALL_TIME = 10.0, 60.0  # seconds: time constants of the smoothed load. Slots
# are given up soon when the owner starts to work, and not lent again in a pause between two builds
HYSTERESIS = 0.1  # share of the processors that must be free beyond a slot's part before it is lent
# again; half of that part, if that is less
MONTHS_KEPT = 6  # months of which the transfer is remembered: a clock may be wrong for a while


@dataclass(frozen=True, slots=True)
class LendingTerms:
    """The owner's terms of lending."""

    hours: tuple[Hours, ...] = ()  # when; none: always
    cores: float | None = None  # above 1: so many; up to 1: that share of them; None: all
    give_way: bool = False  # fewer slots while other programs work
    on_battery: bool = False  # lend on battery, too
    transfer: int | None = None  # bytes of jobs in a calendar month; None: any
    address_seconds: int | None = None  # of sound that one address may bring in an hour
    allow_peers: frozenset[str] = frozenset()  # peer ids of the only clients served; empty: all
    deny_peers: frozenset[str] = frozenset()  # peer ids of clients that are not served


def why_refused(terms: LendingTerms, peer: str) -> str:
    """Why the client with this proven peer id ("": none) gets no slot; empty: it may get one."""
    if peer in terms.deny_peers:
        return "this producer does not lend to you"
    if not terms.allow_peers or peer in terms.allow_peers:
        return ""
    if peer:
        return f"this producer lends to chosen clients only, and {peer[:8]} is not one of them"
    return "this producer lends to chosen clients only: use privox-client --identify"


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: no new jobs."""

    until: float | None = None  # seconds since the epoch; None: until it is resumed

    def is_active(self, now: float) -> bool:
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True)
class Decision:
    """What is lent now."""

    slots: int
    why: str = ""  # why no more, for the owner; empty: all slots are lent
    until: float | None = None  # seconds since the epoch; None: not known
    ends_with_job: bool = False  # it may change as soon as a job ends

    def retry_after(self, now: float) -> float:
        """Seconds after which it is worth asking again."""
        if self.slots or self.ends_with_job:
            return limits.RETRY_AFTER
        if self.until is None:
            return limits.NOT_LENT_RETRY
        return min(max(self.until - now, limits.RETRY_AFTER), limits.NOT_LENT_RETRY_MAX)


class GiveWay:
    """How many slots to lend while other programs use the processors.

    The lent processors are divided into equal parts, one for each slot and one for the owner. A
    slot is lent while its part is free.

    Args:
        slots: lent while no other program runs.
        share: of all processors that is lent, 0 to 1.
    """

    def __init__(self, slots: int, share: float = 1.0) -> None:
        self._slots, self._part = slots, share / (slots + 1)
        self._others = 0.0
        self.lent = slots

    def __repr__(self) -> str:
        return f"<GiveWay {self.lent} of {self._slots} slots, others use {self._others:.2f}>"

    def note(self, others: float, seconds: float) -> None:
        """Other programs used this share of the processors for so many seconds."""
        slowness = LOAD_RISE_TIME if others > self._others else LOAD_FALL_TIME
        self._others += (others - self._others) * (1 - math.exp(-seconds / slowness))
        gap = min(HYSTERESIS, self._part / 2)
        most, least = self._slots_that_fit(self._others), self._slots_that_fit(self._others + gap)
        self.lent = min(max(self.lent, least), most)

    def _slots_that_fit(self, others: float) -> int:
        return max(0, min(self._slots, int((1 - others) / self._part + 1e-9)))


@dataclass(eq=False, slots=True)
class RunningTransfer:
    """The most bytes that a running job may transfer, and the month in which it began."""

    max_bytes: int
    month: str


@dataclass
class Transfer:
    """Bytes of jobs by the month in which they began, and whether there is room for another job.

    A job begins only if the running ones cannot use up the month: so the cap is exceeded by one job
    at most, even if the clock is set while jobs run.
    """

    cap: int | None
    local: Local
    months: dict[str, int] = field(default_factory=dict)  # "2026-11": bytes
    _running: set[RunningTransfer] = field(default_factory=set)

    def used(self, now: float) -> int:
        """Bytes in this month."""
        return self.months.get(self._month(now), 0)

    def is_spent(self, now: float) -> bool:
        return self.cap is not None and self.used(now) >= self.cap

    def has_room(self, now: float) -> bool:
        """Whether one more job may begin."""
        claimed = sum(job.max_bytes for job in self._running)
        return self.cap is None or self.used(now) + claimed < self.cap

    def begin(self, max_bytes: int, now: float) -> RunningTransfer:
        """Begin a job that transfers at most so many bytes."""
        job = RunningTransfer(max_bytes, self._month(now))
        self._running.add(job)
        return job

    def end(self, job: RunningTransfer, count: int) -> None:
        """End a job that has transferred so many bytes."""
        self._running.remove(job)
        used = self.months.pop(job.month, 0)  # keeps `months` in order of use
        self.months[job.month] = used + count
        while len(self.months) > MONTHS_KEPT:
            del self.months[next(iter(self.months))]

    def month_end(self, now: float) -> float:
        """When the next month begins, to the minute."""
        early, late, month = now, now, self._month(now)
        while self._month(late) == month:
            early, late = late, late + 86_400.0
        while late - early > 1.0:
            middle = (early + late) / 2
            early, late = (middle, late) if self._month(middle) == month else (early, middle)
        return math.ceil(late / 60.0 - 0.5) * 60.0

    def _month(self, now: float) -> str:
        return f"{self.local(now):%Y-%m}"


def parse_months(value: object) -> dict[str, int]:
    """`Transfer.months` as it was saved, checked."""
    if not isinstance(value, Mapping):
        return {}
    good = {m: n for m, n in value.items() if isinstance(m, str) and type(n) is int and n >= 0}
    return dict(list(good.items())[-MONTHS_KEPT:])


class LendingPolicy:
    """Decides how many slots are lent."""

    def __init__(
        self, terms: LendingTerms, slots: int, local: Local, transfer: Transfer, share: float = 1.0
    ) -> None:
        """
        Args:
            local: local time.
            share: of the machine's processors that is lent, 0 to 1.
        """
        self.terms, self.transfer = terms, transfer
        self._slots, self._local = slots, local
        self._give_way = GiveWay(slots, share)
        self._found: tuple[float, float | None] = (math.inf, None)  # see `_next`

    def __repr__(self) -> str:
        return f"<LendingPolicy {self._slots} slots, {self._give_way!r}>"

    def note_load(self, others: float, seconds: float) -> None:
        """Other programs used this share of the processors for so many seconds."""
        if self.terms.give_way:
            self._give_way.note(others, seconds)

    def decide(self, now: float, on_battery: bool, pause: Pause | None) -> Decision:
        """How many slots are lent at this moment."""
        whys, until = [], now
        if pause is not None and pause.is_active(now):
            whys.append("paused by its owner (privox-node resume ends that)")
            until = math.inf if pause.until is None else pause.until
        if self.terms.hours and not contains(self.terms.hours, self._local(now)):
            whys.append(f"outside --lend-hours {', '.join(map(str, self.terms.hours))}")
        if on_battery and not self.terms.on_battery:
            whys.append("on battery (--on-battery lends then, too)")
        if self.transfer.is_spent(now):
            assert self.transfer.cap is not None
            whys.append(f"the {self.transfer.cap / 1e9:.4g} GB of --transfer are used up")
            until = max(until, self.transfer.month_end(now))
        if whys:
            return Decision(0, "; ".join(whys), self._from(now, until))
        if not self.transfer.has_room(now):
            return Decision(0, "running jobs may use up --transfer", ends_with_job=True)
        if self._give_way.lent < self._slots:
            why = f"other programs keep this machine busy: {self._give_way.lent} of {self._slots}"
            return Decision(self._give_way.lent, f"{why} slots (--give-way)")
        return Decision(self._slots)

    def _from(self, now: float, until: float) -> float | None:
        """The first moment from `until` on that is in our hours; None: not known."""
        if until == math.inf:
            return None
        begins = self._next(until) if self.terms.hours else until
        return None if begins is None or begins <= now else begins

    def _next(self, now: float) -> float | None:
        """The next moment of our hours, cached until then: finding it searches a week."""
        searched, found = self._found
        if found is None or not searched <= now <= found:
            self._found = (now, next_start(self.terms.hours, now, self._local))
        return self._found[1]
