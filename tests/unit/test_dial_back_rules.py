"""Who may be asked to dial whom, case by case."""

import pytest

from privox_dht.addresses import Address, is_global
from privox_dht.dht.dial_back_rules import (
    is_at_home,
    is_third,
    may_be_dialled,
    may_be_ours,
    tries_tcp,
)

HERE, OTHER, MET = ("20.1.1.1", 5678), ("20.2.2.2", 5678), ("20.3.3.3", 5678)
SIX, HOME, LOCAL = ("2600::1", 5678), ("192.168.1.2", 5678), ("127.0.0.1", 5678)


def in_public(ip: str) -> bool:
    return is_global(ip)


def anybody(ip: str) -> bool:
    return True


@pytest.mark.parametrize(
    ("third", "helper", "good"),
    [
        (OTHER, HERE, True),
        (HERE, HERE, False),  # the helper itself
        (
            (HERE[0], 5679),
            HERE,
            False,
        ),  # another node of its machine: our NAT may let that in as well
        (MET, HERE, False),  # our NAT lets in whom we spoke to
        (SIX, HERE, False),  # that would be dialled by another family than we asked about
        (HOME, HERE, False),  # in a public mesh nobody is there
    ],
)
def test_only_a_stranger_on_another_machine_is_asked_to_dial(
    third: Address, helper: Address, good: bool
) -> None:
    found = is_third(third, helper, may_contact=in_public, has_contacted=lambda at: at == MET)
    assert found is good


@pytest.mark.parametrize(("port", "good"), [(5679, True), (5678, False)])
def test_on_one_machine_another_port_is_another_machine(port: int, good: bool) -> None:
    third = (LOCAL[0], port)
    assert is_third(third, LOCAL, may_contact=anybody, has_contacted=lambda at: False) is good


@pytest.mark.parametrize(
    ("ip", "public", "at_home"),
    [
        ("20.1.1.1", True, True),  # the node beside which the doctor runs
        ("20.1.1.2", True, False),
        ("2600:0:0:1::9", True, True),  # in our /64: it need not pass our router's firewall
        ("2600:0:0:2::9", True, False),
        ("2600:0:0:1::9", False, False),  # in a mesh of one network there is nobody else
        ("20.1.1.1", False, True),
        ("127.0.0.1", False, False),
    ],
)
def test_who_would_dial_us_from_inside_is_no_stranger(ip: str, public: bool, at_home: bool) -> None:
    """A doctor beside its node asked that node, which got through where nobody else did."""
    own = ("20.1.1.1", "2600:0:0:1::1", "127.0.0.1")
    assert is_at_home(ip, own, public=public) is at_home


@pytest.mark.parametrize(
    ("where", "witness", "ours"),
    [(OTHER, HERE, True), (None, HERE, False), (SIX, HERE, False), (HOME, HERE, False)],
)
def test_an_address_that_cannot_be_ours_is_not_believed_to_be_the_one_that_was_dialled(
    where: Address | None, witness: Address, ours: bool
) -> None:
    assert may_be_ours(where, witness, may_contact=in_public) is ours


@pytest.mark.parametrize(
    ("target", "helper", "has_socket", "good"),
    [
        (OTHER, HERE, True, True),
        (SIX, HERE, False, False),  # we do not speak that family
        (HOME, HERE, True, False),  # inside our own network, for a stranger
        (LOCAL, HERE, True, False),
    ],
)
def test_nobody_is_dialled_for_a_helper_where_it_could_not_dial_itself(
    target: Address, helper: Address, has_socket: bool, good: bool
) -> None:
    found = may_be_dialled(target, helper, has_socket=has_socket, may_contact=in_public)
    assert found is good


@pytest.mark.parametrize(("helper", "good"), [(LOCAL, True), (HERE, False)])
def test_our_own_machine_is_dialled_only_for_who_is_on_it(helper: Address, good: bool) -> None:
    assert may_be_dialled(LOCAL, helper, has_socket=True, may_contact=anybody) is good


@pytest.mark.parametrize(
    ("port", "is_expected", "tried"),
    [
        (5678, True, True),
        (1776, True, True),  # the relay's
        (5678, False, False),  # nobody there asked for it
        (22, True, False),  # another service's
        (0, True, False),  # only UDP is asked about
    ],
)
def test_tcp_goes_to_a_nodes_own_port_or_its_relays_and_to_who_waits_for_it(
    port: int, is_expected: bool, tried: bool
) -> None:
    """Whoever asked once chose the port, and had connections made to ports 22, 25 and 443."""
    assert tries_tcp(HERE, port, is_expected=is_expected) is tried
