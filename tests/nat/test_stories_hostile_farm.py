"""A farm that lies or meddles costs time, and never a wrong result or a word."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .programs import Program
from .village import Node, Village

PLAN = Plan(
    public=("first", "second", "farm1", "farm2", "client"),
    nats={"home": Nat(nats.PORT_RESTRICTED, ("laptop",))},
)
SENTENCE = "Sphinx of black quartz, judge my vow. " * 5
RELAY, EVIL = 1776, 1777  # ports
PLACE = 60_000  # the byte that is altered: far into the sound, far past every handshake

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def village(build_lab: BuildLab) -> Village:
    village = Village(build_lab(PLAN))
    for host in ("first", "second"):
        village.node(host)
    for host in ("farm1", "farm2"):
        village.node(host, "--farm").published("direct")
    return village


def put_in_front(village: Village, farm: str, mode: str, *more: str) -> Program:
    """Whoever calls the farm from outside gets the hostile one, which knows the real one."""
    line = [sys.executable, "-m", "tests.nat.hostile", mode, str(EVIL), f"127.0.0.1:{RELAY}"]
    hostile = village.lab.spawn(farm, [*line, *more], name=f"{farm}.{mode}")
    hostile.wait_for("ready")
    village.lab.divert(farm, RELAY, EVIL)
    return hostile


def lend(village: Village) -> Node:
    """A producer that has parked at both farms."""
    laptop = village.node("laptop", "--services", "tts/cpu/echo")
    laptop.published('relayed[^]]*, "relayed')
    return laptop


@pytest.mark.parametrize("mode", ["flip", "impostor"])
def test_with_one_hostile_farm_the_job_is_done_through_the_other(
    village: Village, mode: str, tmp_path: Path
) -> None:
    hostile = put_in_front(village, "farm1", mode, *([str(PLACE)] if mode == "flip" else []))
    lend(village)
    harm = re.compile("^(flipped|answered)$", re.MULTILINE)
    sounds: list[bytes] = []
    while not sounds or not harm.search(hostile.output):
        wav = tmp_path / f"{len(sounds)}.wav"
        answer = village.speak("client", SENTENCE, wav).answer()
        assert answer.code == 0, answer.text
        assert len(sounds) < 8, "the hostile farm is never chosen"
        sounds.append(wav.read_bytes())
    (failed, done) = answer.said["attempts"]
    assert failed["outcome"] == "lost"
    assert village.lab.address("farm1") in failed["route"]
    assert done["route"] == answer.said["route"]
    assert village.lab.address("farm2") in done["route"]
    assert len(set(sounds)) == 1, "the sound is the same as ever"


@pytest.mark.parametrize("mode", ["flip", "impostor"])
def test_with_hostile_farms_only_there_is_an_error_and_no_result(
    village: Village, mode: str, tmp_path: Path
) -> None:
    more = [str(PLACE)] if mode == "flip" else []
    hostile = [put_in_front(village, farm, mode, *more) for farm in ("farm1", "farm2")]
    lend(village)
    wav = tmp_path / "never.wav"
    answer = village.speak("client", SENTENCE, wav).answer()
    assert answer.code == 5, answer.text
    assert not wav.exists()
    assert all(attempt["outcome"] == "lost" for attempt in answer.said["attempts"])
    if mode == "impostor":
        for farm in hostile:
            farm.wait_for("^answered")
            farm.wait_for("^heard 0 bytes")
