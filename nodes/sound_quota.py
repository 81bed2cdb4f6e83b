"""How much sound a client may still send: a token bucket that holds an hour's quota and refills at
that rate. Pure: time is an argument.

A job that has begun is finished: a long recording may take more than is left, and the client then
waits longer.
"""

from collections.abc import Sequence

from privox_dht import limits
from privox_dht.quotas import SHARES_BY_LEVELS

HOUR = 3600.0  # seconds
LEAST = 1.0  # seconds of sound that must be left for a job to begin


class SoundQuota:
    """The seconds that each client has left, by a name such as its address.

    Args:
        most: names that are remembered; beyond that, those with the most left are dropped.
    """

    def __init__(self, most: int = limits.SOURCES) -> None:
        self._most = most
        self._left: dict[str, tuple[float, float]] = {}  # by name: seconds left, and when

    def __len__(self) -> int:
        return len(self._left)

    def __repr__(self) -> str:
        return f"<SoundQuota of {len(self._left)}>"

    def left(self, who: str, hourly: float, now: float) -> float:
        """Seconds of sound that are left of `hourly` per hour; may be negative."""
        left, when = self._left.get(who, (hourly, now))
        return min(hourly, left + (now - when) * hourly / HOUR)

    def charge(self, who: str, hourly: float, seconds: float, now: float) -> None:
        """Count `seconds` of sound that were sent."""
        self._left[who] = (self.left(who, hourly, now) - seconds, now)
        if len(self._left) > self._most:
            del self._left[max(self._left, key=lambda name: self._left[name])]

    def wait(self, who: str, hourly: float, now: float) -> float:
        """Seconds until a job may begin; 0: now."""
        left = self.left(who, hourly, now)
        if left >= LEAST:
            return 0.0
        return (LEAST - left) * HOUR / hourly + LEAST if hourly else HOUR


class NetworkSoundQuota:
    """The quotas of addresses and of the networks around them: a job needs something left in all.

    Args:
        hourly: seconds of sound that one address may send in an hour; wider networks have more.
    """

    def __init__(self, hourly: float) -> None:
        self._hourly = hourly
        self._quota = SoundQuota()

    def __repr__(self) -> str:
        return f"<NetworkSoundQuota {self._quota!r}>"

    def charge(self, prefixes: Sequence[str], seconds: float, now: float) -> None:
        """Count `seconds` of sound that were sent from there."""
        for prefix, hourly in self._levels(prefixes):
            self._quota.charge(prefix, hourly, seconds, now)

    def wait(self, prefixes: Sequence[str], now: float) -> float:
        """Seconds until a job from there may begin; 0: now."""
        levels = self._levels(prefixes)
        return max((self._quota.wait(prefix, hourly, now) for prefix, hourly in levels), default=0)

    def _levels(self, prefixes: Sequence[str]) -> list[tuple[str, float]]:
        shares = SHARES_BY_LEVELS.get(len(prefixes), (1,) * len(prefixes))
        return [(p, self._hourly * share) for p, share in zip(prefixes, shares, strict=True)]
