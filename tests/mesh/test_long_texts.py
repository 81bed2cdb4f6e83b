"""Texts that are too long for one request: real processes, four producers with one voice."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os
import random
import re
import signal
import statistics
import time
import wave
from array import array
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest
from kit import HOST
from running import Lab

from nodes.engines import make_engines
from privox_dht import Mesh, limits
from privox_dht.scatter import scattered_text
from privox_dht.scatter.passages import passages
from privox_dht.speech import Speaker, SpeechRequest
from privox_dht.speech_api.client import SpeechClient

pytestmark = pytest.mark.timeout(150)
WORDS = [
    *("the", "old", "house", "stood", "on", "a", "hill", "above", "river", "and", "nobody", "had"),
    *("lived", "in", "it", "for", "many", "years", "so", "wild", "garden", "was", "full", "birds"),
]
ESPEAK = ("--service", "tts", "--model", "espeak-ng")


def book(characters: int) -> str:
    """Sentences and paragraphs, no sentence like another."""
    rng = random.Random(characters)
    text = ""
    while len(text) < characters:
        words = [rng.choice(WORDS) for _ in range(rng.randint(3, 25))]
        end = rng.choice([". ", "? ", "! ", ". ", ".\n", ".\n\n"])
        text += " ".join(words).capitalize() + end
    return text


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Four producers with one voice, and one with another engine."""
    with Lab(tmp_path_factory.mktemp("voices")) as lab:
        for number in range(4):
            lab.producer(f"voice{number}", "tts/cpu/espeak-ng", "--slots", "2")
        lab.producer("other", "tts/cpu/echo")
        yield lab


def sound_of(file: bytes) -> tuple[int, array[int]]:
    """The rate and the samples of a WAV file."""
    with wave.open(io.BytesIO(file)) as opened:
        return opened.getframerate(), array("h", opened.readframes(opened.getnframes()))


async def spoken(texts: Sequence[str]) -> list[array[int]]:
    """The samples of each, by the same voice without a mesh."""
    (voice,) = make_engines("tts", "cpu", "espeak-ng")
    await voice.start()
    try:
        speak = cast(Speaker, voice).speak
        return [
            array("h", b"".join([sound.pcm async for sound in speak(SpeechRequest(text))]))
            for text in texts
        ]
    finally:
        await voice.close()


def steepest(samples: array[int]) -> int:
    return max(abs(a - b) for a, b in itertools.pairwise(samples))


@pytest.mark.parametrize("characters", [4_500, pytest.param(60_000, marks=pytest.mark.soak)])
async def test_it_is_as_long_as_its_sentences_alone_and_does_not_click(
    shared: Lab, characters: int
) -> None:
    text = book(characters)
    async with Mesh.join([f"{HOST}:{shared.port}"]) as mesh:
        done = await mesh.speech(text, model="espeak-ng")
    rate, samples = sound_of(done.value)
    sentences = re.findall(r"[^.?!]+[.?!]\n*", text)
    alone = [len(sound) for sound in await spoken(sentences)]
    parts = await spoken([passage.text for passage in passages(text)])
    assert sum(done.shares.values()) == len(parts)
    assert len(done.shares) == 4
    seconds = (len(samples) / rate, sum(alone) / rate, done.seconds)
    print("{:.1f} s of sound, {:.1f} s alone, spoken in {:.1f} s".format(*seconds))
    assert len(samples) == pytest.approx(sum(alone), rel=0.01)
    assert len(samples) == sum(map(len, parts))
    at = 0
    for part in parts[:-1]:
        at += len(part)
        assert steepest(samples[at - 20 : at + 20]) <= steepest(part)


@pytest.mark.quiet
async def test_there_is_sound_as_soon_as_of_the_first_sentence_alone(shared: Lab) -> None:
    text = book(60_000)
    first = next(passages(text)).text

    async def long() -> float:
        began = time.monotonic()
        async with aclosing(mesh.audio(text, model="espeak-ng")) as sound:
            await anext(sound)
            return time.monotonic() - began

    async def alone() -> float:
        return (await mesh.speech(first, model="espeak-ng")).seconds

    async with Mesh.join([f"{HOST}:{shared.port}"]) as mesh:
        await alone()
        both = [(await long(), await alone()) for _ in range(15)]
    late = statistics.median(slow - quick for slow, quick in both)
    usual = statistics.median(quick for _, quick in both)
    print(f"{1000 * late:.1f} ms later than {1000 * usual:.1f} ms")
    assert late < 0.020


