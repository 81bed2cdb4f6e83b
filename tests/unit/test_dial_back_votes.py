"""Whether we can be reached, by what those who were asked to try found."""

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
    assert some.addresses() == (HERE,)


def test_no_more_are_asked_than_it_takes() -> None:
    assert not votes((True, ARRIVED)).is_settled(True)
    assert votes((True, ARRIVED), (True, ARRIVED)).is_settled(True)
    assert not votes((True, UNTRIED), (True, UNTRIED)).is_settled(True)
    assert votes((True, UNTRIED), (True, UNTRIED)).is_settled(False)
    assert votes((False, UNTRIED), (False, UNTRIED)).is_settled(True)


def test_where_they_called_different_addresses_both_count_and_more_are_asked() -> None:
    """A router had just changed its address, and one of two still saw the old one: neither was
    published."""
    some = votes((True, ARRIVED))
    some.cast(True, Dialled(True, ARRIVED, THERE))
    assert some.agreed("udp") and some.agreed("tcp")
    assert some.addresses() == (HERE, THERE)
    assert not some.is_settled(True)
    some.cast(True, Dialled(True, ARRIVED, THERE))
    assert some.is_settled(True) and some.addresses() == (THERE,)


def test_an_address_at_which_nobody_got_through_does_not_count() -> None:
    some = votes((True, ARRIVED), (True, ARRIVED))
    some.cast(True, Dialled(True, MISSED, THERE))
    some.cast(True, Dialled(True, MISSED, THERE))
    some.cast(True, Dialled(True, ARRIVED, HERE))
    assert some.addresses() == (HERE,)
    apart = votes((True, ARRIVED))
    apart.cast(True, Dialled(True, MISSED, THERE))
    assert apart.addresses() == (), "word against word"


def test_of_many_addresses_the_two_that_most_got_through_at_count() -> None:
    some = Quorum()
    for ip in ("1.1.1.1", "2.2.2.2", "3.3.3.3", "2.2.2.2", "3.3.3.3"):
        some.cast(True, Dialled(True, ARRIVED, (ip, 5678)))
    assert some.addresses() == (("2.2.2.2", 5678), ("3.3.3.3", 5678))


def test_open_is_both_and_shut_is_either() -> None:
    assert not Reachability(2, udp=True, tcp=True).is_open
    assert Reachability(2, udp=True, tcp=True, addresses=(HERE,)).is_open
    assert Reachability(2, udp=True, tcp=True, addresses=(HERE, THERE)).is_disputed
    assert not Reachability(2, udp=True).is_open and not Reachability(2, udp=True).is_shut
    assert Reachability(2, udp=True, tcp=False).is_shut and Reachability(2, udp=False).is_shut
