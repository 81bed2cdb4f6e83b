"""Long recordings scattered over producers: real processes, words made of sound."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import until
from running import Lab, answer, peer_of, silence
from tone_talk import Hearing, Talk, knows_tones, talk
from tone_words import RATE

from privox_dht import audio, limits
from privox_dht.speech import Word

pytestmark = pytest.mark.timeout(120)
TONES = ("--model", "tone-words")


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


class Mesh:
    """Some producers that hear tones."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, count: int, speed: float) -> None:
        folder.mkdir(exist_ok=True)
        knows_tones(folder, patch)
        self.lab = Lab(folder)
        try:
            self.all = [Hearing(self.lab, f"p{n}", patch, speed=speed) for n in range(count)]
            for one in self.all:
                one.node.wait_for("published", within=150)
        except BaseException:
            self.lab.__exit__()
            raise

    def __enter__(self) -> Mesh:
        return self

    def __exit__(self, *exc: object) -> None:
        self.lab.__exit__(*exc)

    def transcribe(self, file: Path, *more: str) -> subprocess.CompletedProcess[bytes]:
        return self.lab.client("--service", "stt", "--file", str(file), *TONES, *more)

    @property
    def given(self) -> float:
        """Seconds of sound that all of them got."""
        return sum(sum(one.given) for one in self.all)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Three producers, for tests that change nothing in them."""
    with (
        pytest.MonkeyPatch.context() as patch,
        Mesh(tmp_path_factory.mktemp("shared"), patch, 3, speed=100) as mesh,
    ):
        yield mesh


@pytest.fixture(scope="module")
def said() -> Talk:
    return talk(1, ("talk", 60), ("breathless", 40), ("silence", 20), ("talk", 30))


def check(told: dict[str, Any], said: Talk) -> None:
    """All words, in order, each in its place."""
    words = told["transcript"]["words"]
    assert [word["word"] for word in words] == [word.text for word in said.words]
    for word, truth in zip(words, said.words, strict=True):
        assert word["start"] == pytest.approx(truth.start, abs=0.05)
        assert word["end"] == pytest.approx(truth.end, abs=0.05)


def test_all_words_come_back_in_order_and_in_their_places(
    shared: Mesh, said: Talk, tmp_path: Path
) -> None:
    before = shared.given
    told = answer(shared.transcribe(said.write(tmp_path / "a.wav"), "--json", "--words"))
    check(told, said)
    assert told["producer"] == "several"
    assert len(told["producers"]) == 3
    assert sum(told["producers"].values()) == len(told["attempts"])
    assert shared.given - before < 1.15 * said.seconds


def _peer(mesh: Mesh, number: int) -> str:
    return peer_of(mesh.all[number].node)


def test_strangers_are_told_of_once_and_never_means_one_producer(
    shared: Mesh, said: Talk, tmp_path: Path
) -> None:
    wav, state = said.write(tmp_path / "a.wav"), str(tmp_path / "state")
    runs = [shared.transcribe(wav, "--state-dir", state) for _ in range(2)]
    assert b"each of 3 strangers may hear a part of this recording" in runs[0].stderr
    assert runs[1].stderr == b""
    told = answer(shared.transcribe(wav, "--json", "--scatter", "never"))
    assert told["producer"] in {_peer(shared, n) for n in range(3)}
    assert told["transcript"]["text"] == said.text == runs[0].stdout.decode().strip()


def test_more_than_one_job_takes_is_cut_although_one_producer_does_all_of_it(
    shared: Mesh, said: Talk, tmp_path: Path
) -> None:
    """257 MiB: it was refused, also where many could do it."""
    wav, size, rate = tmp_path / "a.wav", limits.MAX_UPLOAD + (1 << 20), 3 * RATE
    with wav.open("wb") as file:
        file.write(audio.wav(b"", rate)[:40] + (size - 44).to_bytes(4, "little"))
        file.write(said.sound.repeat(3).tobytes())
        file.truncate(size)  # silence to the end
    told = answer(shared.transcribe(wav, "--json", "--words", "--only", _peer(shared, 0)))
    check(told, said)
    assert list(told["producers"]) == [_peer(shared, 0)]
    ran = shared.transcribe(wav, "--scatter", "never")
    assert ran.returncode == 6 and b"larger than 256 MiB" in ran.stderr


def test_silence_is_sent_to_nobody(shared: Mesh, tmp_path: Path) -> None:
    before = shared.given
    ran = shared.transcribe(silence(tmp_path / "s.wav", 90), "--format", "srt")
    assert (ran.returncode, ran.stdout) == (0, b"")
    assert b"no speech was heard in 1.5 minutes of sound" in ran.stderr
    assert shared.given == before


def test_of_a_file_that_breaks_off_after_twelve_minutes_what_is_there_is_kept(
    shared: Mesh, tmp_path: Path
) -> None:
    said = talk(5, ("talk", 720), ("talk", 20))
    whole = said.write(tmp_path / "a.wav").read_bytes()
    broken, out = tmp_path / "broken.wav", tmp_path / "broken.txt"
    broken.write_bytes(whole[: 44 + 720 * 16_000 * 2])
    ran = shared.transcribe(broken, "--output", str(out))
    assert ran.returncode == 6
    assert b"the recording breaks off at 12:00" in ran.stderr
    assert out.read_text().split() == [word.text for word in said.words if word.end < 720]


def test_ctrl_c_and_the_same_command_again_ask_for_each_piece_once(
    shared: Mesh, tmp_path: Path
) -> None:
    said = talk(6, ("talk", 250))
    wav, out, part = said.write(tmp_path / "a.wav"), tmp_path / "a.srt", tmp_path / "a.srt.part"
    job = ("--service", "stt", "--file", str(wav), *TONES, "--output", str(out))
    before = shared.given
    client = shared.lab.start_client(*job, "--jobs", "1")
    asyncio.run(until(out.exists))
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=20)
    assert client.returncode == 130, err
    assert b"is in " in err and b"; the same command goes on from there" in err
    heard = out.read_text()
    ran = shared.lab.client(*job)
    assert ran.returncode == 0 and b" were done before; going on from there" in ran.stderr
    assert shared.given - before < 1.15 * said.seconds + 30, "one piece at most was lost"
    assert out.read_text().startswith(heard[: len(heard) // 2]) and not part.exists()
    shared.transcribe(wav, "--output", str(tmp_path / "b.srt"))
    assert out.read_text() == (tmp_path / "b.srt").read_text()


def test_without_pyav_it_goes_whole_to_one_and_the_command_is_named(
    shared: Mesh, said: Talk, tmp_path: Path
) -> None:
    wav = said.write(tmp_path / "a.wav")
    arguments = shared.lab.command("--service", "stt", "--file", str(wav), *TONES, "--json")[3:]
    program = (
        "import sys; sys.modules['av'] = None; sys.argv[1:] = sys.argv[1:]\n"
        "from client.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, timeout=40, check=False
    )
    assert answer(ran)["transcript"]["text"] == said.text
    assert b"goes to one producer (PyAV is not installed here: pip install" in ran.stderr


def once(said: Talk, after: float) -> Word:
    """A word that is said once, after so many seconds."""
    counts = Counter(word.text for word in said.words)
    return next(w for w in said.words if w.start > after and counts[w.text] == 1)


def test_a_piece_on_which_two_die_is_tried_once_more_and_left_out_after_a_third(
    said: Talk, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Each a process that is gone; six are there, and one is left."""
    wav = said.write(tmp_path / "a.wav")
    with Mesh(tmp_path / "lab", patch, 6, speed=50) as mesh:
        (mesh.lab.folder / "deadly").write_text(f"{once(said, 30).text} 2")
        check(answer(mesh.transcribe(wav, "--json", "--words")), said)
        word = once(said, 40)
        (mesh.lab.folder / "deadly").write_text(f"{word.text} 3")
        ran = mesh.transcribe(wav)
        dead = [one for one in mesh.all if one.node.process.poll() is not None]
    assert ran.returncode == 5
    assert len(dead) == 5
    text, kept = ran.stdout.decode().split(), [one.text for one in said.words]
    before = next(n for n, (a, b) in enumerate(zip(text, kept, strict=False)) if a != b)
    after = len(text) - before
    assert before > 20
    assert after > 20
    assert text[before:] == kept[-after:], "only one stretch is missing"
    assert word.text in kept[before:-after]
    assert re.search(rb"no producer could transcribe [01]:\d\d to [01]:\d\d", ran.stderr), (
        ran.stderr
    )


def test_one_is_killed_one_hangs_and_one_fails_every_second_piece(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """In mid-job. The one that hangs goes on with its heartbeats."""
    said = talk(2, ("talk", 150), ("breathless", 50), ("silence", 40), ("talk", 100))
    wav = said.write(tmp_path / "a.wav")
    with Mesh(tmp_path / "lab", patch, 4, speed=10) as mesh:
        killed, hung, failing, *_ = mesh.all
        job = ("--service", "stt", "--file", str(wav), *TONES, "--json", "--words")
        client = mesh.lab.start_client(*job)
        for one in mesh.all:
            one.has_worked(1)
        hung.is_told("hang")
        failing.is_told("fail")
        killed.node.process.kill()
        out, err = client.communicate(timeout=60)
        assert client.returncode == 0, err
        told = json.loads(out)
        check(told, said)
    outcomes = {attempt["outcome"] for attempt in told["attempts"]}
    assert {"done", "failed", "lost"} <= outcomes
