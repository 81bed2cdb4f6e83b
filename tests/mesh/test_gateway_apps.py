"""Apps that know nothing of us, unmodified, each in an environment of its own, at one gateway.

The gateway and the producers are processes; what an app gets is compared with what the engines say
in this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
from kit import HOST, outside
from open_engines import EARS, PITCH, VOICE, WORD, knows_open_engines
from running import Lab
from tone_talk import Talk, talk
from tone_words import words

from privox_dht.audio.decoding import decode

sys.path.insert(0, str(Path(__file__).parents[1]))

from pythons import found, supported

HERE = Path(__file__).parent
SPOKEN = 10  # words that each app has spoken
RATE = 24_000  # Hz of raw PCM, as all of them take it
SECONDS = SPOKEN * WORD / 2 / 16_000
INSTALL_WITHIN = 900.0  # seconds; Home Assistant brings a hundred packages
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1200)]

APPS = {  # what runs, what it needs
    "use_openai.py": ("openai",),
    "use_livekit.py": ("livekit-plugins-openai",),
    "use_pipecat.py": ("pipecat-ai[openai]",),
    "use_speech_recognition.py": ("SpeechRecognition[openai]",),
    "use_langchain.py": (
        "langchain-community", "openai", "pydub", "imageio-ffmpeg",
        "audioop-lts; python_version >= '3.13'",
    ),
}  # fmt: skip


class OneGateway:
    """A gateway of processes, and a recording with what is heard in it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, *, lends: bool = True) -> None:
        folder.mkdir()
        knows_open_engines(folder, patch)
        self.lab = Lab(folder / "lab")
        if lends:
            self.lend()
        self._node = self.lab.node("gateway", "--gateway", f"{HOST}:0", "--wyoming", f"{HOST}:0")
        self.url = f"http://{HOST}:{self._node.wait_for('gateway')['port']}"
        self.wyoming = f"{HOST}:{self._node.wait_for('wyoming')['port']}"
        self.said: Talk = talk(3, ("talk", 4.0))
        self.wav = self.said.write(folder / "clip.wav")
        pcm = (self.said.sound / 32_768).astype(numpy.float32)
        self.text = " ".join(word.text for word in words(pcm))
        assert self.text == self.said.text

    def lend(self) -> None:
        self.lab.producer("producer", f"{EARS},{VOICE}", "--slots", "4")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneGateway]:
    with pytest.MonkeyPatch.context() as patch:
        one = OneGateway(tmp_path_factory.mktemp("gateway") / "tones", patch)
        with one.lab:
            yield one


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def installed(folder: Path, *what: str) -> Path:
    """An environment, made by the script."""
    script = ("sh", str(HERE / "install_apps.sh"), str(folder), *what)
    ran = subprocess.run(
        script, capture_output=True, text=True, timeout=INSTALL_WITHIN, check=False,
        env=outside(os.environ),
    )  # fmt: skip
    if ran.returncode:
        pytest.skip(f"not installed: {(ran.stderr or ran.stdout).strip()[-300:]}")
    if (folder / "bin").exists():
        listed = subprocess.check_output(
            [folder / "bin/python", "-m", "pip", "list", "--format", "freeze"], text=True
        )
        named = {name.partition("[")[0].lower() for name in (*what[1:], "homeassistant", "wyoming")}
        print([line for line in listed.splitlines() if line.split("==")[0].lower() in named])
    return folder


