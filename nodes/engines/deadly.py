"""Questions that a worker died of, so that none is asked twice.

Kept as hashes, since a node remembers no words, and so many at the most; the oldest go.
"""

from __future__ import annotations

import hashlib

from nodes.engines.worker import Died

KEPT = 4096  # hashes of 32 bytes; whoever looks for more texts that kill pays with his time
OWN_FAULTS = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGXCPU"}  # and not the node's


class Deadly:
    """What killed."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._hashes: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, question: tuple[str, ...]) -> bool:
        return _hashed(question) in self._hashes

    def died(self, question: tuple[str, ...], how: Died) -> None:
        """A worker died of `question`, unless somebody else ended it."""
        if how.why not in OWN_FAULTS:
            return
        while len(self._hashes) >= self._kept:
            del self._hashes[next(iter(self._hashes))]
        self._hashes[_hashed(question)] = None


def _hashed(question: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join(question).encode("utf-8", "replace")).digest()
