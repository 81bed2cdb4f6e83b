"""Whom a node may speak to, what it believes about itself, and what it remembers of strangers."""

import random

import pytest

from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.wire import FAMILY_4, FAMILY_6
from privox_dht.identity import Identity

ME = Identity(b"s" * 32)


def state() -> NodeState:
    made = NodeState(ME, "test", lambda: 0.0, random.Random(1))
    made.families = FAMILY_4 | FAMILY_6
    return made


def test_a_mesh_whose_neighbour_is_global_is_public() -> None:
    some = state()
    some.peer_verified("1.1.1.1", named=True)
    assert some.private is False and some.diverse
    assert some.may_contact("8.8.8.8") and not some.may_contact("10.0.0.1")
    assert not some.may_contact("127.0.0.1")


def test_a_mesh_whose_neighbours_are_private_stays_private() -> None:
    some = state()
    some.peer_verified("192.168.1.5", named=True)
    some.peer_verified("1.1.1.1")
    assert some.private is True and some.may_contact("10.0.0.1") and not some.diverse


def test_a_first_node_on_a_global_address_is_in_a_public_mesh_once_a_global_stranger_came() -> None:
    some, told = state(), []
    some.on_public = lambda: told.append(True)
    some.own_global = frozenset(["9.9.9.9"])
    assert some.private is None and some.may_contact("10.0.0.2")
    some.peer_verified("1.1.1.1")
    some.peer_verified("8.8.8.8")
    assert some.private is False and not some.may_contact("10.0.0.2") and told == [True]


def test_a_stranger_with_a_global_address_does_not_make_a_private_mesh_public() -> None:
    some = state()
    some.peer_verified("1.1.1.1")
    assert some.private is None and some.may_contact("10.0.0.2"), "we have no global address"
    some.peer_verified("10.0.0.1")
    some.own_global = frozenset(["9.9.9.9"])
    some.peer_verified("1.1.1.1")
    assert some.private is None and some.may_contact("10.0.0.2"), "somebody private is here"


def test_a_first_node_that_was_taken_for_public_is_private_again_when_somebody_private_comes() -> (
    None
):
    some = state()
    some.own_global = frozenset(["9.9.9.9"])
    some.peer_verified("1.1.1.1")
    assert some.private is False
    some.note_requester(b"x" * 20, ("192.168.1.7", 5678), guest=True)
    assert some.private is None
    assert some.may_contact("192.168.1.7")


def test_where_our_owner_named_a_global_neighbour_nobody_private_changes_that() -> None:
    some = state()
    some.peer_verified("1.1.1.1", named=True)
    some.note_requester(b"x" * 20, ("192.168.1.7", 5678), guest=False)
    assert some.private is False


def test_when_we_have_moved_only_what_was_seen_at_the_old_address_is_forgotten() -> None:
    some = state()
    some.peer_verified("1.1.1.1", named=True)
    for first in (1, 2, 3):
        some.record_observation((f"{first}.1.1.1", 1), ("9.9.9.9", 5), 0.0)
    some.record_observation(("2a00::1", 1), ("2a01::9", 5), 0.0)
    some.record_observation(("4.1.1.1", 1), ("9.9.9.10", 5), 0.0)
    some.observations.forget(keep=("9.9.9.10",))
    assert some.observations.all_ips() == ["2a01::9", "9.9.9.10"]
    assert not some.is_not_our_address("9.9.9.10")


def test_where_we_have_two_addresses_of_one_family_what_was_seen_of_both_is_kept() -> None:
    some = state()
    for first, seen in enumerate(("9.9.9.9", "9.9.9.10", "9.9.9.11", "2a01::9"), 1):
        some.record_observation((f"{first}.1.1.1", 1), (seen, 5), 0.0)
    some.observations.forget(keep=("9.9.9.9", "9.9.9.10"))
    assert some.observations.all_ips() == ["9.9.9.9", "9.9.9.10", "2a01::9"]


def test_a_machine_that_we_often_send_to_is_not_forgotten_for_many_others() -> None:
    """It passed for a stranger then, whose dial-back shows that we can be reached."""
    some, often = state(), ("1.1.1.1", 5678)
    some.guest = True
    for number in range(limits.SOURCES):
        some.note_contacted(often)
        some.note_contacted((f"2.{number >> 8}.{number & 255}.1", 5678))
    assert some.has_contacted(often) and not some.has_contacted(("2.0.0.1", 5678))


def test_a_strangers_word_does_not_aim_us_at_our_own_machine() -> None:
    some = state()
    some.peer_verified("192.168.1.5", named=True)
    assert not some.may_contact("127.0.0.1") and not some.may_contact("::1")
    some.peer_verified("127.0.0.1", named=True)
    assert some.may_contact("127.0.0.1")


def test_only_families_we_have_a_socket_for_are_spoken_to() -> None:
    some = state()
    some.families = FAMILY_4
    assert some.may_contact("1.1.1.1") and not some.may_contact("2a00::1")


def test_our_address_is_what_two_networks_agree_on() -> None:
    some = state()
    some.peer_verified("1.1.1.1", named=True)
    some.record_observation(("1.1.1.1", 1), ("9.9.9.9", 5), 0.0)
    some.record_observation(("1.1.1.2", 1), ("9.9.9.9", 5), 0.0)  # the same /24
    assert some.observed() == []
    some.record_observation(("2.2.2.2", 1), ("9.9.9.9", 5), 0.0)
    assert some.observed() == [("9.9.9.9", 5)]


def test_who_changes_its_mind_has_still_one_vote() -> None:
    some = state()
    some.peer_verified("1.1.1.1", named=True)
    for port in range(1, 30):
        some.record_observation(("1.1.1.1", port), ("9.9.9.9", port), 0.0)
    assert len(some.observations) == 1
    for number in range(3 * dht_limits.OBSERVERS):
        some.record_observation((f"{number + 1}.2.2.2", 1), ("9.9.9.9", 5), float(number))
    assert len(some.observations) == dht_limits.OBSERVERS


def test_our_signature_is_not_given_for_an_address_that_is_not_ours() -> None:
    some = state()
    some.peer_verified("1.1.1.1", named=True)
    assert not some.is_not_our_address("7.7.7.7")  # we do not know better yet
    for first in (1, 2):
        some.record_observation((f"{first}.1.1.1", 1), ("9.9.9.9", 5), 0.0)
    assert some.is_not_our_address("7.7.7.7") and not some.is_not_our_address("9.9.9.9")


def test_the_clocks_offset_is_the_median_of_the_neighbours() -> None:
    some = state()
    assert some.observations.clock_offset() is None
    for number, offset in enumerate((1.0, 2.0, 9_000.0)):
        some.record_observation((f"{number + 1}.1.1.1", 1), ("9.9.9.9", 5), offset)
    assert some.observations.clock_offset() == 2.0


@pytest.mark.parametrize(
    ("sent", "asked", "known"),
    [
        (("1.1.1.1", 5), ("1.1.1.1", 6), True),  # a NAT that filters by address lets it in
        (("127.0.0.1", 5), ("127.0.0.1", 6), False),  # on one machine the port is the party
        (("127.0.0.1", 5), ("127.0.0.1", 5), True),
    ],
)
def test_a_guest_knows_whom_its_nat_would_let_in(
    sent: tuple[str, int], asked: tuple[str, int], known: bool
) -> None:
    some = state()
    some.guest = True
    some.note_contacted(sent)
    assert some.has_contacted(asked) is known
    for number in range(limits.SOURCES + 5):
        some.note_contacted((f"10.{number >> 8}.{number & 255}.1", 1))
    assert len(some._contacted) == limits.SOURCES
