"""Ten sentences from text to speech to a WAV file and back to text: who understands whom.

    speakers    espeak-ng, pico, piper (en_US-joe-medium), flite (where it is on the PATH)
    listeners   pocketsphinx, faster-whisper (tiny.en)

Of each pair: the share of words that came back right and in order; of each engine: how many times
faster than speech it works, when its first word or sound is there, how late the event loop was
meanwhile, and how much memory the process and its workers have gained.

Exits with 1 when the embedded pair is under its aim.
"""

import asyncio
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import wave
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench import real_models
from bench.loop_lag import lateness
from bench.measure import options
from nodes.demo import VOICE, words_right
from nodes.engines import make_engines
from privox_dht.audio import decode, wav
from privox_dht.errors import EngineUnavailable
from privox_dht.speech import AudioChunk, SpeechRequest, TranscriptionRequest

AIM = 0.8  # share of words that the embedded pair gets right, at the median
EMBEDDED = (VOICE, "pocketsphinx")
SENTENCES = (
    "The quick brown fox jumps over the lazy dog.",
    "Please open the window before you go to bed tonight.",
    "A machine on the other side of the world is speaking to you.",
    "We will meet at the station at half past seven.",
    "The weather is nice today, but it may rain tomorrow.",
    "She sells fresh bread and butter at the market.",
    "Nobody knows how many stars there are in the sky.",
    "My neighbor has a small garden behind his house.",
    "The children were playing in the street until dark.",
    "It is never too late to learn something new.",
)
MIB = 1 << 20


@dataclass
class Pair:
    """How a listener understood a speaker."""

    speaker: str
    listener: str
    shares: list[float]  # of the words of each sentence that came back right
    heard: list[str]

    @property
    def median(self) -> float:
        return statistics.median(self.shares)


@dataclass
class Work:
    """How an engine worked; all seconds."""

    engine: str
    audio: float = 0.0  # spoken, or listened to
    took: float = 0.0
    firsts: list[float] = field(default_factory=list)  # until the first sound or words of a job
    late: list[float] = field(default_factory=list)  # how late the loop was, at its worst in a job
    memory: float = 0.0  # MiB that this process and its workers have gained

    @property
    def speed(self) -> float:
        return self.audio / max(self.took, 1e-9)

    @property
    def first(self) -> float:
        return statistics.median(self.firsts)

    @property
    def worst_late(self) -> float:
        return max(self.late)


@dataclass
class Table:
    """All that was measured, and what could not be."""

    pairs: list[Pair] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def pair(self, speaker: str, listener: str) -> Pair:
        return next(p for p in self.pairs if (p.speaker, p.listener) == (speaker, listener))

    def work(self, engine: str) -> Work:
        return next(w for w in self.works if w.engine == engine)


class Flite:
    """flite, where it is installed: to compare with, not to lend."""

    async def start(self) -> None:
        if shutil.which("flite") is None:
            raise EngineUnavailable("flite is not on the PATH", "install it")

    async def close(self) -> None:
        """Nothing is left of it."""

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        command = ["flite", "-voice", "rms", "-t", request.text, "-o", "/dev/stdout"]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
        with wave.open(io.BytesIO(ran.stdout)) as file:
            yield AudioChunk(file.getframerate(), file.readframes(file.getnframes()))


SPEAKERS: dict[str, Callable[[], Any]] = {
    "espeak-ng": lambda: make_engines("tts", "cpu", "espeak-ng")[0],
    "pico": lambda: make_engines("tts", "cpu", "pico")[0],
    "piper": lambda: make_engines("tts", "cpu", f"piper:{real_models.joe()}")[0],
    "flite": Flite,
}
LISTENERS: dict[str, Callable[[], Any]] = {
    "pocketsphinx": lambda: make_engines("stt", "cpu", "pocketsphinx")[0],
    "faster-whisper": lambda: make_engines("stt", "cpu", f"faster-whisper:{real_models.tiny_en()}")[
        0
    ],
}


async def main() -> int:
    given = options(__doc__ or "")
    load = os.getloadavg()[0]
    table = await measured()
    embedded = table.pair(*EMBEDDED)
    if given.json:
        rows = [asdict(pair) for pair in table.pairs], [asdict(work) for work in table.works]
        worst = min(embedded.shares)
        told = {"median": embedded.median, "worst": worst, "aim": AIM, "missing": table.missing}
        told["load"] = load
        print(json.dumps(told | {"pairs": rows[0], "engines": rows[1]}))
    else:
        _show(table)
        print(f"before it began {load:.1f} programs were busy on {os.cpu_count()} cores")
    return 0 if embedded.median >= AIM else 1


