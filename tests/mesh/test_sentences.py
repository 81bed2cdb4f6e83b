"""Ten fixed sentences on the way of the demo: spoken by one machine of the mesh, through a farm,
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
async def test_most_words_come_back_right(tmp_path: Path) -> None:
    with Lab(tmp_path, "--farm", "--relay-port", "0") as lab:
        await asyncio.to_thread(lab.producer, "ear", "stt/cpu/pocketsphinx")
        await asyncio.to_thread(lab.producer, "voice", f"tts/cpu/{VOICE}", "--reachable", "no")
        heard = []
        async with Mesh.join([f"{HOST}:{lab.port}"]) as mesh:
            for sentence in SENTENCES:
                spoken = await mesh.speech(sentence)
                assert spoken.route.startswith("relayed by")
                heard.append(await mesh.transcribe(spoken.value))
    shares = []
    for sentence, text in zip(SENTENCES, heard, strict=True):
        right, words = words_right(sentence, text)
        shares.append(right / words)
    worst = min(range(len(shares)), key=shares.__getitem__)
    print(f"median {statistics.median(shares):.0%}; worst: {SENTENCES[worst]} -> {heard[worst]}")
    assert statistics.median(shares) >= AIM
