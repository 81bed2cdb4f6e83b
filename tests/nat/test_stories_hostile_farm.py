"""A farm that lies or meddles costs time, and never a wrong result or a word."""

import re
import sys
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .programs import Program
from .village import Village

PLAN = Plan(
    public=("first", "second", "farm1", "farm2", "client"),
    nats={"home": Nat(nats.PORT_RESTRICTED, ("laptop",))},
)
SENTENCE = "Sphinx of black quartz, judge my vow. " * 5
RELAY, EVIL = 1776, 1777  # ports
PLACE = 60_000  # the byte that is altered: far into the sound, far past every handshake
HARM = re.compile("^(flipped|answered)$", re.MULTILINE)  # what the hostile one says then
TRIES = 5  # jobs until one goes by the hostile farm: on a busy machine the other may answer sooner

pytestmark = [pytest.mark.timeout(120), pytest.mark.every_world]


@pytest.fixture
def village(build_lab: BuildLab) -> Village:
    village = Village(build_lab(PLAN))
    village.open("first", "second", farms=("farm1", "farm2"))
    return village


def put_in_front(village: Village, farm: str, mode: str, *more: str) -> Program:
    """Whoever calls the farm from outside gets the hostile one, which knows the real one."""
    line = [sys.executable, "-m", "tests.nat.hostile", mode, str(EVIL), f"127.0.0.1:{RELAY}"]
    hostile = village.lab.spawn(farm, [*line, *more], name=f"{farm}.{mode}")
    hostile.wait_for("ready")
    village.lab.divert(farm, RELAY, EVIL)
    return hostile


def lend(village: Village) -> list[str]:
    """A producer that has parked at both farms; their hosts, in the order that clients try them.
    It lends two slots: the job that a farm broke may hold one until it has heard that its client is
    gone, and by then the client is there again, through the other farm."""
    laptop = village.node("laptop", "--services", "tts/cpu/echo", "--slots", "2")
    routes = laptop.published('relayed by [a-z2-7]+", "relayed')
    hosts = {f"relayed by {village.nodes[h].peer[:8]}": h for h in ("farm1", "farm2")}
    return [hosts[route] for route in routes]


@pytest.mark.parametrize("mode", ["flip", "impostor"])
def test_with_one_hostile_farm_the_job_is_done_through_the_other(
    village: Village, mode: str, tmp_path: Path
) -> None:
    first, second = lend(village)
    undisturbed = village.speak("client", SENTENCE, tmp_path / "good.wav").answer()
    assert undisturbed.code == 0, undisturbed.text
    hostile = put_in_front(village, first, mode, *([str(PLACE)] if mode == "flip" else []))
    for _ in range(TRIES):
        answer = village.speak("client", SENTENCE, tmp_path / "also-good.wav").answer()
        assert answer.code == 0, answer.text
        if HARM.search(hostile.output):
            break
    *failed, done = answer.said["attempts"]  # a farm with two addresses is tried at both
    for attempt in failed:
        assert attempt["outcome"] == "lost"
        assert attempt["route"].removeprefix("relayed by ") in village.doors(first, RELAY)
    assert 1 <= len(failed) <= len(village.doors(first, RELAY))
    assert done["route"].removeprefix("relayed by ") in village.doors(second, RELAY)
    assert (tmp_path / "also-good.wav").read_bytes() == (tmp_path / "good.wav").read_bytes()


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["flip", "impostor"])
def test_with_hostile_farms_only_there_is_an_error_and_no_result(
    village: Village, mode: str, tmp_path: Path
) -> None:
    more = [str(PLACE)] if mode == "flip" else []
    hostile = [put_in_front(village, farm, mode, *more) for farm in lend(village)]
    wav = tmp_path / "never.wav"
    answer = village.speak("client", SENTENCE, wav, "--wait", "0").answer()
    assert answer.code == 5, answer.text
    assert not wav.exists()
    assert all(attempt["outcome"] == "lost" for attempt in answer.said["attempts"])
    if mode == "impostor":
        for farm in hostile:
            farm.wait_for("^answered")
            farm.wait_for("^heard 0 bytes")
