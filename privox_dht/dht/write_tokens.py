"""Write tokens, which prove that a node receives at its address. Pure: time is an argument.

asker -> ping or find         an address that may be forged: it gets at most 1.5 times the
                              bytes it sent, and with them a token that only it can read
asker -> anything, token      a proven address: full answers, records taken, dial-backs
"""

import hashlib
import hmac
import random

from privox_dht.dht import dht_limits
from privox_dht.dht.wire import TOKEN


class WriteTokens:
    """Write tokens: a keyed hash of the address, under a secret that changes every five minutes."""

    __slots__ = ("_latest", "_secret")

    def __init__(self, rng: random.Random) -> None:
        self._secret = rng.randbytes(16)
        # Address, epoch, token: most calls ask for the same
        self._latest = (b"", 0, b"")

    def give(self, address: bytes, now: float) -> bytes:
        """The token of an address (packed, with its port)."""
        return self._token(address, int(now // dht_limits.TOKEN_ROTATION))

    def proves(self, token: bytes, address: bytes, now: float) -> bool:
        """Whether this token was sent to this address lately."""
        if len(token) != TOKEN:
            return False
        epoch = int(now // dht_limits.TOKEN_ROTATION)
        lately = (self._token(address, at) for at in (epoch, epoch - 1))
        return any(hmac.compare_digest(token, known) for known in lately)

    def _token(self, address: bytes, epoch: int) -> bytes:
        latest = self._latest
        if latest[1] == epoch and latest[0] == address:
            return latest[2]
        message = epoch.to_bytes(8, "big", signed=True) + address
        token = hashlib.blake2b(message, digest_size=TOKEN, key=self._secret).digest()
        self._latest = (address, epoch, token)
        return token
