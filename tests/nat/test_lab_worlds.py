"""Both worlds, in each family of addresses: who reaches whom, before and after somebody moved."""

import socket

import pytest

from privox_dht.addresses import is_global, subnet_of

from . import nats
from .conftest import BuildLab
from .lab import Lab, Nat, Plan
from .plan import DUAL, IPV4, IPV6, PRIVATE, PUBLIC, Layout

TCP = socket.SOCK_STREAM
SERVER = 5000  # port
SECONDS, QUIET = 5.0, 0.2  # bounds on what must come, and on waiting for what must not
HOMES = {"home": Nat(nats.PORT_RESTRICTED, ("laptop",)), "forward": Nat(nats.FORWARDED, ("nas",))}


def reaches(lab: Lab, source: str, sink: str, port: int = SERVER, wait: float = SECONDS) -> bool:
    family = lab.families(source)[0]
    with (
        lab.socket(sink, TCP, port, family) as listener,
        lab.socket(source, TCP, families=family) as caller,
    ):
        listener.listen()
        caller.settimeout(wait)
        try:
            caller.connect((lab.address(sink, family), port))
        except OSError:
            return False
        return True


@pytest.mark.parametrize(
    ("world", "families"),
    [
        (PUBLIC, IPV4),
        (PUBLIC, IPV6),
        pytest.param(PUBLIC, DUAL, marks=pytest.mark.soak),
        pytest.param(PRIVATE, IPV4, marks=pytest.mark.soak),
        pytest.param(PRIVATE, IPV6, marks=pytest.mark.soak),
        pytest.param(PRIVATE, DUAL, marks=pytest.mark.soak),
    ],
)
def test_homes_reach_public_hosts_and_not_the_other_way_before_and_after_a_move(
    build_lab: BuildLab, world: str, families: str
) -> None:
    plan = Plan(("first", "client"), HOMES, world=world, families=families)
    lab = build_lab(plan)

    def as_it_should_be() -> None:
        assert reaches(lab, "client", "first")
        assert reaches(lab, "laptop", "first")
        assert reaches(lab, "nas", "client")
        assert not reaches(lab, "client", "laptop", wait=QUIET)
        assert not reaches(lab, "client", "nas", wait=QUIET)
        assert reaches(lab, "client", "nas", nats.FORWARDED_PORT)
        assert not reaches(lab, "client", "laptop", nats.FORWARDED_PORT, QUIET)

    as_it_should_be()
    before = [lab.address(host) for host in ("first", "laptop")]
    lab.readdress("first")
    lab.nat_readdress("laptop")
    assert not set(before) & {lab.address(host) for host in ("first", "laptop")}
    as_it_should_be()


@pytest.mark.parametrize("families", [IPV4, IPV6])
def test_in_the_public_world_each_host_is_in_a_network_of_its_own(families: str) -> None:
    layout = Layout(Plan(("first", "client"), HOMES, world=PUBLIC, families=families), "x-")
    addresses = [place.address for place in layout.places.values()]
    addresses += [layout.own_addresses(host)["6"] for host in ("nas",) if families == IPV6]
    assert all(map(is_global, addresses))
    assert len(set(map(subnet_of, addresses[:4]))) == 4


def test_a_host_may_speak_another_family_than_the_rest_and_change_it(build_lab: BuildLab) -> None:
    lab = build_lab(Plan(("first", "client"), families=DUAL, speaks={"client": IPV6}))
    assert ":" in lab.address("client")
    assert reaches(lab, "client", "first")
    lab.readdress("client", IPV4)
    assert "." in lab.address("client")
    assert reaches(lab, "client", "first")


def test_a_black_hole_swallows_ipv6_too(build_lab: BuildLab) -> None:
    lab = build_lab(Plan(("first", "client"), families=IPV6))
    lab.blackhole("client")
    assert not reaches(lab, "client", "first", wait=QUIET)
    lab.heal()
    assert reaches(lab, "client", "first")
