"""How late the event loop is while an engine works on half a minute of sound.

A node answers pings from the loop that its engines share. Beside each job, a probe asks the loop
to wake it every few milliseconds, and notes by how much it is late.

    nothing         the machine by itself
    faster-whisper  a model with the size of "base", made here, that says a fixed text
    piper           a tiny voice, made here: the phonemes are what takes time
    decoder         half a minute of MP3, in a thread, as every upload is
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.measure import options
from nodes.engines import make_engines
from privox_dht import audio, errors
from privox_dht.speech import SpeechRequest, TranscriptionRequest

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))
import tiny_piper
import tiny_whisper

AIM = 0.050  # seconds; the most that the loop may ever be late
EVERY = 0.002  # seconds between two looks of the probe
SECONDS = 30  # of audio in each job
SENTENCE = "The quick brown fox jumps over the lazy dog, and nobody knows why it does. "
RATE = 16_000  # Hz
WIDTH, LAYERS = 512, 6  # the size of Whisper's "base"

Work = Callable[[], Awaitable[None]]


@dataclass
class Lag:
    """How late the loop was during one job; seconds."""

    what: str
    took: float = 0.0
    median: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    missing: str = ""  # why it could not be measured

    @property
    def good(self) -> bool:
        return bool(self.missing) or self.worst <= AIM


async def main() -> int:
    given = options(__doc__ or "")
    with tempfile.TemporaryDirectory(prefix="privox-bench-") as folder:
        speech = await _spoken()
        rows = [await _measured("nothing", lambda: asyncio.sleep(3))]
        rows.append(await _measured("decoder", lambda: _decode(speech)))
        for service, what in (
            ("stt", "pocketsphinx"),
            ("tts", "espeak-ng"),
            ("tts", "pico"),
            ("stt", f"faster-whisper:{Path(folder, 'base')}"),
            ("tts", f"piper:{Path(folder, 'voice.onnx')}"),
        ):
            rows.append(await _engine(service, what, speech))
    if given.json:
        print(json.dumps({"aim": AIM, "rows": [asdict(row) for row in rows]}))
    else:
        _show(rows)
    return 0 if all(row.good for row in rows) else 1


async def _engine(service: str, what: str, speech: Any) -> Lag:
    name, _, model = what.partition(":")
    try:
        if name == "faster-whisper":
            base = partial(tiny_whisper.make, width=WIDTH, layers=LAYERS)
            await asyncio.to_thread(base, Path(model))
        elif name == "piper":
            tiny_piper.make(Path(model))
        async with _started(service, what) as engine:
            work = _hear(engine, speech) if service == "stt" else _say(engine)
            return await _measured(name, work)
    except (ImportError, errors.EngineUnavailable) as exc:
        return Lag(name, missing=str(exc))


async def _measured(what: str, work: Work) -> Lag:
    began = time.perf_counter()
    async with lateness() as late:
        await work()
    took = time.perf_counter() - began
    late.sort()
    return Lag(what, took, statistics.median(late), late[int(len(late) * 0.99)], late[-1])


@asynccontextmanager
async def lateness(work: list[float] | None = None) -> AsyncIterator[list[float]]:
    """By how many seconds the loop was late, each time it was asked to wake us.

    Args:
        work: gets the seconds of processor time that the loop's thread took in between, which
            other work on the machine does not change.
    """
    late: list[float] = []

    async def probe() -> None:
        while True:
            due, worked = time.perf_counter() + EVERY, time.thread_time()
            await asyncio.sleep(EVERY)
            late.append(time.perf_counter() - due)
            if work is not None:
                work.append(time.thread_time() - worked)

    probing = asyncio.create_task(probe())
    try:
        yield late
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)


def _hear(engine: Any, pcm: Any) -> Work:
    async def work() -> None:
        async for _ in engine.transcribe(pcm, TranscriptionRequest(words=True)):
            pass

    return work


def _say(engine: Any) -> Work:
    async def work() -> None:
        seconds = 0.0
        while seconds < SECONDS:
            async for sound in engine.speak(SpeechRequest(SENTENCE * 6)):
                seconds += sound.seconds

    return work


async def _decode(pcm: Any) -> None:
    encoder = audio.Encoder("mp3", RATE)
    samples = (pcm * 32_767).astype("<i2").tobytes()
    file = await asyncio.to_thread(lambda: encoder.feed(samples) + encoder.finish())
    await asyncio.to_thread(audio.decode, file, RATE)


async def _spoken() -> Any:
    """Half a minute of speech."""
    async with _started("tts", "espeak-ng") as voice:
        sounds = [sound async for sound in voice.speak(SpeechRequest(SENTENCE * 8))]
    pcm = b"".join(sound.pcm for sound in sounds)
    return audio.decode(audio.wav(pcm, sounds[0].rate), RATE)[: SECONDS * RATE]


@asynccontextmanager
async def _started(service: str, what: str) -> AsyncIterator[Any]:
    engine = make_engines(service, "cpu", what)[0]
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def _show(rows: list[Lag]) -> None:
    print(f"{'lag of the loop, ms':20} {'median':>8} {'p99':>8} {'worst':>8} {'job, s':>8}")
    for row in rows:
        if row.missing:
            print(f"{row.what:20} {row.missing}")
            continue
        numbers = (row.median * 1e3, row.p99 * 1e3, row.worst * 1e3, row.took)
        print(f"{row.what:20} " + " ".join(f"{n:8.2f}" for n in numbers), end="")
        print("" if row.good else "   over the aim")
    print(f"aim: worst under {AIM * 1e3:.0f} ms")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
