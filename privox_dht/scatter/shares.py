"""Who may hear which piece, so that nobody hears much of a recording. Pure.

listeners   producers of one /24 or /56 are one; who is only relayed is one by its key, since
         nobody knows where it is
plan     every piece to a listener that has neither of its neighbours, and no more than its share
else     refused, before anything was sent: so many listeners are missing
failed   another listener may have a piece if it may by what it heard, and by what is planned for
         it: so the rest of the plan still holds
"""

import random
from collections.abc import Iterable, Mapping, Sequence

from privox_dht.addresses import is_loopback, subnet_of
from privox_dht.records import Direct, Record

ANY_SEED = 0  # of the plans by which it is found out how many listeners suffice
TRIES = 20  # random plans before it is said that there is none
MOST_MISSING = 64  # listeners that are tried beside those there are


def listeners(records: Iterable[Record]) -> dict[str, str]:
    """The listener of each producer, by peer id: the least peer id of those who share a network."""
    listener_of: dict[str, str] = {}
    networks: dict[str, set[object]] = {}
    for record in sorted(records, key=lambda record: record.peer_id):
        own: set[object] = {_network(r) for r in record.routes if isinstance(r, Direct)}
        same = [name for name, theirs in networks.items() if theirs & own]
        name = min([record.peer_id, *same])
        merged = own.union(*(networks.pop(other) for other in same))
        networks[name] = merged
        listener_of = {peer: name if one in same else one for peer, one in listener_of.items()}
        listener_of[record.peer_id] = name
    return listener_of


def _network(route: Direct) -> object:
    """On this machine every port is somebody else."""
    return (route.host, route.port) if is_loopback(route.host) else subnet_of(route.host)


class Shares:
    """What each listener may hear, and has heard.

    Args:
        seconds: of each piece, by its number; neighbours have neighbouring numbers.
        share: of all seconds, that a listener may hear at most.
    """

    def __init__(self, seconds: Mapping[int, float], share: float) -> None:
        self._seconds = seconds
        self._most = share * sum(seconds.values())
        self._planned: dict[int, str] = {}
        self._open: set[int] = set()  # pieces that the planned listener could not do
        self._heard: dict[str, set[int]] = {}

    @property
    def is_too_short(self) -> bool:
        """Whether one piece alone is more than a share."""
        return max(self._seconds.values(), default=0.0) > self._most

    def plan(self, names: Sequence[str], rng: random.Random) -> bool:
        """Plan for these listeners; whether there is a plan. That depends on how many they are, and
        not on chance: `missing` is to be believed."""
        shuffled = rng.sample(names, len(names))
        if not self._plan(shuffled, random.Random(ANY_SEED)):
            return False
        self._plan(names, rng)  # one that nobody else can make; if none is found, the first stays
        return True

    def _plan(self, names: Sequence[str], rng: random.Random) -> bool:
        for number in range(TRIES):
            order = sorted(self._seconds)
            rng.shuffle(order)
            if number == TRIES - 1:
                order.sort(key=lambda piece: -self._seconds[piece])
            if planned := self._greedy(order, names, rng):
                self._planned = planned
                return True
        return not self._seconds

    def missing(self, names: Sequence[str]) -> int:
        """How many more listeners a plan would need; `MOST_MISSING` or more are not told apart."""
        for more in range(1, MOST_MISSING):
            if self._plan([*names, *map(str, range(more))], random.Random(ANY_SEED)):
                self._planned = {}
                return more
        return MOST_MISSING

    def planned(self, piece: int) -> str:
        """The listener for a piece."""
        return self._planned[piece]

    def may_hear(self, listener: str, piece: int) -> bool:
        """Whether a listener may be given a piece now."""
        if piece in self._heard.get(listener, ()):
            return True
        if piece not in self._open:
            return listener == self._planned[piece]
        kept = {p for p, who in self._planned.items() if who == listener and p != piece}
        return self._fits(piece, kept | self._heard.get(listener, set()))

    def give(self, listener: str, piece: int) -> None:
        """It gets a piece, and is taken to have heard all of it."""
        self._heard.setdefault(listener, set()).add(piece)
        self._planned[piece] = listener

    def take_back(self, listener: str, piece: int) -> None:
        """It said that it is busy before anything of the piece was sent."""
        self._heard[listener].discard(piece)

    def open_to_others(self, piece: int) -> None:
        """The planned listener could not do it."""
        self._open.add(piece)

    def heard(self, listener: str) -> frozenset[int]:
        """The pieces that a listener was given."""
        return frozenset(self._heard.get(listener, ()))

    def _greedy(
        self, order: Sequence[int], names: Sequence[str], rng: random.Random
    ) -> dict[int, str] | None:
        has: dict[str, set[int]] = {name: set() for name in names}
        load = dict.fromkeys(names, 0.0)
        planned: dict[int, str] = {}
        for piece in order:
            able = [name for name in names if self._fits(piece, has[name])]
            if not able:
                return None
            least = min(load[name] for name in able)
            name = rng.choice([name for name in able if load[name] == least])
            has[name].add(piece)
            load[name] += self._seconds[piece]
            planned[piece] = name
        return planned

    def _fits(self, piece: int, others: set[int]) -> bool:
        """Whether who has the others may have this one too."""
        if piece - 1 in others or piece + 1 in others:
            return False
        return sum(self._seconds[p] for p in others | {piece}) <= self._most
