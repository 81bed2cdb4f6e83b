"""How long an answer takes, learnt from those that came. Pure."""

from privox_dht.dht import dht_limits


class RttEstimator:
    """A smoothed round-trip time and its spread, as TCP estimates them (RFC 6298)."""

    __slots__ = ("mean", "spread")

    def __init__(self) -> None:
        self.mean, self.spread = dht_limits.FIRST_RTT, dht_limits.FIRST_SPREAD

    def __repr__(self) -> str:
        return f"<RttEstimator {self.mean * 1e3:.1f} ms, spread {self.spread * 1e3:.1f} ms>"

    def note(self, seconds: float) -> None:
        error = seconds - self.mean
        self.mean += error / 8
        self.spread += (abs(error) - self.spread) / 4

    def retransmit_timeout(self, known: float = 0.0) -> float:
        """Seconds after which a request frees its place; `known` is the node's own round trip."""
        wait = known * 1.5 if known else self.mean + 4 * self.spread
        return min(dht_limits.SOFT_MOST, max(dht_limits.SOFT_LEAST, wait))
