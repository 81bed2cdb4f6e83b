"""A mesh on the open internet starts by itself: one public machine, any laptops, no flags."""

import itertools
import time
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .plan import PUBLIC
from .village import Answer, Node, Village, write_tone

FOUND = 10.0  # seconds from a client's start to its answer, whatever the order of things
SLOW_START = 8.0  # seconds that a program's own start may take here, engines warmed, cores shared
HOMES = {
    "nat-a": Nat(nats.PORT_RESTRICTED, ("lender",)),
    "nat-b": Nat(nats.SYMMETRIC, ("other",)),
    "nat-c": Nat(nats.FULL_CONE, ("client",)),
}
LENDS = ("--services", "stt/cpu/echo")

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.every_world("public-ipv4", worlds=(PUBLIC,)),
]


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 1.0)


def world(build_lab: BuildLab, public: tuple[str, ...]) -> Village:
    return Village(build_lab(Plan(public, HOMES)), all_relay=True)


def served(village: Village, tone: Path, host: str = "client") -> Answer:
    answer = village.transcribe(host, tone).answer()
    assert answer.code == 0, answer.text
    assert answer.transcript == "1.00 seconds of sound"
    assert answer.seconds < FOUND
    return answer


def test_one_public_machine_is_enough_for_a_mesh_of_laptops(
    build_lab: BuildLab, tone: Path
) -> None:
    village = world(build_lab, ("first",))
    first = village.node("first")
    lender = village.node("lender", *LENDS)
    lender.published("relayed", seconds=FOUND)
    assert first.published("direct")[0].removeprefix("direct ") in village.doors("first", 1776)
    assert served(village, tone).said["producer"] == lender.peer


ORDERS = tuple(itertools.permutations(("first", "lender", "client")))


@pytest.mark.parametrize(
    "order",
    [ORDERS[3], *(pytest.param(o, marks=pytest.mark.soak) for o in ORDERS if o != ORDERS[3])],
)
def test_in_whatever_order_they_come_the_client_is_served(
    build_lab: BuildLab, tone: Path, order: tuple[str, ...]
) -> None:
    """Who comes before there is anybody to join through goes on trying; a client is asked again by
    its owner."""
    village = world(build_lab, ("first",))
    neighbours = ("--neighbours", ",".join(village.doors("first", 5678)))
    nodes: dict[str, Node] = {}
    for who in order:
        if who == "client":
            if len(nodes) < 2:
                assert village.ask("client", "list", *neighbours).code in (0, 3, 4)
        else:
            more = (*LENDS, *neighbours) if who == "lender" else ()
            nodes[who] = village.start(who, *more)
    village.nodes["first"] = nodes["first"]
    nodes["lender"].published("relayed")
    served(village, tone)


@pytest.mark.soak
@pytest.mark.parametrize("count", [2, 3])
def test_more_public_machines_relay_too(build_lab: BuildLab, tone: Path, count: int) -> None:
    public = ("first", "second", "third")[:count]
    village = world(build_lab, public)
    for host in public:
        village.node(host)
    lender = village.node("lender", *LENDS)
    lender.published('relayed by [a-z2-7]+", "relayed')
    assert served(village, tone).said["producer"] == lender.peer


@pytest.mark.soak
def test_twenty_machines_that_start_in_the_same_second_are_a_mesh(
    build_lab: BuildLab, tone: Path
) -> None:
    hosts = ("first", *(f"h{number}" for number in range(19)))
    village = world(build_lab, hosts)
    neighbours = ("--neighbours", ",".join(village.doors("first", 5678)))
    began = time.monotonic()
    nodes = [village.start("first"), *(village.start(h, *neighbours, *LENDS) for h in hosts[1:])]
    village.nodes["first"] = nodes[0]
    for node in nodes:
        node.published("direct", seconds=60.0)
    print(f"20 machines: the last had published after {time.monotonic() - began:.1f} s")
    served(village, tone)
