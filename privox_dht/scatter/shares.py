"""Which listener may hear which piece, so that none hears more than a share. Pure.

listener   all producers of one /24 or /56; a producer with relayed routes only counts by its key,
           since its network is unknown
rules      a listener gets at most its share of all seconds, and never two neighbouring pieces
plan       a listener for every piece; without one nothing is sent, and the error says how many
           listeners are missing
failure    another listener may get a piece if the rules allow it with what it has heard and with
           what is planned for it, so that the rest of the plan still holds
"""

import random
from collections.abc import Iterable, Mapping, Sequence

from privox_dht.addresses import is_loopback, subnet_of
from privox_dht.records import Direct, Record

ANY_SEED = 0  # of the plans that only show how many listeners are enough
TRIES = 20  # random plans that are tried
MOST_MISSING = 64  # additional listeners that are tried at most


def listeners(records: Iterable[Record]) -> dict[str, str]:
    """The listener of each producer, by peer id: the least peer id of those in the same network."""
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
    """The network of a route; on loopback every port counts as one."""
    return (route.host, route.port) if is_loopback(route.host) else subnet_of(route.host)


class Shares:
    """The pieces that each listener may hear, and has heard.

    Args:
        seconds: of each piece, by its number; neighbours have consecutive numbers.
        share: the part of all seconds (0 to 1) that a listener may hear at most.
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
        """Make a plan for these listeners; whether there is one. That depends only on how many they
        are, so that it agrees with `missing`."""
        shuffled = rng.sample(names, len(names))
        if not self._plan(shuffled, random.Random(ANY_SEED)):
            return False
        self._plan(names, rng)  # one that cannot be guessed; if none is found, the first stays
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
        """How many more listeners a plan needs; at most `MOST_MISSING` is returned."""
        for more in range(1, MOST_MISSING):
            if self._plan([*names, *map(str, range(more))], random.Random(ANY_SEED)):
                self._planned = {}
                return more
        return MOST_MISSING

    def planned(self, piece: int) -> str:
        """The listener that a piece is planned for."""
        return self._planned[piece]

    def may_hear(self, listener: str, piece: int) -> bool:
        """Whether a listener may be given a piece now."""
        if piece in self._heard.get(listener, ()):
            return True
        if piece not in self._open:
            return listener == self._planned[piece]
        kept = {p for p, who in self._planned.items() if who == listener and p != piece}
        return self._fits(piece, kept | self._heard.get(listener, set()))

    def offer(self, listener: str, piece: int) -> None:
        """A piece is offered to a listener, and counts as planned for it."""
        self._planned[piece] = listener

    def give(self, listener: str, piece: int) -> None:
        """A piece is sent to a listener, and counts as heard, even if the job is lost there."""
        self._heard.setdefault(listener, set()).add(piece)

    def open_to_others(self, piece: int) -> None:
        """The planned listener failed; others may get the piece."""
        self._open.add(piece)

    def heard(self, listener: str) -> frozenset[int]:
        """The pieces that were sent to a listener."""
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
        """Whether a listener with the others may have this piece too."""
        if piece - 1 in others or piece + 1 in others:
            return False
        return sum(self._seconds[p] for p in others | {piece}) <= self._most