async def test_no_more_is_spoken_than_somebody_takes(
    shared: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, asked = book(5_000), list[str]()
    speak = SpeechClient.speak

    def counted(client: Any, endpoint: Any, request: SpeechRequest, format: str) -> Any:
        asked.append(request.text)
        return speak(client, endpoint, request, format)

    monkeypatch.setattr(SpeechClient, "speak", counted)
    monkeypatch.setattr(scattered_text, "MAX_UNREAD", 0)
    async with (
        Mesh.join([f"{HOST}:{shared.port}"]) as mesh,
        aclosing(mesh.audio(text, model="espeak-ng")) as sound,
    ):
        await anext(sound)
        for _ in range(3):
            await mesh.speak("Time passes.", model="espeak-ng")
        assert asked == [next(passages(text)).text, *["Time passes."] * 3]
        assert len([piece async for piece in sound]) > 5
    assert len(asked) == 3 + len([*passages(text)])


def test_it_comes_while_the_rest_is_spoken_and_strangers_are_told_of_once(
    shared: Lab, tmp_path: Path
) -> None:
    text, state = book(6_000), ("--state-dir", str(tmp_path))
    client = shared.start_client(*ESPEAK, "--text-file", str(_file(tmp_path, text)), *state)
    begun = os.read(client.stdout.fileno(), 60_000)
    assert client.poll() is None
    rest, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    assert b"each of 4 strangers may read a part of this text" in err
    whole = shared.client(*ESPEAK, "--text", "-", *state, stdin=text.encode())
    assert whole.returncode == 0
    assert whole.stderr == b""
    assert whole.stdout == begun + rest


def _file(folder: Path, text: str) -> Path:
    file = folder / "text"
    file.write_text(text)
    return file


@pytest.mark.parametrize("format", ["wav", "opus"])
def test_a_file_grows_and_is_whole_in_the_end(shared: Lab, tmp_path: Path, format: str) -> None:
    out = tmp_path / f"book.{format}"
    ran = shared.client(*ESPEAK, "--text", book(4_500), "--output", str(out), "--json")
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["producer"] == "several"
    assert told["bytes"] == out.stat().st_size
    if format == "wav":
        assert len(sound_of(out.read_bytes())[1]) * 2 + 44 == told["bytes"]


def test_ctrl_c_keeps_what_was_spoken(shared: Lab, tmp_path: Path) -> None:
    out = tmp_path / "book.wav"
    client = shared.start_client(*ESPEAK, "--text", book(100_000), "--output", str(out))
    while not out.exists() or out.stat().st_size < 500_000:
        time.sleep(0.01)
        assert client.poll() is None
    client.send_signal(signal.SIGINT)
    _, err = client.communicate(timeout=20)
    assert client.returncode == 130
    assert b"what was spoken until then is kept" in err
    assert len(sound_of(out.read_bytes())[1]) > 200_000


def test_what_cannot_be_cut_is_refused_before_anybody_is_asked(shared: Lab) -> None:
    for text, said in (
        ("<speak>" + "word " * 1000 + "</speak>", b"SSML of more than 4,096 characters"),
        ("word " * (limits.MAX_BOOK // 4), b"longer than 2,000,000 characters"),
    ):
        ran = shared.client(*ESPEAK, "--text", "-", stdin=text.encode())
        assert ran.returncode == 6, ran.stderr
        assert said in ran.stderr


async def test_a_voice_that_dies_in_mid_sentence_is_not_heard(tmp_path: Path) -> None:
    text = book(6_000)
    with Lab(tmp_path) as lab:
        starts = (asyncio.to_thread(lab.producer, f"v{n}", "tts/cpu/espeak-ng") for n in range(3))
        nodes = [await start for start in starts]
        async with Mesh.join([f"{HOST}:{lab.port}"]) as mesh:
            whole = await mesh.speech(text[:5_000], model="espeak-ng")
            sound = b""
            async for piece in mesh.audio(text, model="espeak-ng"):
                if not sound:
                    nodes[0].process.kill()
                sound += piece
            again = await mesh.speech(text, model="espeak-ng")
    assert len(whole.shares) == 3
    assert len(again.shares) == 2
    assert sound[44:] == again.value[44:]
