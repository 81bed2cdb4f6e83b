"""Whole numbers by 64-bit ids, in two arrays side by side. Pure.

A dict takes some hundred bytes for each entry, these take twelve: they are kept in the order of
their ids, and found by halving. To come and to go costs a move of all that stands behind, which in
a table of ten thousand takes a few microseconds.
"""

from array import array
from bisect import bisect_left


class IdTable:
    """Numbers up to 2^32 by ids up to 2^64; behaves as a dict of them does."""

    __slots__ = ("_ids", "_numbers")

    def __init__(self) -> None:
        self._ids = array("Q")  # ascending
        self._numbers = array("I")

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return f"<IdTable of {len(self)}>"

    def get(self, id_: int, default: int = -1) -> int:
        """The number of an id; `default` if it has none."""
        row = bisect_left(self._ids, id_)
        known = row < len(self._ids) and self._ids[row] == id_
        return self._numbers[row] if known else default

    def within(self, low: int, high: int) -> list[tuple[int, int]]:
        """Every id from `low` on and below `high`, with its number."""
        ids, row = self._ids, bisect_left(self._ids, low)
        found = []
        while row < len(ids) and ids[row] < high:
            found.append((ids[row], self._numbers[row]))
            row += 1
        return found

    def __setitem__(self, id_: int, number: int) -> None:
        row = bisect_left(self._ids, id_)
        if row < len(self._ids) and self._ids[row] == id_:
            self._numbers[row] = number
        else:
            self._ids.insert(row, id_)
            self._numbers.insert(row, number)

    def __delitem__(self, id_: int) -> None:
        """Forget an id that has a number."""
        row = bisect_left(self._ids, id_)
        assert self._ids[row] == id_
        del self._ids[row], self._numbers[row]

    def values(self) -> list[int]:
        """All numbers, in the order of their ids."""
        return self._numbers.tolist()
