"""Which farms to park at, and when to try again. Time and chance are arguments.

    held      farms where the producer is parked, or about to be
    round     every known farm is tried once, at each of its addresses until one answers; those
              that failed wait for the next round
    pause     a moment's jitter after a loss, and a back-off only when a whole round has failed

A thousand producers that lose one farm together are back within seconds this way; a back-off for
each farm would leave a tail of a minute.
"""

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from privox_dht.backoff import backoff
from privox_dht.relay import relay_limits


class FarmAt(NamedTuple):
    """One address of a known farm. A farm is its key; it may have an address in each family."""

    public: bytes
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class DialPlan:
    """What to do now."""

    dial: tuple[FarmAt, ...]
    wait: float | None  # seconds until something is to be planned again; None: when it changes


class FarmSelector:
    """What was tried in this round, and who is to be left alone."""

    def __init__(self, want: int, rng: random.Random) -> None:
        self._want = want
        self._rng = rng
        self._tried: set[FarmAt] = set()
        self._not_before: dict[bytes, float] = {}
        self._resume = 0.0  # when the pause is over
        self._failed_rounds = 0
        self._empty_rounds = 0  # in a row in which no farm was known
        self._look = True  # we do not know which farms there are now

    def refresh_due(self, held: Collection[FarmAt], now: float) -> bool:
        """Whether it is time to ask which farms there are: once when a round begins."""
        if len(held) >= self._want or now < self._resume or not self._look:
            return False
        self._look = False
        return True

    def parked(self) -> None:
        """A farm has taken us: not everything has failed."""
        self._failed_rounds = 0

    def failed(self, farm: FarmAt, now: float, wait: float = 0.0) -> None:
        """A farm could not be parked at, at this address; it asked to be left alone for `wait`
        seconds."""
        self._tried.add(farm)
        if wait:
            self._not_before[farm.public] = now + wait

    def lost(self, farm: FarmAt, now: float, wait: float = 0.0) -> None:
        """A farm where we were parked is gone: go elsewhere, not all in the same instant."""
        self.failed(farm, now, wait)
        self._resume = now + self._rng.uniform(0.0, relay_limits.PRODUCER_ROUND)
        self._look = True

    def plan(self, known: Sequence[FarmAt], held: Collection[FarmAt], now: float) -> DialPlan:
        """Which of the `known` farms to dial, when we hold `held`."""
        missing = self._want - len(held)
        if missing <= 0:
            return DialPlan((), None)
        if now < self._resume:
            return DialPlan((), self._resume - now)
        self._not_before = {f: t for f, t in self._not_before.items() if t > now}
        keys = {farm.public for farm in held} | self._not_before.keys()
        rest = [farm for farm in known if farm.public not in keys and farm not in self._tried]
        if rest:
            return DialPlan(tuple(self._choose(rest, held, missing)), None)
        self._end_round(bool(held), now)
        return DialPlan((), self._resume - now)

    def _end_round(self, holding: bool, now: float) -> None:
        """Nobody is left to try: start again after a pause, longer each time if nobody took us."""
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
        self._look = True

    def _choose(
        self, rest: list[FarmAt], held: Collection[FarmAt], missing: int
    ) -> Sequence[FarmAt]:
        """By chance, but another machine before the same one again, and a farm at one of its
        addresses only: at two it would be one producer twice."""
        self._rng.shuffle(rest)
        hosts = {farm.host for farm in held}
        chosen: list[FarmAt] = []
        while rest and len(chosen) < missing:
            farm = next((f for f in rest if f.host not in hosts), rest[0])
            rest = [other for other in rest if other.public != farm.public]
            hosts.add(farm.host)
            chosen.append(farm)
        return chosen
