"""The tests' own engine: it hears words made of two tones each, from the samples alone.

    word     one tone, then another; half a word has one tone, and so is another word
    pause    anything between two words in which nothing sounds

It works at a speed that is part of its name (`stt/cpu/tone-words:20`: 20 times real time), and what
goes wrong with it is said by files in the folder that `TONE_WORDS` names:

    hang     from the next job on it brings nothing
    fail     from the next job on every second one fails
    poison   (beside the folder) over this word it fails, and so does every other
    deadly   (beside the folder) a word and a number: so many nodes die over it, one after the other
    together (beside the folder) a number: no job is done before so many nodes were given one
    sound    a line for each job, which it writes itself: the seconds it was given, and the words
"""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from privox_dht.errors import EngineFailed
from privox_dht.speech import EngineInfo, Segment, TranscriptionRequest, Word

RATE = 16_000  # Hz
CONTROL = "TONE_WORDS"  # the variable that names the folder
LANGUAGE = "TONE_WORDS_LANGUAGE"  # the variable that lists languages; it "hears" the first
SYLLABLES = ["ba", "co", "di", "fu", "ga", "ho", "ki", "lu", "ma", "no", "pi", "ru", "sa", "to"]
TONES = [500.0 + 200.0 * n for n in range(len(SYLLABLES))]  # Hz
STEP = 80  # samples over which loudness is measured: 5 ms
GAP = 0.025  # seconds without sound that divide words
SHORTEST = 0.02  # seconds; shorter sounds are clicks
SENTENCE = 0.28  # seconds of pause that end a segment
WINDOW = 320  # samples of one look at the pitch


class ToneWords:
    """Hears words made of tones."""

    service, name, rank = "stt", "tone-words", 1000
    rate = RATE

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self._speed = float(model or 1000)
        self._folder = Path(os.environ[CONTROL])
        self._jobs = itertools.count()
        languages = tuple(filter(None, os.environ.get(LANGUAGE, "").split(",")))
        self._language = languages[0] if languages else ""
        self.info = EngineInfo("stt", backend, self.name, languages=languages, only_named=True)

    @classmethod
    def check(cls, backend: str) -> None:
        return

    async def start(self) -> None:
        return

    async def close(self) -> None:
        return

    async def transcribe(
        self, pcm: NDArray[np.float32], request: TranscriptionRequest
    ) -> AsyncGenerator[Segment]:
        """The words, a segment for each sentence, as fast as its speed says."""
        heard = await asyncio.to_thread(words, pcm)
        with (self._folder / "sound").open("a") as told:
            told.write(f"{pcm.size / RATE:.3f} {' '.join(word.text for word in heard)}\n")
        number = next(self._jobs)
        if (self._folder / "hang").exists():
            await asyncio.Event().wait()
        if (self._folder / "fail").exists() and number % 2:
            raise EngineFailed("it fails every second job, as it was told to")
        poison = self._folder.parent / "poison"
        if poison.exists() and poison.read_text() in (word.text for word in heard):
            raise EngineFailed("it fails over this word, as it was told to")
        self._may_die(heard)
        await self._others_have_begun()
        began = asyncio.get_running_loop().time()
        for segment in sentences(heard):
            await self._until(began + segment.end / self._speed)
            yield Segment(
                segment.text, segment.start, segment.end,
                segment.words if request.words else (), request.language or self._language,
            )  # fmt: skip
        await self._until(began + pcm.size / RATE / self._speed)

    def _may_die(self, heard: list[Word]) -> None:
        deadly = self._folder.parent / "deadly"
        if not deadly.exists():
            return
        word, times = deadly.read_text().split()
        if word in (one.text for one in heard):
            for number in range(int(times)):
                with contextlib.suppress(FileExistsError):
                    (self._folder.parent / f"died-of-{word}-{number}").touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)

    async def _others_have_begun(self) -> None:
        together = self._folder.parent / "together"
        if together.exists():
            wanted = int(together.read_text())
            begun = self._folder.parent.glob
            while len(list(begun("*/sound"))) < wanted:  # noqa: ASYNC110 - files have no event
                await asyncio.sleep(0.01)

    async def _until(self, when: float) -> None:
        await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))


def sentences(heard: list[Word]) -> list[Segment]:
    """Words between pauses, in one segment each."""
    some: list[list[Word]] = []
    for word in heard:
        if some and word.start - some[-1][-1].end < SENTENCE and len(some[-1]) < 20:
            some[-1].append(word)
        else:
            some.append([word])
    return [
        Segment(" ".join(w.text for w in words), words[0].start, words[-1].end, tuple(words))
        for words in some
    ]


def words(pcm: NDArray[np.float32]) -> list[Word]:
    """All words of `pcm`, with their times."""
    steps = pcm[: pcm.size // STEP * STEP].reshape(-1, STEP)
    loud = np.sqrt((steps**2).mean(axis=1)) > 0.02
    edges = np.flatnonzero(np.diff(loud, prepend=False, append=False)).reshape(-1, 2)
    bursts: list[list[int]] = []
    for begin, end in edges.tolist():
        if bursts and (begin - bursts[-1][1]) * STEP / RATE < GAP:
            bursts[-1][1] = end
        else:
            bursts.append([begin, end])
    pitches = _syllables(pcm)
    return [
        Word(_name(pitches, begin, end), begin * STEP / RATE, end * STEP / RATE)
        for begin, end in bursts
        if (end - begin) * STEP / RATE >= SHORTEST
    ]


def _syllables(pcm: NDArray[np.float32]) -> NDArray[np.int64]:
    """The syllable that sounds from each second step on, for the length of a window."""
    if pcm.size < WINDOW:
        pcm = np.pad(pcm, (0, WINDOW - pcm.size))
    looks = np.lib.stride_tricks.sliding_window_view(pcm, WINDOW)[:: 2 * STEP]
    pitch = np.abs(np.fft.rfft(looks * np.hanning(WINDOW).astype(np.float32), 512))[:, 1:].argmax(1)
    nearest = np.round(((pitch + 1) * RATE / 512 - TONES[0]) / 200).astype(int)
    nearest = nearest.clip(0, len(SYLLABLES) - 1)
    return np.asarray(nearest, np.int64)


def _name(pitches: NDArray[np.int64], begin: int, end: int) -> str:
    """The syllables of a burst of sound, by its steps: those that more than one look agrees on."""
    first, last = (begin + 1) // 2, (end - WINDOW // STEP) // 2 + 1
    looks = pitches[first : max(last, first + 1)].tolist()
    some = [(name, len(list(same))) for name, same in itertools.groupby(looks)]
    clear = [name for name, times in some if times > 1] or [some[0][0]]
    return "".join(SYLLABLES[name] for name, _ in itertools.groupby(clear))
