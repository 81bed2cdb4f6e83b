"""A long recording, scattered over laptops that nobody can call."""

import sys
import time
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .village import Village

sys.path.insert(0, str(Path(__file__).parents[1] / "mesh"))
from tone_talk import knows_tones, talk
from tone_words import CONTROL

HOMES = nats.KINDS[:4]
SPEED = 20  # seconds of sound in a second, by each
NEAR = 0.05  # seconds by which the time of a word may be wrong


@pytest.mark.timeout(280)
@pytest.mark.parametrize("minutes", [3, pytest.param(20, marks=pytest.mark.soak)])
def test_every_word_comes_back_in_its_place_from_four_homes_of_which_one_is_lost(
    build_lab: BuildLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    """All of it through farms; one laptop loses its power in mid-job."""
    said = talk(21, ("talk", 40 * minutes), ("breathless", 8 * minutes), ("silence", 12 * minutes))
    recording = said.write(tmp_path / "talk.wav")
    knows_tones(tmp_path, monkeypatch)
    homes = {f"nat-{kind[:7]}": Nat(kind, (kind[:11],)) for kind in HOMES}
    village = Village(build_lab(Plan(public=("first", "farm1", "farm2", "client"), nats=homes)))
    village.open("first", farms=("farm1", "farm2"))
    laptops = []
    for kind in HOMES:
        folder = tmp_path / kind
        folder.mkdir()
        monkeypatch.setenv(CONTROL, str(folder))
        laptops.append(village.start(kind[:11], "--services", f"stt/cpu/tone-words:{SPEED}"))
    for laptop in laptops:
        village.ready(laptop).published("relayed")
    job = village.transcribe("client", recording, "--words", model="tone-words")
    while not (tmp_path / HOMES[0] / "sound").exists():
        assert job.program.running, job.program.output
        time.sleep(0.02)  # between two looks
    laptops[0].program.kill()
    answer = job.answer(200)
    assert answer.code == 0, answer.text
    words = answer.said["transcript"]["words"]
    assert [word["word"] for word in words] == [word.text for word in said.words]
    for word, truth in zip(words, said.words, strict=True):
        assert abs(word["start"] - truth.start) < NEAR
    attempts = answer.said["attempts"]
    assert all(attempt["route"].startswith("relayed") for attempt in attempts)
    assert len(answer.said["producers"]) >= len(HOMES) - 1
    ideal = said.seconds * 0.8 / SPEED / (len(HOMES) - 1)
    print(f"{minutes} minutes behind NAT in {answer.said['seconds']:.1f} s; at least {ideal:.1f} s")
