"""Stragglers: which slow piece a second producer should get. Pure: the time (s) is an argument.

    p         seconds that a second of sound took, the median of the last pieces
    3 p s     after so many seconds a piece of s seconds is a straggler, heartbeats or not
    one in ten pieces at most gets a duplicate request; of a short recording, one

There are no stragglers before three pieces are done: until then a producer's own deadline holds.
"""

from collections import deque
from dataclasses import dataclass
from statistics import median

LAG = 3.0  # times the usual duration
MIN_LAG = 1.0  # seconds: delays of a network or a busy machine
MIN_DONE = 3  # pieces that must be done before there is a usual duration
PACES_KEPT = 32  # last pieces whose median counts
DUPLICATE_EVERY = 10  # one piece in so many may get a duplicate request


@dataclass(slots=True)
class _Request:
    seconds: float  # of sound
    peer_id: str = ""
    since: float | None = None  # when this producer was dialled; None: waits for one
    duplicated: bool = False  # there is another request for the same piece


class Stragglers:
    """The requests under way, by ticket."""

    def __init__(self) -> None:
        self.pieces = 0  # pieces so far
        self.duplicates = 0  # pieces that got a second request
        self._requests: dict[int, _Request] = {}
        self._tickets = 0
        self._paces: deque[float] = deque(maxlen=PACES_KEPT)  # seconds for a second of sound

    def start(self, seconds: float) -> int:
        """A piece of so many seconds of sound is given to the dispatcher; the ticket."""
        self._tickets += 1
        self._requests[self._tickets] = _Request(seconds)
        return self._tickets

    def dialled(self, ticket: int, peer_id: str, now: float) -> None:
        """A producer is dialled; an earlier one, if any, has failed."""
        request = self._requests[ticket]
        request.peer_id, request.since = peer_id, now

    def waits(self, ticket: int) -> None:
        """The request waits for a producer."""
        self._requests[ticket].since = None

    def done(self, ticket: int, now: float) -> None:
        """The producer that was dialled last has done it."""
        request = self._requests.pop(ticket)
        if request.since is not None and request.seconds:
            self._paces.append((now - request.since) / request.seconds)

    def failed(self, ticket: int) -> None:
        """The request has failed or was cancelled."""
        self._requests.pop(ticket)

    def peer_of(self, ticket: int) -> str:
        """The peer id that was dialled last; "": none yet."""
        return self._requests[ticket].peer_id

    @property
    def at_work(self) -> int:
        """How many producers work on a piece."""
        return len({a.peer_id for a in self._requests.values() if a.since is not None})

    @property
    def waiting(self) -> int:
        """How many requests wait for a producer."""
        return sum(request.since is None for request in self._requests.values())

    def worst(self, now: float) -> int | None:
        """The ticket of the worst straggler, if it may get a duplicate request; else None."""
        if self.duplicates >= max(1, self.pieces // DUPLICATE_EVERY):
            return None
        late = [(now - due, ticket) for ticket, due in self._due().items() if now >= due]
        return max(late, default=(0.0, None))[1]

    def duplicate(self, ticket: int) -> int:
        """A second request for the piece of this ticket; the new ticket."""
        request = self._requests[ticket]
        request.duplicated = True
        self.duplicates += 1
        second = self.start(request.seconds)
        self._requests[second].duplicated = True
        return second

    def next_check(self, now: float) -> float | None:
        """Seconds until a request may become a straggler; None: none can."""
        dues = [due for due in self._due().values() if due > now]
        return min(dues) - now if dues else None

    def _due(self) -> dict[int, float]:
        """The time at which each request becomes a straggler, of those that can."""
        if len(self._paces) < MIN_DONE:
            return {}
        pace = median(self._paces)
        return {
            ticket: request.since + max(MIN_LAG, LAG * pace * request.seconds)
            for ticket, request in self._requests.items()
            if request.since is not None and not request.duplicated
        }
