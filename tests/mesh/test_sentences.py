"""Fixed sentences on the way of the demo: spoken by one machine of the mesh, through a farm,
and understood by another: what the embedded engines can do, and nothing on the way spoils it."""

import asyncio
import statistics
from pathlib import Path

import pytest
from kit import HOST
from running import Lab

from bench.words_right import AIM, SENTENCES
from nodes.demo import VOICE, words_right
from privox_dht import Mesh


@pytest.mark.timeout(180)
@pytest.mark.parametrize("count", [5, pytest.param(10, marks=pytest.mark.soak)])
async def test_most_words_come_back_right(tmp_path: Path, count: int) -> None:
    sentences = SENTENCES[1::2] if count == 5 else SENTENCES
    with Lab(tmp_path, "--farm", "--relay-port", "0") as lab:
        await asyncio.to_thread(lab.producer, "ear", "stt/cpu/pocketsphinx")
        await asyncio.to_thread(lab.producer, "voice", f"tts/cpu/{VOICE}", "--reachable", "no")
        heard = []
        async with Mesh.join([f"{HOST}:{lab.port}"]) as mesh:
            for sentence in sentences:
                spoken = await mesh.speech(sentence)
                assert spoken.route.startswith("relayed by")
                heard.append(await mesh.transcribe(spoken.value))
    shares = []
    for sentence, text in zip(sentences, heard, strict=True):
        right, words = words_right(sentence, text)
        shares.append(right / words)
    worst = min(range(len(shares)), key=shares.__getitem__)
    print(f"median {statistics.median(shares):.0%}; worst: {sentences[worst]} -> {heard[worst]}")
    assert statistics.median(shares) >= AIM
