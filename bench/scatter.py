"""A long recording scattered over 1 to 16 producers, beside the ideal: their engines' time alone.

Nodes are processes and the transport is real (TLS on loopback); the engines only sleep, so that any
number of them fits on this machine: two seconds for each piece of 20 s (`--takes`), which is what a
good processor needs with a small model. Less, and it is this machine that is measured, on which all
nodes and the client share the cores. Ideal: all pieces' sleep, divided by the producers.

Before that a minute of speech, which is too short to be scattered: by a node with pocketsphinx, and
by the same engine without a node. Each process keeps a speed of its own, up to a third apart for
the same work, so there are `--pairs` of new ones, each with `--rounds` in turns; the median of all.
"""

import asyncio
import contextlib
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.measure import Row, medians, options, show
from bench.spoken import spoken
from nodes.demo import RunningNode
from nodes.engines import make_engines
from privox_dht import Mesh
from privox_dht.audio import decode, wav
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.selection import Requirements
from privox_dht.scatter.cut import RATE
from privox_dht.scatter.piece_source import PieceSource
from privox_dht.scatter.scattered_recording import ScatteredRecording
from privox_dht.speech import TranscriptionRequest

HOST = "127.0.0.1"
HEARS = "pocketsphinx"
MINUTE = 60.0  # seconds; what is longer is scattered
SENTENCE = "Good morning everybody, this is a test of the north wind and the sun. "
SPOKEN, PAUSE = 20.0, 0.5  # seconds of sound of each piece, and of the pause that ends it
PRODUCERS = (1, 2, 4, 8, 16)
WIDTH = 60  # characters of the picture


async def main() -> None:
    given = options(__doc__ or "", pieces=32, takes=2.0, pairs=4, rounds=2)
    sound = _recording(given.pieces)
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="privox-bench-") as folder,
        contextlib.ExitStack() as stack,
    ):
        first = await _node(stack, Path(folder, "first"))
        at = first.wait_for("listening")["port"]
        pairs = [
            await _whole_minute(stack, Path(folder, f"ear{pair}"), at, given.rounds)
            for pair in range(given.pairs)
        ]
        ours, peer = map(statistics.median, zip(*pairs, strict=True))
        rows.append(Row("60 s, whole", ours, peer, "s", 1.05))
        lent = 0
        for count in PRODUCERS:
            while lent < count:
                lends = f"stt/cpu/echo:{given.takes}"
                await _node(stack, Path(folder, f"p{lent}"), lends, at)
                lent += 1
            taken = await _scattered(at, sound, count)
            ideal = math.ceil(given.pieces / count) * given.takes
            rows.append(Row(f"{count} producers", taken, ideal, "s", 1.35))
    show("scatter", rows, given.json)
    if not given.json:
        _draw(rows[1:])


async def _node(
    stack: contextlib.ExitStack, folder: Path, lends: str = "", at: int = 0
) -> RunningNode:
    """A node's process, whose records are out."""
    told = ["--neighbours", f"{HOST}:{at}", "--services", lends] if at else []
    node = await asyncio.to_thread(RunningNode, folder.name, told, folder)
    stack.callback(node.stop)
    await asyncio.to_thread(node.wait_for, "published" if at else "listening")
    return node


async def _whole_minute(
    stack: contextlib.ExitStack, folder: Path, at: int, rounds: int
) -> list[float]:
    """Median seconds that a minute takes a new node, and a new engine of this process."""
    node = await _node(stack, folder, f"stt/cpu/{HEARS}", at)
    sound = await _speech(MINUTE)
    pcm = decode(sound, RATE)
    engine: Any = make_engines("stt", "cpu", HEARS)[0]
    await engine.start()
    try:
        async with Mesh.join([f"{HOST}:{at}"]) as mesh:

            async def lent() -> None:
                await mesh.transcript(sound, model=HEARS)

            async def here() -> None:
                async for _ in engine.transcribe(pcm, TranscriptionRequest()):
                    pass

            return await medians(rounds, lent, here, warm=1)
    finally:
        await engine.close()
        await asyncio.to_thread(node.stop)


async def _speech(seconds: float) -> bytes:
    """A WAV file of somebody speaking."""
    pcm, rate = await spoken(SENTENCE)
    samples = np.frombuffer(pcm, "<i2")
    return wav(np.resize(samples, int(seconds * rate)).tobytes(), rate)


async def _scattered(at: int, sound: bytes, count: int) -> float:
    """Seconds for the whole recording, once that many producers are found."""
    needs = Requirements("stt", model="echo")
    async with Mesh.join([f"{HOST}:{at}"]) as mesh:
        async with asyncio.timeout(30):
            while len(await mesh.dispatcher.candidates(needs)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        how = TranscriptionOptions(model="echo")
        source = PieceSource(sound)
        work = ScatteredRecording(
            mesh.dispatcher, mesh.client, source, needs, how, lambda event: None
        )
        began = time.perf_counter()
        await work.run()
        return time.perf_counter() - began


def _recording(pieces: int) -> bytes:
    """Noise with a pause at the end of each piece."""
    noise = np.random.default_rng(0).normal(0, 3000, int(SPOKEN * RATE)).astype(np.int16)
    one = np.concatenate([noise, np.zeros(int(PAUSE * RATE), np.int16)])
    return wav(np.tile(one, pieces).tobytes(), RATE)


def _draw(rows: list[Row]) -> None:
    """How many times as fast as one, `#`; and where the ideal is, `|`."""
    one, most = rows[0].ours, PRODUCERS[-1]
    print("\n  times as fast as one producer; | is the ideal")
    for row, count in zip(rows, PRODUCERS, strict=True):
        bar = "#" * round(WIDTH * one / row.ours / most)
        place = round(WIDTH * count / most)
        line = bar.ljust(WIDTH + 1)
        print(f"  {row.what:>12}  {line[:place]}|{line[place + 1 :]} {one / row.ours:5.1f}")


if __name__ == "__main__":
    asyncio.run(main())
