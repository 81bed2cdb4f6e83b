"""Who may have how much: write tokens and rates per source. Pure: time is an argument.

asker -> ping or find         an address that may be forged: it gets at most 1.5 times the
                              bytes it sent, and with them a token that only it can read
asker -> anything, token      a proven address: full answers, records taken, dial-backs
"""

from __future__ import annotations

import hashlib
import hmac
import random

from privox_dht import limits
from privox_dht.dht.wire import TOKEN


class WriteTokens:
    """Write tokens: a keyed hash of the address, under a secret that changes every five minutes."""

    __slots__ = ("_latest", "_secret")

    def __init__(self, rng: random.Random) -> None:
        self._secret = rng.randbytes(16)
        self._latest = (b"", 0, b"")  # address, epoch, token: whoever shows one is given the same

    def give(self, address: bytes, now: float) -> bytes:
        """The token of an address (packed, with its port)."""
        return self._token(address, int(now // limits.TOKEN_ROTATION))

    def proves(self, token: bytes, address: bytes, now: float) -> bool:
        """Whether whoever shows this token has received it at this address lately."""
        if len(token) != TOKEN:
            return False
        epoch = int(now // limits.TOKEN_ROTATION)
        same = hmac.compare_digest
        return same(token, self._token(address, epoch)) or same(
            token, self._token(address, epoch - 1)
        )

    def _token(self, address: bytes, epoch: int) -> bytes:
        latest = self._latest
        if latest[1] == epoch and latest[0] == address:
            return latest[2]
        message = epoch.to_bytes(8, "big", signed=True) + address
        token = hashlib.blake2b(message, digest_size=TOKEN, key=self._secret).digest()
        self._latest = (address, epoch, token)
        return token


class RateLimiter:
    """One token bucket for each of the last few thousand sources, kept as the one moment at which
    it will be full again; full ones are forgotten."""

    __slots__ = ("_full", "_most", "deep", "each")

    def __init__(self, rate: float, burst: float, sources: int = limits.SOURCES) -> None:
        self.each = 1.0 / rate  # seconds one takes to come back
        self.deep = burst / rate  # seconds an empty bucket takes to fill
        self._most = sources
        self._full: dict[bytes, float] = {}  # when a source's bucket is full, oldest use first

    def __len__(self) -> int:
        return len(self._full)

    def is_exhausted(self, source: bytes, now: float) -> bool:
        """Whether this source has none left; nothing is counted."""
        return self._full.get(source, now) - now + self.each > self.deep + self.each / 2

    def try_acquire(self, source: bytes, now: float) -> bool:
        """Whether this source may have one more now; if so, it is counted."""
        full = max(now, self._full.pop(source, now)) + self.each
        allowed = full - now <= self.deep + self.each / 2  # half: rounding must not cost a turn
        self._full[source] = full if allowed else full - self.each
        for _ in range(2):  # one came, so let up to two go: the oldest, if they are of no more use
            oldest = next(iter(self._full), None)
            if oldest is None or (len(self._full) <= self._most and self._full[oldest] > now):
                break
            del self._full[oldest]
        return allowed


class RttEstimator:
    """A smoothed round-trip time and its spread, as TCP estimates them (RFC 6298)."""

    __slots__ = ("mean", "spread")

    def __init__(self) -> None:
        self.mean, self.spread = limits.FIRST_RTT, limits.FIRST_SPREAD

    def __repr__(self) -> str:
        return f"<RoundTrip {self.mean * 1e3:.1f} ms, spread {self.spread * 1e3:.1f} ms>"

    def note(self, seconds: float) -> None:
        error = seconds - self.mean
        self.mean += error / 8
        self.spread += (abs(error) - self.spread) / 4

    def retransmit_timeout(self, known: float = 0.0) -> float:
        """Seconds after which a request frees its place; `known` is the node's own round trip."""
        wait = known * 1.5 if known else self.mean + 4 * self.spread
        return min(limits.SOFT_MOST, max(limits.SOFT_LEAST, wait))
