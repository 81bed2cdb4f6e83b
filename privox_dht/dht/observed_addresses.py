"""At which addresses others see us, and how far their clocks are ahead of ours. Pure."""

from collections import Counter
from collections.abc import Collection
from statistics import median

from privox_dht.addresses import Address
from privox_dht.dht import dht_limits


class ObservedAddresses:
    """The latest observation of each of the last voters."""

    __slots__ = ("_views",)

    def __init__(self) -> None:
        self._views: dict[bytes, tuple[Address, float]] = {}  # by voter, the oldest first

    def __len__(self) -> int:
        return len(self._views)

    def note(self, voter: bytes, seen: Address, offset: float) -> bool:
        """A voter sees us at this address, and its clock is so many seconds ahead; whether it is
        the first to see us at that IP."""
        self._views.pop(voter, None)
        if len(self._views) >= dht_limits.OBSERVERS:
            del self._views[next(iter(self._views))]
        known = self._seen()
        self._views[voter] = next((own for own in known if own == seen), seen), offset  # one copy
        return all(seen[0] != ip for ip, _ in known)

    def _seen(self) -> list[Address]:
        return [seen for seen, _ in self._views.values()]

    def forget(self, keep: Collection[str] = ()) -> None:
        """Remove all observations; with `keep`, only those in the families of these addresses that
        are at other ones."""
        families = {":" in ip for ip in keep} or {True, False}
        forgotten = [
            voter
            for voter, ((ip, _), _) in self._views.items()
            if ip not in keep and (":" in ip) in families
        ]
        for voter in forgotten:
            del self._views[voter]

    def agreed(self) -> list[Address]:
        """Our addresses that two or more agree on, best first. They need agree on the IP only (a
        symmetric NAT shows each of them another port); the port is the one that most saw."""
        hosts: Counter[str] = Counter()
        ports: dict[str, int] = {}
        for (ip, port), count in Counter(self._seen()).most_common():
            hosts[ip] += count
            ports.setdefault(ip, port)
        return [(ip, ports[ip]) for ip, count in hosts.most_common() if count >= 2]

    def all_ips(self) -> list[str]:
        """Every IP at which any voter sees us: enough to notice a NAT, not to publish."""
        return list(dict.fromkeys(ip for ip, _ in self._seen()))

    def clock_offset(self) -> float | None:
        """The median of how far their clocks are ahead of ours, in seconds."""
        offsets = [offset for _, offset in self._views.values()]
        return median(offsets) if offsets else None
