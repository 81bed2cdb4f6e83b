"""Something is wrong, and the owner is told what and what to do: by log, `status`, `doctor`."""

import time
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .plan import DUAL, PUBLIC
from .village import Node, Village, write_tone

RELAY = 1776
TOLD = 40.0  # seconds from a node's start until its owner is told; it has 15 to find a farm
LENDS = ("--services", "stt/cpu/echo")
AN_HOUR = 3600.0  # seconds
BROKEN = 10.0  # seconds until a job is done by IPv4 where IPv6 leads nowhere
MESH = Plan(
    public=("first", "farm", "lender", "client"),
    nats={
        "home": Nat(nats.SYMMETRIC, ("laptop",)),
        "other": Nat(nats.PORT_RESTRICTED, ("desk",)),
        "hotel": Nat(nats.UDP_BLOCKED, ("guest",)),
    },
    world=PUBLIC,
)

pytestmark = [pytest.mark.soak, pytest.mark.timeout(200)]


@pytest.fixture
def village(build_lab: BuildLab) -> Village:
    village = Village(build_lab(MESH))
    village.node("first")
    return village


def warned(node: Node, what: str) -> str:
    """The warning that a node's owner reads in the log."""
    return node.program.wait_for(rf'^{{.*"warning".*{what}.*}}$', TOLD)[0]


def test_a_farm_whose_port_is_not_let_in_is_told_and_so_is_who_wanted_to_park_there(
    village: Village,
) -> None:
    """Its firewall lets UDP and TCP 5678 in, and not 1776."""
    village.lab.shut("farm", RELAY)
    farm = village.node("farm", "--farm")
    laptop = village.node("laptop", *LENDS)
    assert "not its TCP port 1776" in warned(farm, "NOBODY CAN REACH THIS FARM")
    assert "not its TCP port 1776" in village.tell("farm", "status")
    said = village.tell("farm", "doctor", "--farm")
    assert "let TCP 1776 in" in said, said
    warned(laptop, "NOBODY CAN REACH THIS NODE")
    assert "NOBODY CAN REACH THIS NODE" in village.tell("laptop", "status")
    assert "this machine cannot lend as it is" in village.tell("laptop", "doctor", *LENDS)
    assert village.ask("client", "list").said["found"] == 0


def test_a_laptop_whose_network_lets_no_tcp_out_to_the_farm_is_told_where_it_tried(
    village: Village,
) -> None:
    farm = village.node("farm", "--farm")
    farm.published("direct")
    village.lab.shut("farm", RELAY)  # by now it is known to be open
    laptop = village.node("laptop", *LENDS)
    door = village.doors("farm", RELAY)[0]
    assert door in warned(laptop, "no farm takes it")
    assert door in village.tell("laptop", "status")
    said = village.tell("laptop", "doctor", *LENDS)
    assert door in said and "is TCP let out to these ports" in said


def test_a_laptop_is_told_that_the_only_farm_is_full(village: Village) -> None:
    farm = village.node("farm", "--farm", "--farm-limits", "producers=1")
    farm.published("direct")
    village.node("desk", *LENDS).published("relayed")
    laptop = village.node("laptop", *LENDS)
    assert "it has no room for another producer" in warned(laptop, "no farm takes it")
    assert "it has no room for another producer" in village.tell("laptop", "status")
    said = village.tell("laptop", "doctor", *LENDS)
    assert said.count("it has no room for another producer") == 1 and "another farm" in said


def test_where_udp_is_blocked_a_laptop_lends_and_its_owner_is_told_both(village: Village) -> None:
    village.node("farm", "--farm").published("direct")
    guest = village.node("guest", *LENDS)
    guest.published("relayed")
    for said in (warned(guest, "UDP IS BLOCKED HERE"), village.tell("guest", "status")):
        assert "UDP IS BLOCKED HERE" in said
    said = village.tell("guest", "doctor", *LENDS)
    assert "UDP is blocked" in said and "this machine can lend" in said


@pytest.mark.parametrize("ahead", [AN_HOUR, -AN_HOUR])
def test_a_clock_that_is_an_hour_off_is_what_the_owner_is_told_and_nothing_else(
    village: Village, ahead: float
) -> None:
    """He was told as well that there is no farm, and to run one."""
    village.node("farm", "--farm").published("direct")
    village.clocks["laptop"] = ahead
    laptop = village.node("laptop", *LENDS)
    assert f"{ahead:+.0f} s" in warned(laptop, "THE CLOCK IS WRONG")
    status = village.tell("laptop", "status")
    assert status.count("WRONG  ") == 1 and "timedatectl" in status
    said = village.tell("laptop", "doctor", *LENDS)
    assert "set the clock" in said and "there is no farm" not in said
    assert "NOBODY CAN REACH" not in laptop.program.output


def test_where_ipv6_leads_nowhere_a_laptop_lends_and_a_client_borrows_by_ipv4(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    """Both have addresses of it, and a router that says it knows the way."""
    village = Village(build_lab(Plan(("first", "farm", "lender", "client", "broken"), world=PUBLIC,
                                     families=DUAL)))  # fmt: skip
    village.open("first", farms=("farm",))
    for host in ("broken", "client"):
        village.lab.lead_nowhere(host, "6")
    broken = village.node("broken", "--services", "tts/cpu/echo")
    published = broken.published("direct")
    assert not any("[" in route for route in published), published
    said = village.tell("broken", "doctor", "--services", "tts/cpu/echo", "--port", "5679")
    assert "this machine can lend" in said
    village.node("lender", *LENDS).published("direct")
    tone, began = write_tone(tmp_path / "tone.wav", 1.0), time.monotonic()
    answer = village.transcribe("client", tone).answer()
    assert answer.code == 0, answer.text
    print(
        f"IPv6 leads nowhere: a job took {time.monotonic() - began:.1f} s, {answer.said['route']}"
    )
    assert answer.seconds < BROKEN
    listed = village.ask("client", "list")
    assert listed.code == 0 and listed.said["found"] == 3
