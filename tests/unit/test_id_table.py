"""Numbers by ids, in arrays instead of a dict."""

import random

import pytest

from privox_dht.dht.id_table import IdTable

LAST = (1 << 64) - 1  # the greatest id


def test_it_holds_what_a_dict_would() -> None:
    rng, table, plain = random.Random(3), IdTable(), dict[int, int]()
    ids = [0, LAST, *(rng.getrandbits(64) for _ in range(60))]
    for _ in range(1_000):
        some = rng.choice(ids)
        if rng.random() < 0.4 and some in plain:
            del table[some]
            del plain[some]
        else:
            table[some] = plain[some] = rng.getrandbits(32)
        assert len(table) == len(plain)
        assert all(table.get(one) == plain.get(one, -1) for one in ids)
    assert table.values() == [plain[one] for one in sorted(plain)]


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0, 10, []), (10, 20, [(10, 1), (17, 2)]), (11, 18, [(17, 2)]), (18, LAST, [(20, 3)])],
)
def test_ids_side_by_side_are_found_together(
    low: int, high: int, found: list[tuple[int, int]]
) -> None:
    table = IdTable()
    for some, number in ((20, 3), (10, 1), (17, 2), (LAST, 4)):
        table[some] = number
    assert table.within(low, high) == found
