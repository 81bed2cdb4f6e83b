"""Which farms to park at, and when to try again. Time and chance are arguments.

    in use    farms where the producer is parked, or which it dials
    round     every known farm is tried once, at each of its addresses until one answers; those
              that failed wait for the next round
    pause     jitter after a loss; a back-off only when a whole round has failed

So a thousand producers that lose one farm together are back within seconds; a back-off for each
farm would leave a tail of a minute.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from privox_dht.backoff import backoff
from privox_dht.relay import relay_limits


class FarmAddress(NamedTuple):
    """One address of a known farm. A farm is its key; it may have an address in each family."""

    public: bytes
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DialPlan:
    """Which farms to dial now, and when to plan again."""

    dial: tuple[FarmAddress, ...]
    wait: float | None  # seconds until the next plan; None: at the next event


class FarmSelector:
    """The farms tried in this round, and those not to be tried for some time."""

    def __init__(self, want: int, rng: random.Random) -> None:
        self._want = want
        self._rng = rng
        self._tried: set[FarmAddress] = set()
        self._not_before: dict[bytes, float] = {}
        self._resume = 0.0  # when the pause is over
        self._failed_rounds = 0
        self._empty_rounds = 0  # in a row in which no farm was known
        self._refresh_due = True  # the farms must be looked up

    def refresh_due(self, in_use: Collection[FarmAddress], now: float) -> bool:
        """Whether it is time to look up the farms: once, when a round begins."""
        if len(in_use) >= self._want or now < self._resume or not self._refresh_due:
            return False
        self._refresh_due = False
        return True

    def parked(self) -> None:
        """A farm accepted us: not everything has failed."""
        self._failed_rounds = 0

    def failed(self, farm: FarmAddress, now: float, wait: float = 0.0) -> None:
        """Parking at this address failed; the farm asked not to be tried for `wait` seconds."""
        self._tried.add(farm)
        if wait:
            self._not_before[farm.public] = now + wait

    def lost(self, farm: FarmAddress, now: float, wait: float = 0.0) -> None:
        """A farm where we were parked is lost: another is dialled after a random moment."""
        self.failed(farm, now, wait)
        self._resume = now + self._rng.uniform(0.0, relay_limits.PRODUCER_ROUND)
        self._refresh_due = True

    def plan(
        self, known: Sequence[FarmAddress], in_use: Collection[FarmAddress], now: float
    ) -> DialPlan:
        """Which of the `known` farms to dial beside those `in_use`."""
        missing = self._want - len(in_use)
        if missing <= 0:
            return DialPlan((), None)
        if now < self._resume:
            return DialPlan((), self._resume - now)
        self._not_before = {f: t for f, t in self._not_before.items() if t > now}
        keys = {farm.public for farm in in_use} | self._not_before.keys()
        rest = [farm for farm in known if farm.public not in keys and farm not in self._tried]
        if rest:
            return DialPlan(tuple(self._choose(rest, in_use, missing)), None)
        self._end_round(bool(in_use), now)
        return DialPlan((), self._resume - now)

    def _end_round(self, holding: bool, now: float) -> None:
        """No farm is left to try: pause, longer each time if none accepted us, then start again."""
        if self._tried and not holding:
            self._failed_rounds += 1
            pause = backoff(self._failed_rounds, *relay_limits.PRODUCER_BACKOFF)
        else:
            self._empty_rounds = 0 if self._tried or holding else self._empty_rounds + 1
            pause = relay_limits.PRODUCER_SEARCH_AGAIN
            if self._empty_rounds:
                pause = backoff(self._empty_rounds, relay_limits.PRODUCER_SEARCH_FIRST, pause)
        self._resume = now + pause * self._rng.uniform(0.5, 1.0)
        self._tried.clear()
        self._refresh_due = True

    def _choose(
        self, rest: list[FarmAddress], in_use: Collection[FarmAddress], missing: int
    ) -> Sequence[FarmAddress]:
        """Random farms, first on machines that are not in use; each at one of its addresses."""
        self._rng.shuffle(rest)
        hosts = {farm.host for farm in in_use}
        chosen: list[FarmAddress] = []
        while rest and len(chosen) < missing:
            farm = next((f for f in rest if f.host not in hosts), rest[0])
            rest = [other for other in rest if other.public != farm.public]
            hosts.add(farm.host)
            chosen.append(farm)
        return chosen