async def measured(
    speakers: Sequence[str] = tuple(SPEAKERS),
    listeners: Sequence[str] = tuple(LISTENERS),
    sentences: Sequence[str] = SENTENCES,
) -> Table:
    """Every sentence by every speaker, to every listener."""
    table = Table()
    async with AsyncExitStack() as stack:
        spoken = {}
        for name in speakers:
            if (engine := await _started(SPEAKERS[name], name, table, stack)) is not None:
                spoken[name] = [await _spoken(engine, s, table.work(name)) for s in sentences]
        for name in listeners:
            if (engine := await _started(LISTENERS[name], name, table, stack)) is None:
                continue
            for speaker, files in spoken.items():
                heard = [await heard_by(engine, file, table.work(name)) for file in files]
                rights = map(words_right, sentences, heard)
                shares = [right / words for right, words in rights]
                table.pairs.append(Pair(speaker, name, shares, heard))
    return table


async def heard_by(engine: Any, file: bytes, work: Work) -> str:
    """The words that an engine hears in a sound file."""
    pcm = await asyncio.to_thread(decode, file, engine.rate)
    texts: list[str] = []
    async with lateness() as late:
        began = time.perf_counter()
        async for segment in engine.transcribe(pcm, TranscriptionRequest()):
            if not texts:
                work.firsts.append(time.perf_counter() - began)
            texts.append(segment.text)
        work.took += time.perf_counter() - began
    work.audio += len(pcm) / engine.rate
    work.late.append(max(late, default=0.0))
    return " ".join(texts)


async def _spoken(engine: Any, text: str, work: Work) -> bytes:
    """`text` as a WAV file."""
    sounds: list[AudioChunk] = []
    async with lateness() as late:
        began = time.perf_counter()
        async for sound in engine.speak(SpeechRequest(text)):
            if not sounds:
                work.firsts.append(time.perf_counter() - began)
            sounds.append(sound)
        work.took += time.perf_counter() - began
    work.audio += sum(sound.seconds for sound in sounds)
    work.late.append(max(late, default=0.0))
    return wav(b"".join(sound.pcm for sound in sounds), sounds[0].rate)


async def _started(
    make: Callable[[], Any], name: str, table: Table, stack: AsyncExitStack
) -> Any | None:
    before = _memory()
    try:
        engine = make()
        await engine.start()
    except (EngineUnavailable, real_models.NotTheModel) as exc:
        table.missing.append(f"{name}: {exc}")
        return None
    stack.push_async_callback(engine.close)
    table.works.append(Work(name, memory=_memory() - before))
    return engine


def _memory() -> float:
    """MiB that this process and its workers have for themselves."""
    ours = psutil.Process()
    used = 0
    for process in (ours, *ours.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):  # a worker's copy, whose job has ended
            used += process.memory_full_info().uss
    return used / MIB


def _show(table: Table) -> None:
    listeners = list(dict.fromkeys(pair.listener for pair in table.pairs))
    print("words right, median / mean / worst sentence")
    print(f"{'':12}" + "".join(f"{name:>24}" for name in listeners))
    for speaker in dict.fromkeys(pair.speaker for pair in table.pairs):
        cells = [_cell(table.pair(speaker, listener)) for listener in listeners]
        print(f"{speaker:12}" + "".join(f"{cell:>24}" for cell in cells))
    print(f"\n{'':16}{'times speech':>14}{'first, s':>10}{'loop late, ms':>15}{'memory, MiB':>13}")
    for work in table.works:
        numbers = f"{work.speed:14.1f}{work.first:10.3f}{work.worst_late * 1e3:15.1f}"
        print(f"{work.engine:16}{numbers}{work.memory:13.0f}")
    for line in table.missing:
        print(f"not measured: {line}")
    print(f"\naim: {EMBEDDED[0]} to {EMBEDDED[1]}, median {AIM:.0%}")


def _cell(pair: Pair) -> str:
    shares = pair.shares
    return f"{pair.median:.0%} / {statistics.mean(shares):.0%} / {min(shares):.0%}"


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
