"""Recordings of words made of tones, each known with its time; and nodes that hear them."""

import os
import random
import time
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from running import Lab
from tone_words import CONTROL, RATE, SYLLABLES, TONES

from nodes.demo import RunningNode
from privox_dht.speech import Word

FADE = 0.004  # seconds at either end of a word
LOUDNESS = 0.3  # of full scale
HERE = Path(__file__).parent


@dataclass
class Talk:
    """A recording and what is said in it."""

    sound: NDArray[np.int16]
    words: list[Word]

    @property
    def seconds(self) -> float:
        return self.sound.size / RATE

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def write(self, path: Path) -> Path:
        """As a WAV file."""
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(self.sound.tobytes())
        return path


def talk(seed: int, *parts: tuple[str, float]) -> Talk:
    """Parts such as ("talk", 60), ("breathless", 20) and ("silence", 30), so many seconds each."""
    rng = random.Random(seed)
    total = sum(seconds for _, seconds in parts)
    sound = np.zeros(round(total * RATE), np.float32)
    said: list[Word] = []
    at = 0.0
    for kind, seconds in parts:
        ends = at + seconds
        while kind != "silence":
            first, second = rng.sample(range(len(SYLLABLES)), 2)
            length = rng.uniform(0.13, 0.26)
            if at + length + 0.05 >= ends:
                break
            begin = round(at * RATE)
            spoken = _word(TONES[first], TONES[second], length)
            sound[begin : begin + spoken.size] = spoken
            said.append(Word(SYLLABLES[first] + SYLLABLES[second], at, at + length))
            pause = rng.uniform(0.04, 0.12)
            if kind == "talk" and rng.random() < 0.07:
                pause = rng.uniform(0.3, 1.0)
            at += length + pause
        at = ends
    return Talk((sound * 32_767).astype(np.int16), said)


def _word(first: float, second: float, seconds: float) -> NDArray[np.float32]:
    size = round(seconds * RATE)
    pitch = np.where(np.arange(size) < size // 2, first, second)
    sound = LOUDNESS * np.sin(np.cumsum(2 * np.pi * pitch / RATE))
    fade = np.minimum(1.0, np.arange(size) / (FADE * RATE))
    return (sound * fade * fade[::-1]).astype(np.float32)


def knows_tones(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Nodes that are started from now on have the engine, as if it were installed."""
    package = folder / "site" / "tone_words-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: tone-words\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[privox_dht.transcribers]\ntone-words = tone_words:ToneWords\n"
    )
    before = os.environ.get("PYTHONPATH", "")
    paths = [str(package.parent), str(HERE), str(HERE.parent), *filter(None, [before])]
    patch.setenv("PYTHONPATH", os.pathsep.join(paths))


class Hearing:
    """A producer that hears tones, and what its engine is told and tells."""

    def __init__(
        self, lab: Lab, name: str, patch: pytest.MonkeyPatch, *arguments: str, speed: float = 20
    ) -> None:
        self.folder = lab.folder / f"{name}-tones"
        self.folder.mkdir()
        patch.setenv(CONTROL, str(self.folder))
        self.node: RunningNode = lab.node(
            name, "--services", f"stt/cpu/tone-words:{speed:g}", *arguments
        )

    def is_told(self, what: str) -> None:
        """To `hang` or to `fail`."""
        (self.folder / what).touch()

    @property
    def given(self) -> list[float]:
        """The seconds of sound of each job it was given."""
        file = self.folder / "sound"
        lines = file.read_text().splitlines() if file.exists() else []
        return [float(line.split()[0]) for line in lines]

    def has_worked(self, jobs: int, within: float = 20.0) -> None:
        """Wait until it was given so many jobs."""
        ends = time.monotonic() + within
        while len(self.given) < jobs:
            assert time.monotonic() < ends, f"{self.node.name} was given {self.given}"
            time.sleep(0.02)
