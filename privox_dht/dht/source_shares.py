"""The quotas of a store: each record counts towards the address it came from, and the network
around that, so that the owner of one network crowds no other out. Pure.

    address -> origin, a number: its first bits stand for the network, all of it for the address
    put     -> has the origin a share left, in the whole store and under this key? Then it counts
    removed -> no more
"""

from __future__ import annotations

import hashlib
from array import array

from privox_dht.dht.id_table import IdTable
from privox_dht.dht.key_records import LEVELS


class SourceShares:
    """How many records each address and each network has in one store."""

    __slots__ = ("_counts", "_most", "_salt")

    def __init__(self, salt: bytes, in_all: tuple[int, int], under_key: tuple[int, int]) -> None:
        """
        Args:
            salt: secret bytes.
            in_all: records of one address, and of one network, in the whole store.
            under_key: likewise under each key.
        """
        self._salt = salt
        self._most = tuple(zip(LEVELS, in_all, under_key, strict=True))
        self._counts = IdTable()  # records by `_counted`

    def __repr__(self) -> str:
        return f"<SourceShares {self.counts()}>"

    def counts(self) -> list[int]:
        """How many records each address and network has, in no meaningful order."""
        return self._counts.values()

    def origin(self, source: bytes, networks: bool) -> int:
        """An address as a number, see `LEVELS`; 0 for our own machine, which has no share. Two of
        them may collide, and then share a quota; others cannot bring that about.

        Args:
            source: as `addresses.holder_of` has it.
            networks: whether there is a network around it that counts: not in a private mesh.
        """
        if not source:
            return 0
        around = source
        if networks:
            around = source[:3] if len(source) == 4 else source[:6]  # /24 or /48
            source = source if len(source) == 4 else source[:7]  # homes are given a /56
        return self._hash(b"n" + around, 4) >> 2 << LEVELS[1] | (self._hash(source, 5) >> 6 or 1)

    def has_room(self, origin: int, there: array[int] | None) -> bool:
        """Whether one more record of this origin may be stored; `there` are the origins of those
        under its key."""
        if not origin:
            return True
        for level, in_all, under_key in self._most:
            everywhere = self._counts.get(_counted(origin, level), 0)
            if everywhere >= in_all:
                return False
            if there is not None and everywhere >= under_key:  # else it cannot have so many here
                network = origin >> level
                if sum(other >> level == network for other in there) >= under_key:
                    return False
        return True

    def add(self, origin: int, by: int = 1) -> None:
        """One record more of this origin, or with -1 one less."""
        for level in LEVELS if origin else ():
            counted = _counted(origin, level)
            count = self._counts.get(counted, 0) + by
            if count > 0:
                self._counts[counted] = count
            else:
                del self._counts[counted]

    def _hash(self, octets: bytes, size: int) -> int:
        digest = hashlib.blake2b(octets, digest_size=size, key=self._salt).digest()
        return int.from_bytes(digest, "big")


def _counted(origin: int, level: int) -> int:
    """What an address or a network is counted under: that of a network ends with zeros, and no
    address does."""
    return origin >> level << level
