"""What one look-up may cost, its pages and its shards included; and what may be sent to addresses
that have never answered. Pure.

    answer of B bytes -> 5 x B bytes may be sent to the nodes it names, which may be anybody's
    named node        -> gets padded requests while that lasts, then short ones, then none
"""

from privox_dht import limits
from privox_dht.dht import dht_limits


class Budget:
    """Requests and time, shared by all that one look-up does."""

    __slots__ = ("deadline", "requests")

    def __init__(self, want: int, now: float) -> None:
        self.requests = dht_limits.LOOKUP_REQUESTS + want
        if want > limits.FIND_WANT:
            self.requests += dht_limits.SHARD_REQUESTS
        self.deadline = now + dht_limits.LOOKUP_TIME + want * dht_limits.LOOKUP_TIME_PER_RECORD

    def __repr__(self) -> str:
        return f"<Budget {self.requests} requests, until {self.deadline:.1f}>"

    def take(self, most: int = 1) -> int:
        """Up to so many requests: how many there are."""
        taken = max(0, min(most, self.requests))
        self.requests -= taken
        return taken


class Credit:
    """How many bytes may be sent to the nodes that one answer named."""

    __slots__ = ("left",)

    def __init__(self, weight: int) -> None:
        self.left = weight * dht_limits.MAX_REFLECTION

    def pay(self, size: int) -> bool:
        """Whether it lasts for so many bytes more; if so, they are spent."""
        if size > self.left:
            return False
        self.left -= size
        return True
