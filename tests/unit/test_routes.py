from dataclasses import replace

import pytest

from nodes.routes import NetworkState, advice, how_to_join, is_reachable, routes
from privox_dht.records import Direct, Relayed

HOME = NetworkState(5678, observed=("198.51.100.7",), local=("192.168.1.10",))


def test_what_is_advertised_is_published_and_nothing_else() -> None:
    told = NetworkState(5678, advertised=("192.0.2.1",), observed=("198.51.100.7",))
    assert routes(told) == (Direct("192.0.2.1", 5678),)


def test_in_a_public_mesh_the_address_that_neighbours_see_is_published() -> None:
    assert routes(HOME) == (Direct("198.51.100.7", 5678),)


def test_lan_addresses_are_published_only_in_a_mesh_that_is_itself_private() -> None:
    lan = NetworkState(5678, local=("192.168.1.10",), private=True)
    assert routes(lan) == (Direct("192.168.1.10", 5678),)
    assert routes(NetworkState(5678, local=("192.168.1.10",))) == ()


def test_behind_a_nat_only_farms_are_published() -> None:
    natted = NetworkState(5678, observed=("198.51.100.7",), reachable=False, farms=(b"a" * 32,))
    assert routes(natted) == (Relayed(b"a" * 32),)


def test_a_reachable_node_that_is_parked_publishes_both_direct_first() -> None:
    both = NetworkState(5678, observed=("198.51.100.7",), farms=(b"a" * 32, b"b" * 32, b"c" * 32))
    assert [type(route) for route in routes(both)] == [Direct, Relayed, Relayed, Relayed]


def test_at_most_four_routes_of_which_three_are_direct() -> None:
    many = NetworkState(1, observed=("1.1.1.1", "2.2.2.2", "3.3.3.3"), farms=(b"a" * 32,) * 5)
    assert [type(route) for route in routes(many)] == [Direct, Direct, Direct, Relayed]


def test_a_node_that_nobody_can_reach_is_told_so_and_what_to_do() -> None:
    alone = NetworkState(5678, observed=("198.51.100.7",), reachable=False)
    assert "NOBODY CAN REACH THIS NODE" in advice(alone)
    assert "--advertise" in advice(alone)
    assert "--advertise" in advice(NetworkState(5678))
    assert advice(HOME) == ""


@pytest.mark.parametrize(
    ("local", "shut", "why"),
    [
        ("192.168.1.10", "", "behind a NAT or firewall"),
        ("198.51.100.7", "4", "behind a NAT or firewall"),
        ("198.51.100.7", "", "no neighbour could try to call it yet"),
    ],
)
def test_the_owner_is_not_told_of_a_firewall_that_nobody_has_met(
    local: str, shut: str, why: str
) -> None:
    """A lender was, when datagrams were lost and no neighbour could say."""
    alone = NetworkState(
        5678, seen_by_any=("198.51.100.7",), local=(local,), shut=shut, reachable=False
    )
    assert why in advice(alone)


def test_the_owner_is_believed() -> None:
    assert is_reachable(True, replace(HOME, shut="4"))
    assert not is_reachable(False, replace(HOME, confirmed=("192.168.1.10",)))


def test_those_who_called_back_are_believed() -> None:
    assert is_reachable(None, replace(HOME, confirmed=("198.51.100.7",)))
    assert not is_reachable(None, replace(HOME, shut="4"))


def test_the_address_at_which_others_got_through_is_the_one_that_is_published() -> None:
    """Behind a router that forwards the port, a private mesh was told 192.168.1.10, and whoever
    called that lost three seconds."""
    here = NetworkState(
        5678, seen_by_any=("198.18.0.101",), local=("192.168.1.10",), confirmed=("198.18.0.101",),
        private=True,
    )  # fmt: skip
    assert routes(here) == (Direct("198.18.0.101", 5678),)


def test_an_address_that_nobody_sees_is_not_published() -> None:
    seen = NetworkState(5678, seen_by_any=("198.18.0.101",), local=("192.168.1.10",), private=True)
    seen = replace(seen, reachable=is_reachable(None, seen))
    assert routes(seen) == ()


