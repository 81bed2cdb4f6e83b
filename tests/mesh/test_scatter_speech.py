"""Speech with pauses as people make them, scattered over processes that hear with pocketsphinx."""

import asyncio
import difflib
import random
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from kit import HOST
from running import Lab

from bench.spoken import resampled, voice
from nodes.engines import make_engines
from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.scatter.cut import RATE, Cutter
from privox_dht.speech import Transcriber, TranscriptionRequest

WORDS = [
    "morning",
    "water",
    "people",
    "because",
    "another",
    "picture",
    "animal",
    "mother",
    "letter",
    "river",
    "seven",
    "country",
    "family",
    "story",
    "summer",
    "window",
    "music",
    "paper",
    "table",
]


async def spoken(seconds: float) -> bytes:
    """Sentences by espeak-ng, with 0.4 to 1.2 s between them: 16-bit PCM at 16 kHz."""
    rng = random.Random(int(seconds))
    sound: list[bytes] = []
    async with voice() as say:
        while 2 * RATE * seconds > sum(map(len, sound)):
            sentence = f"The {' '.join(rng.choice(WORDS) for _ in range(rng.randint(4, 12)))}."
            pcm = resampled(*await say(sentence), RATE)
            sound += [pcm, bytes(2 * int(RATE * rng.uniform(0.05, 0.8)))]
    return b"".join(sound)


async def heard_here(sounds: list[np.ndarray]) -> list[str]:
    """The words of each, one after the other, by pocketsphinx in this process."""
    engine = cast(Transcriber, make_engines("stt", "cpu", "pocketsphinx")[0])
    await engine.start()
    try:
        words = []
        for sound in sounds:
            pcm = np.asarray(sound / 32_768, np.float32)
            async for segment in engine.transcribe(pcm, TranscriptionRequest()):
                words += segment.text.split()
        return words
    finally:
        await engine.close()


@pytest.mark.soak
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(75, marks=pytest.mark.timeout(180)),
        pytest.param(600, marks=pytest.mark.timeout(1800)),
    ],
)
async def test_cutting_at_pauses_costs_no_words(tmp_path: Path, seconds: float) -> None:
    """Scattered over three producers it is what the pieces are by themselves, word for word; of the
    whole recording at most one word in a hundred is another."""
    pcm = await spoken(seconds)
    with Lab(tmp_path) as lab:
        for number in range(3):
            await asyncio.to_thread(lab.producer, f"ear{number}", "stt/cpu/pocketsphinx")
        async with Mesh.join([f"{HOST}:{lab.port}"]) as mesh:
            done = await mesh.transcript(wav(pcm, RATE))
    scattered = done.value.text.split()
    assert len(done.shares) == 3
    samples = np.frombuffer(pcm, np.int16)
    cutter = Cutter()
    pieces = [*cutter.feed(samples), *cutter.finish()]
    apart, whole = await asyncio.gather(
        heard_here([piece.samples for piece in pieces]), heard_here([samples])
    )
    assert scattered == apart
    same = difflib.SequenceMatcher(None, whole, scattered, autojunk=False).get_matching_blocks()
    differ = max(len(whole), len(scattered)) - sum(block.size for block in same)
    print(f"{len(pieces)} pieces in {done.seconds:.1f} s: of {len(whole)} words {differ} differ")
    assert differ <= len(whole) / 100
