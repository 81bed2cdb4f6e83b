"""Nodes that answered one part of a look-up: the next part begins with those. Pure."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from privox_dht.dht.candidate import Candidate
from privox_dht.dht.k_bucket import BITS


class MetNodes:
    """Nodes that answered a look-up of many parts: after some hundreds, most of the mesh."""

    __slots__ = ("_ids", "_nodes")

    def __init__(self) -> None:
        self._ids: list[int] = []  # ascending
        self._nodes: dict[int, Candidate] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"<MetNodes {len(self)}>"

    def add(self, candidate: Candidate) -> None:
        """Remember a node that answered; its latest token counts."""
        long_id = int.from_bytes(candidate.id, "big")
        if long_id not in self._nodes:
            insort(self._ids, long_id)
        self._nodes[long_id] = candidate

    def nearest(self, target: int, most: int) -> list[Candidate]:
        """The closest to a target, closest first."""
        near: Sequence[int] = self._ids
        for bits in range(BITS - 1, -1, -1):
            nearer = ids_sharing(near, target, bits)
            if len(nearer) < most:
                break
            near = nearer
        return [self._nodes[one] for one in sorted(near, key=lambda one: one ^ target)[:most]]


def ids_sharing(ids: Sequence[int], target: int, bits: int) -> Sequence[int]:
    """Those of some ids (in ascending order) that differ from a target in the last `bits` at most:
    they are side by side, and all others are further away."""
    low = target >> bits << bits
    return ids[bisect_left(ids, low) : bisect_left(ids, low + (1 << bits))]