def ran(folder: Path, *command: str) -> bytes:
    """What an app printed."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=120, check=False,
        env=outside({**os.environ, "PATH": path, "PYTHONPATH": ""}),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()[-3000:]
    return ended.stdout


def pitch_of(pcm: numpy.ndarray, rate: int) -> float:
    """Hz of the tone that is loudest."""
    spectrum = numpy.abs(numpy.fft.rfft(pcm * numpy.hanning(pcm.size)))
    return float(spectrum.argmax() * rate / pcm.size)


@pytest.mark.parametrize("app", APPS)
def test_an_app_hears_and_speaks(app: str, gateway: OneGateway, tmp_path: Path) -> None:
    folder = installed(tmp_path / "app", sys.executable, *APPS[app])
    program = str(HERE / "apps" / app)
    told = json.loads(ran(folder, "bin/python", program, gateway.url, str(gateway.wav)))
    assert told["text"] == gateway.text
    assert told.get("streamed", gateway.text) == gateway.text
    assert told.get("wav", SPOKEN * WORD + 44) == SPOKEN * WORD + 44
    if "rate" in told:
        assert told["rate"] == RATE
        pcm = numpy.frombuffer((folder / "spoken.pcm").read_bytes(), "<i2").astype(float)
        assert pcm.size / RATE == pytest.approx(SECONDS, abs=0.05)
        assert pitch_of(pcm, RATE) == pytest.approx(PITCH, abs=2.0)


def test_the_libraries_for_javascript(gateway: OneGateway, tmp_path: Path) -> None:
    folder = installed(tmp_path / "app", "npm", "openai@6", "@ai-sdk/openai@3", "ai@6")
    told = json.loads(ran(folder, "node", "use_openai.mjs", gateway.url, str(gateway.wav)))
    sound, said = 2 * WORD, gateway.said
    assert told["text"] == told["streamed"] == gateway.text
    lines = [block.split("\n", 2)[2] for block in told["srt"].strip().split("\n\n")]
    assert " ".join(" ".join(lines).split()) == gateway.text
    assert told["words"] == gateway.text.split()
    assert told["wav"] == told["sdkWav"] == sound + 44
    assert told["pcm"] == pytest.approx(sound * RATE / 16_000, rel=0.01)
    assert {"open-tones:tones", "open-voice:low"} <= set(told["models"])
    assert told["error"] == ["NotFoundError", 404, "model_not_found"]
    assert told["sdk"][:2] == [gateway.text, pytest.approx(said.seconds, abs=0.01)]


def test_wyoming_bench_hears_and_speaks_streamed_and_not(
    gateway: OneGateway, tmp_path: Path
) -> None:
    folder = installed(tmp_path / "app", sys.executable, "wyoming-bench")
    bench = partial(ran, folder, "bin/wyoming-bench")
    samples = folder / "samples"
    samples.mkdir()
    (samples / "a.wav").write_bytes(gateway.wav.read_bytes())
    bench("seed-corpus", gateway.wyoming, "--corpus", str(samples), "--trailing-silence", "0")
    assert (samples / "a.txt").read_text().strip() == gateway.text
    assert "privox" in bench("info", gateway.wyoming).decode()
    for what in ("stt", "tts"):
        more = ("--corpus", str(samples)) if what == "stt" else ("--texts", "One two. Three four.")
        told = bench(what, gateway.wyoming, *more, "--rounds", "2", "-v").decode()
        print(told)
        assert told.count("] ok=2 fail=0") == 2, "not streamed, and streamed"
        assert what == "tts" or told.count("WER=0.0%  CER=0.0%  SAR=100.0%") == 2
    for mode in ("non_streaming", "streaming"):
        out = ("--out", str(folder / mode), "--mode", mode, "--texts", "a b c. d e f. g h i j")
        bench("generate-corpus", gateway.wyoming, *out)
        (file,) = (folder / mode).glob("*.wav")
        pcm = decode(file.read_bytes(), RATE)
        assert pcm.size / RATE == pytest.approx(SECONDS, abs=0.01)
        assert pitch_of(pcm, RATE) == pytest.approx(PITCH, abs=2.0)


class HomeAssistant:
    """Its process."""

    def __init__(self, folder: Path, one: OneGateway) -> None:
        self.folder = folder
        program = str(HERE / "apps" / "use_home_assistant.py")
        path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [folder / "bin/python", program, one.wyoming, str(one.wav)], cwd=folder,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=outside({**os.environ, "PATH": path, "PYTHONPATH": ""}),
            )  # fmt: skip

    def __enter__(self) -> HomeAssistant:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()

    def does(self, what: str) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin and stdout
        stdin.write(f"{what}\n".encode())
        stdin.flush()
        line = stdout.readline()
        assert line, (self.folder / "log").read_text()[-3000:]
        told: dict[str, Any] = json.loads(line)
        return told

    def sets_up(self) -> None:
        told = self.does("set up")
        assert told == {
            "type": "create_entry", "title": "privox", "states": ["loaded"],
            "entities": ["stt.privox", "tts.privox"],
        }  # fmt: skip

    def hears_and_speaks(self, one: OneGateway) -> None:
        assert self.does("hear") == {"text": one.text, "result": "success"}
        kind = self.does("speak")["kind"]
        pcm = decode((self.folder / f"spoken.{kind}").read_bytes(), RATE)
        assert pcm.size / RATE == pytest.approx(SECONDS, abs=0.15)
        assert pitch_of(pcm, RATE) == pytest.approx(PITCH, abs=2.0)


@pytest.fixture(scope="module")
def home_assistant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its environment: the newest version that some Python of this machine takes."""
    python = next(filter(None, map(found, reversed(supported()))), sys.executable)
    return installed(tmp_path_factory.mktemp("ha") / "app", "homeassistant", python)


def test_home_assistant_hears_and_speaks(gateway: OneGateway, home_assistant: Path) -> None:
    with HomeAssistant(home_assistant, gateway) as ha:
        ha.sets_up()
        ha.hears_and_speaks(gateway)


def test_home_assistant_that_was_set_up_while_the_mesh_was_empty_works_once_it_is_not(
    home_assistant: Path, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Without a restart of either."""
    one = OneGateway(tmp_path / "tones", patch, lends=False)
    with one.lab, HomeAssistant(home_assistant, one) as ha:
        ha.sets_up()
        assert ha.does("hear") == {"text": None, "result": "error"}
        one.lend()
        ha.hears_and_speaks(one)
