"""What users meet on an internet where producers can be called: told with real programs."""

import difflib
import re
from pathlib import Path

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Nat, Plan
from .village import Village, write_tone

PUBLIC = Plan(
    public=("first", "one", "two", "client"),
    nats={"home": Nat(nats.SYMMETRIC, ("laptop",))},
)
SENTENCE = "the weather is good and we are going home"
WORDS_RIGHT = 0.6  # share of the words; the small engines get about 0.85 of them right
JOB = 2.0  # seconds that the slow echo takes
JOINS = 3  # times that a client joins and looks around under loss; once in a short run

pytestmark = [pytest.mark.timeout(120), pytest.mark.every_world]


@pytest.fixture
def village(build_lab: BuildLab) -> Village:
    """A first node, on an internet with nobody else yet."""
    village = Village(build_lab(PUBLIC))
    village.node("first")
    return village


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 1.0)


def share_of_words(said: str, heard: str) -> float:
    words, found = (re.findall(r"[a-z']+", text.lower()) for text in (said, heard))
    blocks = difflib.SequenceMatcher(None, words, found, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(words)


def test_one_machine_speaks_and_another_understands(village: Village, tmp_path: Path) -> None:
    speaker = village.node("one", "--services", "tts/cpu/espeak-ng")
    listener = village.node("two", "--services", "stt/cpu/pocketsphinx")
    speaker.published("direct"), listener.published("direct")

    wav = tmp_path / "spoken.wav"
    spoken = village.speak("client", SENTENCE, wav, "--voice", "en-us", model="espeak-ng").answer()
    assert spoken.code == 0, spoken.text
    assert spoken.said["producer"] == speaker.peer
    assert spoken.said["route"].removeprefix("direct ") in village.doors("one", 5678)

    heard = village.transcribe("client", wav, model="pocketsphinx").answer()
    assert heard.code == 0, heard.text
    assert heard.said["producer"] == listener.peer
    assert share_of_words(SENTENCE, heard.transcript) >= WORDS_RIGHT, heard.transcript


@pytest.mark.every_world("private-ipv4", "public-ipv46")
def test_a_client_behind_a_symmetric_nat_is_served(village: Village, tone: Path) -> None:
    village.node("one", "--services", "stt/cpu/echo").published("direct")
    answer = village.transcribe("laptop", tone).answer()
    assert answer.code == 0, answer.text
    assert answer.transcript == "1.00 seconds of sound"


@pytest.mark.parametrize("joins", [1, pytest.param(JOINS, marks=pytest.mark.soak)])
def test_joining_and_finding_survive_the_loss_of_every_third_datagram(
    village: Village, joins: int
) -> None:
    producer = village.node("one", "--services", "stt/cpu/echo")
    producer.published("direct")
    village.lab.udp_loss(None, 0.3)
    for _ in range(joins):
        answer = village.ask("client", "list")
        assert answer.code == 0, answer.text
        assert [r["peer"] for r in answer.said["records"]] == [producer.peer]


@pytest.mark.every_world("private-ipv4", "public-ipv46")
def test_a_producer_joins_and_is_found_although_every_third_datagram_is_lost(
    village: Village,
) -> None:
    village.lab.udp_loss(None, 0.3)
    producer = village.node("one", "--services", "stt/cpu/echo")
    producer.published("direct")
    answer = village.ask("client", "list")
    assert [r["peer"] for r in answer.said["records"]] == [producer.peer], answer.text


def test_a_job_is_done_although_every_tenth_packet_is_lost(
    village: Village, tmp_path: Path
) -> None:
    village.node("one", "--services", "stt/cpu/echo").published("direct")
    village.lab.loss("client", 0.1)
    answer = village.transcribe("client", write_tone(tmp_path / "long.wav", 20.0)).answer()
    assert answer.code == 0, answer.text
    assert answer.transcript == "20.00 seconds of sound"


@pytest.mark.quiet
def test_a_job_whose_producer_is_killed_is_done_by_another(village: Village, tone: Path) -> None:
    one = village.node("one", "--services", f"stt/cpu/echo:{JOB}")
    two = village.node("two", "--services", f"stt/cpu/echo:{JOB}")
    one.published("direct"), two.published("direct")
    undisturbed = village.transcribe("client", tone, "--prefer", one.peer).answer()
    assert undisturbed.said["producer"] == one.peer

    here = one.program.here()
    asking = village.transcribe("client", tone, "--prefer", one.peer)
    one.program.wait_for("stt begun", since=here)
    one.program.kill()
    answer = asking.answer()
    assert answer.code == 0, answer.text
    assert answer.said["producer"] == two.peer
    assert answer.transcript == undisturbed.transcript
    assert answer.seconds < undisturbed.seconds + 3.0


@pytest.mark.quiet
@pytest.mark.every_world("private-ipv4", "public-ipv46")
def test_a_job_whose_producer_falls_silent_is_given_to_another_within_six_seconds(
    village: Village, tone: Path
) -> None:
    one = village.node("one", "--services", f"stt/cpu/echo:{JOB}")
    two = village.node("two", "--services", "stt/cpu/echo")
    one.published("direct"), two.published("direct")

    asking = village.transcribe("client", tone, "--prefer", one.peer)
    one.program.wait_for("stt begun")
    village.lab.blackhole("one")
    answer = asking.answer()
    assert answer.code == 0, answer.text
    assert answer.said["producer"] == two.peer
    assert answer.seconds < 6.0 + 2.0, "from the start, joining and finding included"


@pytest.mark.soak
def test_a_frozen_producer_is_left_within_six_seconds(village: Village, tone: Path) -> None:
    one = village.node("one", "--services", f"stt/cpu/echo:{JOB}")
    two = village.node("two", "--services", "stt/cpu/echo")
    one.published("direct"), two.published("direct")

    asking = village.transcribe("client", tone, "--prefer", one.peer)
    one.program.wait_for("stt begun")
    one.program.freeze()
    answer = asking.answer()
    assert answer.said["producer"] == two.peer, answer.text
    assert answer.seconds < 6.0 + 2.0


@pytest.mark.quiet
def test_a_producer_whose_client_is_killed_is_idle_again_within_a_second(
    village: Village, tone: Path
) -> None:
    one = village.node("one", "--services", "stt/cpu/echo:30")
    one.published("direct")
    asking = village.transcribe("client", tone)
    one.program.wait_for("stt begun")
    asking.program.kill()
    one.program.wait_for("stt cancelled", seconds=1.0)


@pytest.mark.soak
def test_a_partitioned_client_says_that_there_is_nobody_to_join_through(village: Village) -> None:
    village.lab.partition(["client"], ["first"])
    assert village.ask("client", "list").code == 3
    village.lab.heal()
    assert village.ask("client", "list").code == 0
