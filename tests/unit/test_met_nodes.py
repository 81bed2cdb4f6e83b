"""Whom a look-up of many parts has met, and who of them stands where its next part goes."""

import random

import pytest

from privox_dht.dht.candidate import Candidate
from privox_dht.dht.met_nodes import MetNodes, ids_sharing


def met(count: int, rng: random.Random) -> tuple[MetNodes, list[int]]:
    nodes, ids = MetNodes(), [rng.getrandbits(160) for _ in range(count)]
    for number, one in enumerate(ids):
        nodes.add(Candidate(one.to_bytes(20, "big"), ("20.0.0.1", 1 + number), 0))
    return nodes, ids


@pytest.mark.parametrize("count", [0, 1, 5, 20, 21, 300])
def test_the_nearest_are_the_nearest_of_all(count: int) -> None:
    rng = random.Random(count)
    nodes, ids = met(count, rng)
    for _ in range(20):
        target = rng.getrandbits(160)
        nearest = [int.from_bytes(one.id, "big") for one in nodes.nearest(target, 20)]
        assert nearest == sorted(ids, key=lambda one: one ^ target)[:20]


def test_somebody_met_twice_is_one_and_its_latest_token_counts() -> None:
    nodes = MetNodes()
    for token in (b"1" * 8, b"2" * 8):
        candidate = Candidate(b"n" * 20, ("20.0.0.1", 5), 0)
        candidate.token = token
        nodes.add(candidate)
    assert len(nodes) == 1
    (only,) = nodes.nearest(0, 20)
    assert only.token == b"2" * 8


@pytest.mark.parametrize(
    ("bits", "shared"),
    [(0, [0b1010]), (1, [0b1010, 0b1011]), (2, [0b1000, 0b1010, 0b1011]), (4, None), (160, None)],
)
def test_ids_that_share_all_but_the_last_bits_stand_side_by_side(
    bits: int, shared: list[int] | None
) -> None:
    ids = [0b0001, 0b1000, 0b1010, 0b1011, 0b1101]
    assert list(ids_sharing(ids, 0b1010, bits)) == (ids if shared is None else shared)
