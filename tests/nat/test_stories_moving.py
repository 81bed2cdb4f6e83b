"""Addresses change: a farm moves, a router gets a new lease, a laptop wakes up elsewhere."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .village import Answer, Node, Village, write_tone

NOTICED = 30.0  # seconds until a new address is published, and used by clients
GIVE_UP = 6.0  # seconds after which one attempt to call is given up for the next
SLEEP = 20.0  # seconds that a machine sleeps
LENDS = ("--services", "stt/cpu/echo")
pytestmark = [pytest.mark.timeout(180), pytest.mark.every_world("public-ipv4")]


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 1.0)


@pytest.fixture
def village(build_lab: BuildLab) -> Village:
    plan = Plan(
        public=("first", "farm", "lender", "client"),
        nats={
            "home": Nat(nats.PORT_RESTRICTED, ("laptop",)),
            "forward": Nat(nats.FORWARDED, ("nas",)),
        },
    )
    village = Village(build_lab(plan))
    village.open("first", farms=("farm",))
    return village


def until_served(call: Callable[[], Answer], seconds: float) -> Answer:
    """Call again and again, for so long."""
    began = time.monotonic()
    while True:
        answer = call()
        if answer.code == 0:
            return answer
        assert time.monotonic() - began < seconds, answer.text


def moves_and_is_found(
    village: Village, tone: Path, node: Node, port: int, move: Callable[[str], object]
) -> str:
    """Let a node move; its new route, published and used within the bound."""
    here = node.program.here()
    began = time.monotonic()
    move(node.host)
    doors = "|".join(map(re.escape, village.doors(node.host, port)))
    node.published(f"direct (?:{doors})", seconds=NOTICED, since=here)
    print(f"{node.host}: published its new address after {time.monotonic() - began:.1f} s")
    left = NOTICED - (time.monotonic() - began)

    def call() -> Answer:
        return village.transcribe("client", tone, "--timeout", str(GIVE_UP)).answer()

    answer = until_served(call, left)
    print(f"{node.host}: a client was served after {time.monotonic() - began:.1f} s")
    return str(answer.said["route"])


def test_a_farm_that_moves_is_found_at_its_new_address(village: Village, tone: Path) -> None:
    village.node("laptop", *LENDS).published("relayed")
    farm = village.nodes["farm"]
    route = moves_and_is_found(village, tone, farm, 1776, village.lab.readdress)
    assert route.removeprefix("relayed by ") in village.doors("farm", 1776)


@pytest.mark.soak
def test_a_lender_with_a_public_address_is_called_directly_at_its_new_one(
    village: Village, tone: Path
) -> None:
    lender = village.node("lender", *LENDS)
    lender.published("direct")
    route = moves_and_is_found(village, tone, lender, 5678, village.lab.readdress)
    assert route.removeprefix("direct ") in village.doors("lender", 5678)


def test_behind_a_forwarded_port_the_routers_address_is_published_and_its_next_one_too(
    village: Village, tone: Path
) -> None:
    """A private mesh was told 192.168.1.10, which nobody else could call."""
    nas = village.node("nas", *LENDS)
    assert nas.published("direct")[0].removeprefix("direct ") in village.doors("nas", 5678)
    answer = village.transcribe("client", tone).answer()
    assert answer.code == 0, answer.text
    route = answer.said["route"].removeprefix("direct ")
    assert route in village.doors("nas", 5678), "and no farm was needed"
    assert len(answer.said["attempts"]) == 1

    route = moves_and_is_found(village, tone, nas, 5678, village.lab.nat_readdress)
    assert route.removeprefix("direct ") in village.doors("nas", 5678)


@pytest.mark.soak
def test_a_laptop_that_slept_and_woke_in_another_network_lends_again(
    village: Village, tone: Path
) -> None:
    laptop = village.node("laptop", *LENDS)
    laptop.published("relayed")
    laptop.program.freeze()
    village.lab.nat_readdress("laptop")
    time.sleep(SLEEP)  # the nap that the story is about
    laptop.program.thaw()
    woke = time.monotonic()

    def call() -> Answer:
        return village.transcribe("client", tone, "--timeout", str(GIVE_UP)).answer()

    until_served(call, NOTICED)
    print(f"laptop: a client was served {time.monotonic() - woke:.1f} s after it woke")
