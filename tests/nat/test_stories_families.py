"""IPv4 only, IPv6 only, or both: who meets whom, and what is said where they cannot."""

from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .plan import DUAL, IPV4, IPV6, PUBLIC
from .village import Village, write_tone

SERVED = 12.0  # seconds from a client's start to its answer, a slow start included

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
def village(build_lab: BuildLab) -> Village:
    """A first node and a farm with both families, a lender at home with IPv4 alone, one on the
    internet likewise, and a client with IPv6 alone."""
    plan = Plan(
        public=("first", "farm", "four", "client"),
        nats={"home": Nat(nats.PORT_RESTRICTED, ("laptop",))},
        world=PUBLIC,
        families=DUAL,
        speaks={"home": IPV4, "four": IPV4, "client": IPV6},
    )
    return Village(build_lab(plan))


def test_a_client_with_ipv6_alone_is_served_through_a_farm_that_has_both(
    village: Village, tmp_path: Path
) -> None:
    village.open("first", farms=("farm",))
    laptop = village.node("laptop", "--services", "stt/cpu/echo")
    laptop.published("relayed")
    answer = village.transcribe("client", write_tone(tmp_path / "tone.wav", 1.0)).answer()
    assert answer.code == 0, answer.text
    assert village.lab.address("farm", "6") in answer.said["route"]
    assert answer.seconds < SERVED


@pytest.mark.soak
def test_what_only_the_other_family_leads_to_is_said(village: Village, tmp_path: Path) -> None:
    village.open("first")
    four = village.node("four", "--services", "stt/cpu/echo")
    four.published("direct")
    listed = village.ask("client", "list")
    assert "IPv4 only, which this machine has not" in listed.said["family"]
    answer = village.transcribe("client", write_tone(tmp_path / "tone.wav", 1.0)).answer()
    assert answer.code == 5, answer.text
    assert "IPv4 only, which this machine has not" in answer.text
    assert answer.seconds < SERVED


@pytest.mark.soak
def test_a_lender_with_both_families_parks_at_a_farm_with_both_once(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    """It parked at both doors of one farm, superseded itself, and stayed away for an hour."""
    homes = {"home": Nat(nats.PORT_RESTRICTED, ("laptop",))}
    village = Village(
        build_lab(Plan(("first", "farm", "client"), homes, world=PUBLIC, families=DUAL))
    )
    village.open("first", farms=("farm",))
    laptop = village.node("laptop", "--services", "stt/cpu/echo")
    assert len(laptop.published("relayed")) == 1
    for _ in range(3):
        answer = village.transcribe("client", write_tone(tmp_path / "tone.wav", 1.0)).answer()
        assert answer.code == 0, answer.text
    assert "superseded" not in laptop.program.output
