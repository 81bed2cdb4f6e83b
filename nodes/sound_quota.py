"""How much sound somebody may still bring: an hour's worth at most, which fills again while it is
not used. Pure: time is an argument.

What is begun is finished: a long recording may take more than was left, and is paid for later.
"""

from collections.abc import Sequence

from privox_dht import limits
from privox_dht.quotas import SHARES_BY_LEVELS

HOUR = 3600.0  # seconds
LEAST = 1.0  # seconds of sound that must be left


class SoundQuota:
    """What each has left, by any name of whose it is.

    Args:
        most: names that are remembered; of more, those go that have the most left.
    """

    def __init__(self, most: int = limits.SOURCES) -> None:
        self._most = most
        self._left: dict[str, tuple[float, float]] = {}  # by name: seconds left, and when

    def __len__(self) -> int:
        return len(self._left)

    def __repr__(self) -> str:
        return f"<SoundQuota of {len(self._left)}>"

    def left(self, who: str, hourly: float, now: float) -> float:
        """Seconds of sound, of `hourly` in each hour; may be below 0."""
        left, when = self._left.get(who, (hourly, now))
        return min(hourly, left + (now - when) * hourly / HOUR)

    def charge(self, who: str, hourly: float, seconds: float, now: float) -> None:
        """So much was brought."""
        self._left[who] = (self.left(who, hourly, now) - seconds, now)
        if len(self._left) > self._most:
            del self._left[max(self._left, key=lambda name: self._left[name])]

    def wait(self, who: str, hourly: float, now: float) -> float:
        """Seconds until there is something left again; 0: there is."""
        left = self.left(who, hourly, now)
        if left >= LEAST:
            return 0.0
        return (LEAST - left) * HOUR / hourly + LEAST if hourly else HOUR


class NetworkSoundQuota:
    """The same for addresses and the networks around them: a request must fit into all of them.

    Args:
        hourly: seconds of sound that one address may bring in an hour; wider networks have more.
    """

    def __init__(self, hourly: float) -> None:
        self._hourly = hourly
        self._quota = SoundQuota()

    def __repr__(self) -> str:
        return f"<NetworkSoundQuota {self._quota!r}>"

    def charge(self, prefixes: Sequence[str], seconds: float, now: float) -> None:
        """So much was brought from there."""
        for prefix, hourly in self._levels(prefixes):
            self._quota.charge(prefix, hourly, seconds, now)

    def wait(self, prefixes: Sequence[str], now: float) -> float:
        """Seconds until something may come from there again; 0: now."""
        levels = self._levels(prefixes)
        return max((self._quota.wait(prefix, hourly, now) for prefix, hourly in levels), default=0)

    def _levels(self, prefixes: Sequence[str]) -> list[tuple[str, float]]:
        shares = SHARES_BY_LEVELS.get(len(prefixes), (1,) * len(prefixes))
        return [(p, self._hourly * share) for p, share in zip(prefixes, shares, strict=True)]
