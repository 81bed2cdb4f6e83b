"""Whose share of a store a record takes."""

from array import array

import pytest

from privox_dht.dht.source_shares import SourceShares

HERE, NEAR, FAR = bytes([20, 0, 0, 1]), bytes([20, 0, 0, 2]), bytes([20, 0, 1, 1])
HOME, SITE = bytes.fromhex("2600a000000a0011"), bytes.fromhex("2600a000000a2211")
SAME_HOME = bytes.fromhex("2600a000000a0022")


def shares(in_all: tuple[int, int] = (9, 9), under_key: tuple[int, int] = (9, 9)) -> SourceShares:
    return SourceShares(b"salt", in_all, under_key)


@pytest.mark.parametrize(
    ("had", "comes", "networks", "room"),
    [
        ([], HERE, True, True),
        ([HERE], HERE, True, True),
        ([HERE, HERE], HERE, True, False),  # an address has two
        ([HERE, HERE], NEAR, True, True),
        ([HERE, HERE, NEAR], NEAR, True, False),  # its /24 has three
        ([HERE, HERE, NEAR], FAR, True, True),
        ([HERE, HERE, NEAR], NEAR, False, True),  # in a private mesh an address is all there is
        ([HOME, HOME], SAME_HOME, True, False),  # a home is a /56
        ([HOME, HOME], SITE, True, True),
        ([HOME, HOME, SITE], SITE, True, False),  # its /48 has three
        ([b""] * 9, b"", True, True),  # our own machine
    ],
)
@pytest.mark.parametrize("bound", ["in all", "under a key"])
def test_an_address_and_its_network_have_so_much(
    bound: str, had: list[bytes], comes: bytes, networks: bool, room: bool
) -> None:
    some = shares(in_all=(2, 3)) if bound == "in all" else shares(under_key=(2, 3))
    there = array("Q")
    for source in had:
        there.append(some.origin(source, networks))
        some.add(there[-1])
    assert some.has_room(some.origin(comes, networks), there) is room


def test_what_stands_under_other_keys_does_not_count_under_this_one() -> None:
    some = shares(under_key=(2, 2))
    here = some.origin(HERE, True)
    for _ in range(5):
        some.add(here)
    assert some.has_room(here, array("Q", [here]))
    assert some.has_room(here, None)
    assert not some.has_room(here, array("Q", [here, here]))


def test_what_has_gone_leaves_nothing() -> None:
    some = shares()
    for by in (1, 1, -1, -1):
        some.add(some.origin(HERE, True), by)
    assert some.counts() == []
