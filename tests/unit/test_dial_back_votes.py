"""Whether we can be reached, by what those who were asked to try found."""

from __future__ import annotations

import pytest

from privox_dht.dht.answer_codec import ARRIVED, MISSED, UNTRIED, Dialled
from privox_dht.dht.dial_back_votes import Quorum, Reachability

HERE, THERE = ("9.9.9.9", 5678), ("7.7.7.7", 5678)


def votes(*cast: tuple[bool | None, int]) -> Quorum:
    made = Quorum()
    for came, tcp in cast:
        made.cast(came, Dialled(True, tcp, HERE))
    return made


@pytest.mark.parametrize(
    ("cast", "udp", "tcp"),
    [
        ((), None, None),
        (((True, ARRIVED),), True, True),  # one witness is all there is
        (((True, ARRIVED), (True, ARRIVED)), True, True),
        (((True, ARRIVED), (False, UNTRIED)), None, True),  # word against word
        (((True, ARRIVED), (True, MISSED)), True, None),
        (((True, ARRIVED), (False, UNTRIED), (True, ARRIVED)), True, True),
        (((False, UNTRIED), (False, UNTRIED)), False, None),
        (((None, UNTRIED), (True, ARRIVED)), True, True),  # who could not say has no voice
    ],
)
def test_two_must_agree_unless_there_is_only_one(
    cast: tuple[tuple[bool | None, int], ...], udp: bool | None, tcp: bool | None
) -> None:
    some = votes(*cast)
    assert (some.agreed("udp"), some.agreed("tcp")) == (udp, tcp)


def test_the_address_is_the_one_that_most_have_called() -> None:
    some = votes((True, ARRIVED), (True, ARRIVED))
    some.cast(True, Dialled(True, ARRIVED, THERE))
    assert some.agreed("address") == HERE


def test_no_more_are_asked_than_it_takes() -> None:
    assert not votes((True, ARRIVED)).is_settled(True)
    assert votes((True, ARRIVED), (True, ARRIVED)).is_settled(True)
    assert not votes((True, UNTRIED), (True, UNTRIED)).is_settled(True)
    assert votes((True, UNTRIED), (True, UNTRIED)).is_settled(False)
    assert votes((False, UNTRIED), (False, UNTRIED)).is_settled(True)


def test_while_they_called_different_addresses_more_are_asked_and_nothing_is_known() -> None:
    """A router had just changed its address, and one of two still saw the old one: both got
    through, so nobody was asked again for half a minute."""
    some = votes((True, ARRIVED))
    some.cast(True, Dialled(True, ARRIVED, THERE))
    assert some.agreed("udp") and some.agreed("tcp") and some.agreed("address") is None
    assert not some.is_settled(True)
    assert not Reachability(2, udp=True, tcp=True).is_open
    some.cast(True, Dialled(True, ARRIVED, THERE))
    assert some.is_settled(True) and some.agreed("address") == THERE


def test_open_is_both_and_shut_is_either() -> None:
    assert Reachability(2, udp=True, tcp=True, address=HERE).is_open
    assert not Reachability(2, udp=True).is_open and not Reachability(2, udp=True).is_shut
    assert Reachability(2, udp=True, tcp=False).is_shut and Reachability(2, udp=False).is_shut
