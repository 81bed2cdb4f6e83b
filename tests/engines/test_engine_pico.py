"""SVOX Pico in its own process."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from kit import until
from random_texts import SCRIPTS, random_text

from nodes.engines.pico import Pico, sentences
from privox_dht import errors, speech

pytest.importorskip("py_nanotts", reason="cannot be had here: py-nanotts has wheels for Linux only")
pytestmark = pytest.mark.asyncio(loop_scope="module")
Request = speech.SpeechRequest
SENTENCE = "The weather is nice today."
VOICES = ("en-GB", "en-US", "de-DE", "es-ES", "fr-FR", "it-IT")
RATE = 16_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Pico]:
    """One for all tests: whatever one of them does to it, it must be there for the next."""
    engine = Pico()
    await engine.start()
    yield engine
    await engine.close()


async def say(engine: Pico, text: str = SENTENCE, **more: Any) -> list[speech.AudioChunk]:
    return [sound async for sound in engine.speak(Request(text, **more))]


async def seconds(engine: Pico, **more: Any) -> float:
    return sum(sound.seconds for sound in await say(engine, **more))


async def test_a_started_engine_says_what_it_can(engine: Pico) -> None:
    info = engine.info
    assert (info.service, info.backend, info.engine) == ("tts", "cpu", "pico")
    assert info.models[0] == "en-US" and set(info.models) == set(VOICES)
    assert set(info.languages) == {"en", "de", "es", "fr", "it"}
    assert info.speed > 10


async def test_every_announced_voice_speaks(engine: Pico) -> None:
    said = {}
    for voice in engine.info.models:
        sounds = await say(engine, "1 2 3, A B C", voice=voice)
        pcm = b"".join(sound.pcm for sound in sounds)
        assert {sound.rate for sound in sounds} == {RATE}
        assert 0.5 < len(pcm) / 2 / RATE < 10 and np.abs(np.frombuffer(pcm, "<i2")).max() > 3000
        said[pcm] = voice
    assert len(said) == len(VOICES), "no two are the same"


async def test_a_sentence_is_heard_before_the_next_is_spoken(engine: Pico) -> None:
    sounds = await say(engine, "One. Two! Three? " + "word " * 100)
    assert len(sounds) == 5


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
async def test_speed_is_honoured(engine: Pico, speed: float) -> None:
    """But for the pause at the end of a sentence, which keeps its length."""
    text = "one two three four five six seven eight nine ten " * 5
    normal, asked = await seconds(engine, text=text), await seconds(engine, text=text, speed=speed)
    assert asked * speed == pytest.approx(normal, rel=0.35)


@pytest.mark.parametrize(
    "text", ["", " ", "!", "\0", "\ud800", "\N{SNOWMAN}" * 50, "<" * 3000, "a\0b", "[[x", "\x1b[2J"]
)
async def test_texts_without_words_end_well(engine: Pico, text: str) -> None:
    for sound in await say(engine, text):
        assert len(sound.pcm) % 2 == 0
    assert await seconds(engine) > 1


@pytest.mark.parametrize("length", [1024, pytest.param(4096, marks=pytest.mark.soak)])
@pytest.mark.parametrize("unit", ["x", "7", "a.", "\u00df", "1 "])
async def test_texts_without_an_end_end(engine: Pico, unit: str, length: int) -> None:
    assert await seconds(engine, text=(unit * length)[:length]) > 1


async def test_markup_is_not_obeyed(engine: Pico, tmp_path: Path) -> None:
    """Pico writes a file where it is told <genfile>, and reads one at <play>."""
    file = tmp_path / "written.wav"
    tmp_path.chmod(0o777)
    assert await seconds(engine, text=f"<genfile file='{file}'>hello there</genfile>") > 0.3
    assert not file.exists()
    assert "<" not in "".join(sentences(f"<genfile file='{file}'/>"))


async def test_a_text_that_pico_gives_up_on_is_refused(engine: Pico) -> None:
    """The fault is the text's and not the producer's."""
    with pytest.raises(errors.RequestRejected, match="cannot speak this text") as refused:
        await say(engine, "\u307f\u30db7\\\u30b5" * 80, voice="it-IT", speed=4.0)
    assert refused.value.status == 400
    assert await seconds(engine) > 1


async def test_a_text_in_letters_it_does_not_know_is_refused(engine: Pico) -> None:
    with pytest.raises(
        errors.RequestRejected, match="the text has no word that en-US can speak"
    ) as refused:
        await say(engine, "\u041f\u0440\u0438\u0432\u0435\u0442")
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "count", [20, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(20_000)])]
)
async def test_random_texts_in_many_scripts_never_bring_a_worker_down(
    engine: Pico, count: int
) -> None:
    rng = random.Random(5678)
    before = engine._pool.pids
    for number in range(count):
        voice, text = rng.choice(VOICES), random_text(rng, rng.choice(list(SCRIPTS)))
        try:
            await say(engine, text, voice=voice, speed=4.0)
        except errors.RequestRejected:
            continue  # no word of it can be read
        except errors.EngineFailed as exc:
            pytest.fail(f"text {number} in {voice} ({len(text)} characters): {exc}")
    assert engine._pool.pids == before


async def test_a_listener_who_leaves_stops_the_voice(engine: Pico) -> None:
    async with aclosing(engine.speak(Request((SENTENCE + " ") * 150))) as sounds:
        await anext(sounds)
        assert engine._pool.busy
    await until(lambda: not engine._pool.busy, 2.0)
    assert await seconds(engine) > 1


async def test_several_at_a_time_do_not_mix(engine: Pico) -> None:
    alone = [await seconds(engine, voice=voice) for voice in VOICES]
    together = await asyncio.gather(*(seconds(engine, voice=voice) for voice in VOICES))
    assert together == alone


async def test_a_default_voice_that_is_not_there_is_told_at_start() -> None:
    with pytest.raises(errors.EngineUnavailable, match="no voice 'nobody'"):
        await Pico(model="nobody").start()


async def test_there_is_no_gpu_for_it() -> None:
    with pytest.raises(errors.EngineUnavailable, match="CPU only"):
        Pico.check("gpu")
