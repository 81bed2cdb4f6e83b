"""A lender's machine sleeps in mid-job and wakes up where it was, and there is no other one."""

import time
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .plan import DUAL, PUBLIC
from .village import Village, write_tone

JOB = 3.0  # seconds that the echo takes
TOLD = "busy or do not answer, asking again"  # to who waits
TOLD_WITHIN = 12.0  # seconds; 6 s without a word are taken for a loss
BACK = 30.0  # seconds after waking until jobs are done again, the echo's own time included
WAIT = ("--wait", "150")  # seconds
MESH = Plan(
    public=("first", "farm", "lender", "client", "late"),
    nats={"home": Nat(nats.PORT_RESTRICTED, ("laptop",))},
    world=PUBLIC,
    families=DUAL,
)

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("host", "nap"),
    [  # seconds: from 13 on a node notices that it slept
        ("laptop", 15.0),
        pytest.param("laptop", 60.0, marks=pytest.mark.soak),
        pytest.param("lender", 60.0, marks=pytest.mark.soak),
    ],
)
def test_clients_know_at_once_that_a_lender_sleeps_and_are_served_soon_after_it_woke(
    build_lab: BuildLab, tmp_path: Path, host: str, nap: float
) -> None:
    """One client had its job there, another comes meanwhile: both wait. A third would not."""
    village = Village(build_lab(MESH))
    village.open("first", farms=("farm",))
    lender = village.node(host, "--services", f"stt/cpu/echo:{JOB}", "--slots", "2")
    lender.published("direct" if host == "lender" else "relayed")
    tone = write_tone(tmp_path / "tone.wav", 1.0)
    asking = village.transcribe("client", tone, *WAIT)
    lender.program.wait_for("stt begun")

    here = lender.program.here()
    lender.program.freeze()
    slept = time.monotonic()
    late = village.transcribe("late", tone, *WAIT)
    hasty = village.transcribe("late", tone, "--wait", "0").answer(TOLD_WITHIN)
    assert hasty.code in (5, 7), hasty.text
    for one in (asking, late):
        one.program.wait_for(TOLD, TOLD_WITHIN)
    print(f"{host}: both clients knew after {time.monotonic() - slept:.1f} s")
    time.sleep(max(0.0, slept + nap - time.monotonic()))  # the nap that the story is about

    lender.program.thaw()
    woke = time.monotonic()
    for one in (asking, late, village.transcribe("late", tone)):
        answer = one.answer(BACK - (time.monotonic() - woke))
        print(f"{host}: a job was done {time.monotonic() - woke:.1f} s after it woke")
        assert answer.code == 0, answer.text
        assert answer.transcript.endswith("to 1.00 seconds,"), "all that the slow echo says"
        assert answer.said["producer"] == lender.peer
    assert "has slept" in lender.program.output[here:]
