"""Quotas and rates by network. Pure: time is an argument.

One client may use all addresses of its owner, so a quota is also counted for each network around an
address:

    IPv4    the address, its /24
    IPv6    the /64 of one network, the /56 a home is given, the /48 a site is given

Each level has a quota of its own; a request must fit into all of them. Loopback has no quota.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence

from privox_dht import limits

Prefixes = tuple[str, ...]

IPV4_LEVELS = (32, 24)  # prefix lengths, the narrowest first
IPV6_LEVELS = (64, 56, 48)
SHARES = {32: 1, 24: 4, 64: 1, 56: 1, 48: 2}  # of a level, as multiples of one address's: a home
# has one IPv4 address and a whole /56, seldom a /48; a /24 is mostly many homes
SHARES_BY_LEVELS = {  # by the number of levels, for clients whose addresses a farm hides
    len(levels): tuple(SHARES[bits] for bits in levels) for levels in (IPV4_LEVELS, IPV6_LEVELS)
}


def quota_prefixes(host: str) -> Prefixes:
    """The networks that `host` counts for, the narrowest first; none for this machine itself.

    An IPv4 address mapped into IPv6 counts as IPv4; a scope (`%eth0`) is ignored.

    Raises:
        ValueError: it is not an IP literal.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return ()
    levels = IPV4_LEVELS if address.version == 4 else IPV6_LEVELS
    return tuple(str(ipaddress.ip_network((address, bits), strict=False)) for bits in levels)


def source_network(host: str, port: int) -> str:
    """The network that counts as one source, since one owner may have all of it. On loopback every
    port is a source of its own, in a private network every address."""
    prefixes = quota_prefixes(host)
    if not prefixes:
        return f"{host}:{port}"
    return host if ipaddress.ip_network(prefixes[0]).is_private else prefixes[-1]


class SharedQuota:
    """Counts how many of something are in use, in all and by each network.

    Args:
        total: the limit for all together; None: none.
        per_address: the limit for the narrowest level; `SHARES` has the multiples for wider ones.
    """

    def __init__(self, total: int | None, per_address: int) -> None:
        self._total = total
        self._per_address = per_address
        self._taken: Counter[str] = Counter()
        self.in_use = 0
        self.refused = 0

    def __repr__(self) -> str:
        return f"<SharedQuota {self.in_use} in use, {self.refused} refused>"

    @property
    def is_full(self) -> bool:
        """Whether the total is used up."""
        return self._total is not None and self.in_use >= self._total

    def held_by(self, prefixes: Sequence[str]) -> int:
        """How many the widest of these networks uses."""
        return self._taken[prefixes[-1]] if prefixes else 0

    def has_share(self, prefixes: Sequence[str]) -> bool:
        """Whether these networks have room for one more."""
        return all(
            self._taken[prefix] < self._per_address * SHARES[int(prefix.rpartition("/")[2])]
            for prefix in prefixes
        )

    def acquire(self, prefixes: Sequence[str]) -> bool:
        """Take one if there is room. Returns whether there was."""
        if self.is_full or not self.has_share(prefixes):
            self.refused += 1
            return False
        self.take(prefixes)
        return True

    def take(self, prefixes: Sequence[str]) -> None:
        """Take one regardless of the limits."""
        self.in_use += 1
        self._taken.update(prefixes)

    def release(self, prefixes: Sequence[str]) -> None:
        """Give one back."""
        self.in_use -= 1
        for prefix in prefixes:
            self._taken[prefix] -= 1
            if self._taken[prefix] <= 0:
                del self._taken[prefix]  # or strangers could fill the memory


ROUNDING = 1e-6  # seconds by which sums of times may be off, which must not cost a turn


class RateLimiter:
    """A token bucket for each of the last few thousand sources, stored as the time at which it will
    be full again; full ones are dropped."""

    __slots__ = ("_full", "_most", "deep", "each")

    def __init__(self, rate: float, burst: float, sources: int = limits.SOURCES) -> None:
        self.each = 1.0 / rate  # seconds until one token is back
        self.deep = burst / rate  # seconds until an empty bucket is full
        self._most = sources
        self._full: dict[bytes, float] = {}  # when a source's bucket is full, oldest use first

    def __len__(self) -> int:
        return len(self._full)

    def is_exhausted(self, source: bytes, now: float) -> bool:
        """Whether this source has no token left; takes none."""
        return self._full.get(source, now) - now + self.each > self.deep + ROUNDING

    def try_acquire(self, source: bytes, now: float) -> bool:
        """Take a token of this source. Returns whether it had one."""
        full = max(now, self._full.pop(source, now)) + self.each
        allowed = full - now <= self.deep + ROUNDING
        self._full[source] = full if allowed else full - self.each
        for _ in range(2):  # one was added, so drop up to two: the oldest, if full or too many
            oldest = next(iter(self._full), None)
            if oldest is None or (len(self._full) <= self._most and self._full[oldest] > now):
                break
            del self._full[oldest]
        return allowed
