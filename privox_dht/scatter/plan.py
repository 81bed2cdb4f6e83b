"""When a piece is given to a second producer. Pure: the time (seconds) is an argument.

    its peers took p seconds for a second of sound (the median of the last ones)
    a piece of s seconds that takes longer than 3 p s lags, whatever signs of life there are
    at most one piece in ten is asked for twice; of a short recording one

Nothing lags before three pieces are done: until then a producer's own deadline counts.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

LAG = 3.0  # times what its peers take
LEAST_LAG = 1.0  # seconds: what a network or a busy machine may take at any time
KNOWN = 3  # pieces that must be done before others are measured by them
REMEMBERED = 32  # pieces by which others are measured
TWICE = 10  # one piece in so many may be asked for twice


@dataclass(slots=True)
class _Asked:
    number: int
    seconds: float  # of sound
    peer_id: str = ""
    since: float | None = None  # when this producer was asked
    twice: bool = False  # another one is asked for the same


class Plan:
    """What is being asked for, by tickets."""

    def __init__(self) -> None:
        self.cut = 0  # pieces there are so far
        self.twice = 0  # of those that were asked for twice
        self._asked: dict[int, _Asked] = {}
        self._tickets = 0
        self._paces: deque[float] = deque(maxlen=REMEMBERED)  # seconds for a second of sound

    def ask(self, number: int, seconds: float) -> int:
        """A piece of so many seconds is given to the dispatcher; its ticket."""
        self._tickets += 1
        self._asked[self._tickets] = _Asked(number, seconds)
        return self._tickets

    def dialled(self, ticket: int, peer_id: str, now: float) -> None:
        """A producer is asked; one before it could not do it."""
        asked = self._asked[ticket]
        asked.peer_id, asked.since = peer_id, now

    def waits(self, ticket: int) -> None:
        """Nobody is asked for it just now."""
        self._asked[ticket].since = None

    def done(self, ticket: int, now: float) -> None:
        """The producer that was dialled last did it."""
        asked = self._asked.pop(ticket)
        if asked.since is not None and asked.seconds:
            self._paces.append((now - asked.since) / asked.seconds)

    def failed(self, ticket: int) -> None:
        """It is not asked for any more by this ticket."""
        self._asked.pop(ticket)

    def peer_of(self, ticket: int) -> str:
        """Who was dialled last; "": nobody was."""
        return self._asked[ticket].peer_id

    @property
    def at_work(self) -> int:
        """How many producers hold a piece."""
        return len({a.peer_id for a in self._asked.values() if a.since is not None})

    @property
    def waiting(self) -> int:
        """How many pieces are with no producer, though they were given out."""
        return sum(asked.since is None for asked in self._asked.values())

    def lagging(self, now: float) -> int | None:
        """The ticket that lags most and may be asked for twice. Say so by `ask_twice`."""
        if self.twice >= max(1, self.cut // TWICE):
            return None
        late = [(now - due, ticket) for ticket, due in self._due().items() if now >= due]
        return max(late, default=(0.0, None))[1]

    def ask_twice(self, ticket: int) -> int:
        """A second producer gets the piece of a ticket that lags; the new ticket."""
        asked = self._asked[ticket]
        asked.twice = True
        self.twice += 1
        second = self.ask(asked.number, asked.seconds)
        self._asked[second].twice = True
        return second

    def next_look(self, now: float) -> float | None:
        """Seconds until something may lag; None: nothing can."""
        dues = [due for due in self._due().values() if due > now]
        return min(dues) - now if dues else None

    def _due(self) -> dict[int, float]:
        """When tickets begin to lag, of those that can."""
        if len(self._paces) < KNOWN:
            return {}
        pace = median(self._paces)
        return {
            ticket: asked.since + max(LEAST_LAG, LAG * pace * asked.seconds)
            for ticket, asked in self._asked.items()
            if asked.since is not None and not asked.twice
        }
