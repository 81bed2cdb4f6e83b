"""A router is gone for a while in mid-job, and there is one producer."""

import time
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .village import Village, write_tone

JOB = 3.0  # seconds that the echo takes
OUTAGE = 15.0  # seconds until the router is back: longer than any one silence that is waited out
MORE = 20.0  # seconds that the job may take longer than the outage and an undisturbed job together
HOMES = {
    "nat-a": Nat(nats.PORT_RESTRICTED, ("lender",)),
    "nat-b": Nat(nats.SYMMETRIC, ("client",)),
}

pytestmark = [pytest.mark.timeout(150), pytest.mark.every_world("public-ipv4")]


@pytest.mark.parametrize("whose", ["client", pytest.param("lender", marks=pytest.mark.soak)])
def test_a_router_that_reboots_in_mid_job_costs_its_outage_and_not_the_job(
    build_lab: BuildLab, tmp_path: Path, whose: str
) -> None:
    """It ended with exit code 5 after ten seconds, five before the router was back."""
    village = Village(build_lab(Plan(("first",), HOMES)), all_relay=True)
    village.node("first")
    lender = village.node("lender", "--services", f"stt/cpu/echo:{JOB}")
    lender.published("relayed")
    asking = village.transcribe("client", write_tone(tmp_path / "tone.wav", 1.0))
    lender.program.wait_for("stt begun")
    village.lab.blackhole(whose)
    time.sleep(OUTAGE)  # what the story is about
    village.lab.nat_reboot(whose)
    village.lab.heal()
    answer = asking.answer()
    assert answer.code == 0, answer.text
    assert answer.transcript.endswith("to 1.00 seconds,"), "all that the slow echo says"
    print(f"the {whose}'s router: {answer.seconds:.1f} s in all")
    assert answer.seconds < OUTAGE + JOB + MORE