def test_a_family_in_which_calls_do_not_come_through_is_not_published() -> None:
    dual = NetworkState(
        5678, seen_by_any=("10.0.0.1", "fd00::1"), local=("10.0.0.1", "fd00::1"), private=True
    )
    assert len(routes(dual)) == 2
    assert routes(replace(dual, shut="6")) == (Direct("10.0.0.1", 5678),)
    assert not is_reachable(None, replace(dual, shut="46"))


def test_when_nobody_could_say_an_unchanged_address_means_no_nat() -> None:
    assert not is_reachable(None, replace(HOME, local=("10.0.0.1",)))
    assert is_reachable(None, NetworkState(1, observed=("1.2.3.4",), local=("1.2.3.4",)))


@pytest.mark.parametrize(
    ("private", "checked", "shut", "published"),
    [
        (False, False, "", False),  # a firewall may be there
        (False, True, "", True),  # nobody could say
        (False, True, "6", False),
        (True, False, "", True),  # of few machines: they are there in a moment
        (True, True, "6", False),
    ],
)
def test_an_address_that_no_nat_changed_is_published_once_somebody_was_asked_to_call_it(
    private: bool, checked: bool, shut: str, published: bool
) -> None:
    """By IPv6 a producer behind a firewall published its own address for four seconds, until it was
    found out that nobody gets through to it."""
    ip = "2600::1"
    here = NetworkState(
        5678, observed=(ip,), local=(ip,), private=private, checked=checked, shut=shut,
        farms=(b"a" * 32,),
    )  # fmt: skip
    here = replace(here, reachable=is_reachable(None, here))
    direct = (Direct(ip, 5678),) if published else ()
    assert routes(here) == (*direct, Relayed(b"a" * 32))


def test_whoever_says_itself_that_it_can_be_reached_is_published_before_anybody_was_asked() -> None:
    here = replace(HOME, checked=False)
    assert routes(replace(here, reachable=is_reachable(True, here))) == (
        Direct("198.51.100.7", 5678),
    )
    told = replace(here, advertised=("192.0.2.1",))
    assert routes(told) == (Direct("192.0.2.1", 5678),)


def test_in_a_private_mesh_one_neighbour_is_enough_to_notice_a_nat() -> None:
    behind = NetworkState(1, seen_by_any=("198.18.0.101",), local=("192.168.1.10",), private=True)
    assert not is_reachable(None, behind)
    beside = NetworkState(1, seen_by_any=("192.168.1.10",), local=("192.168.1.10",), private=True)
    assert is_reachable(None, beside)


def test_in_a_private_mesh_nobody_seen_yet_means_reachable() -> None:
    assert is_reachable(None, NetworkState(1, private=True))
    assert is_reachable(None, NetworkState(1, local=("10.0.0.1",), private=True))
    assert not is_reachable(None, NetworkState(1, private=False))


def test_a_first_node_says_how_others_join_it() -> None:
    said = how_to_join(NetworkState(5678, local=("192.168.1.10", "2001:db8::1")), 5678, "privox")
    assert "--neighbours 192.168.1.10:5678 or --neighbours [2001:db8::1]:5678." in said
    assert "public address" in said and "--network" not in said


def test_a_first_node_that_is_advertised_or_public_needs_no_more_words() -> None:
    for there in (
        NetworkState(5678, advertised=("198.51.100.7",)),
        NetworkState(5678, local=("8.8.8.8",)),
    ):
        said = how_to_join(there, 5678, "home")
        assert said.endswith(":5678 --network home") or "198.51.100.7" in said
    here = how_to_join(NetworkState(1, local=("127.0.0.1",)), 40001, "privox")
    assert here.endswith("with: --neighbours 127.0.0.1:40001")


def test_a_first_node_of_a_private_mesh_says_that_a_secret_is_needed() -> None:
    here = NetworkState(1, local=("127.0.0.1",))
    said = how_to_join(here, 40001, "friends", private=True)
    assert said.endswith("127.0.0.1:40001 --network friends --secret-file FILE")


def test_where_no_address_is_known_the_port_is() -> None:
    assert "--neighbours HOST:5678" in how_to_join(NetworkState(5678), 5678, "privox")
