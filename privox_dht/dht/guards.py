"""Who may have how much: write tokens and rates per source. Pure: time is an argument.

asker -> ping or find         an address that may be forged: it gets at most 1.5 times the
                              bytes it sent, and with them a token that only it can read
asker -> anything, token      a proven address: full answers, records taken, dial-backs
"""

from __future__ import annotations

import hashlib
import hmac
import random
from collections import OrderedDict

from privox_dht import limits
from privox_dht.dht.wire import TOKEN


class Tokens:
    """Write tokens: a keyed hash of the address, under a secret that changes every five minutes."""

    def __init__(self, rng: random.Random) -> None:
        self._secret = rng.randbytes(16)

    def give(self, address: bytes, now: float) -> bytes:
        """The token of an address (packed, with its port)."""
        return self._token(address, int(now // limits.TOKEN_ROTATION))

    def proves(self, token: bytes, address: bytes, now: float) -> bool:
        """Whether whoever shows this token has received it at this address lately."""
        if len(token) != TOKEN:
            return False
        epoch = int(now // limits.TOKEN_ROTATION)
        return any(
            hmac.compare_digest(token, self._token(address, when)) for when in (epoch, epoch - 1)
        )

    def _token(self, address: bytes, epoch: int) -> bytes:
        message = epoch.to_bytes(8, "big", signed=True) + address
        return hashlib.blake2b(message, digest_size=TOKEN, key=self._secret).digest()


class Rates:
    """One token bucket for each of the last few thousand sources."""

    def __init__(self, rate: float, burst: float, sources: int = limits.SOURCES) -> None:
        self._rate, self._burst, self._most = rate, burst, sources
        self._left: OrderedDict[bytes, tuple[float, float]] = OrderedDict()  # tokens, when

    def __len__(self) -> int:
        return len(self._left)

    def allow(self, source: bytes, now: float) -> bool:
        """Whether this source may have one more now; if so, it is counted."""
        tokens, then = self._left.pop(source, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - then) * self._rate)
        allowed = tokens >= 1.0
        self._left[source] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return allowed


class RoundTrip:
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

    def soft(self, known: float = 0.0) -> float:
        """Seconds after which a request frees its place; `known` is the node's own round trip."""
        wait = known * 1.5 if known else self.mean + 4 * self.spread
        return min(limits.SOFT_MOST, max(limits.SOFT_LEAST, wait))
