"""espeak-ng in its own process."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio
from killing import kill_all
from kit import until
from random_texts import DEADLY, SCRIPTS, random_text

from nodes.codecs import Codecs
from nodes.engines import espeak
from nodes.engines.espeak import EspeakNg
from nodes.producer import Producer
from privox_dht import errors, speech

pytest.importorskip("espeakng_loader")
pytestmark = pytest.mark.asyncio(loop_scope="module")
Request = speech.SpeechRequest
SENTENCE = "The weather is nice today."
LOUD = 1000  # steps of 16 bits


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[EspeakNg]:
    """One for all tests: whatever one of them does to it, it must be there for the next."""
    engine = EspeakNg()
    await engine.start()
    yield engine
    await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def lone() -> AsyncIterator[EspeakNg]:
    """One whose worker a test kills: while another comes in its place, nobody counts them."""
    engine = EspeakNg()
    await engine.start()
    yield engine
    await engine.close()


async def say(engine: EspeakNg, text: str = SENTENCE, **more: Any) -> list[speech.AudioChunk]:
    return [sound async for sound in engine.speak(Request(text, **more))]


async def seconds(engine: EspeakNg, **more: Any) -> float:
    return sum(sound.seconds for sound in await say(engine, **more))


async def test_a_started_engine_says_what_it_can(engine: EspeakNg) -> None:
    info = engine.info
    assert (info.service, info.backend, info.engine) == ("tts", "cpu", "espeak-ng")
    assert info.models[0] == espeak.DEFAULT_VOICE
    assert {"en-us", "de", "ru", "pl"} <= set(info.models) and len(info.models) > 100
    assert info.languages == (), "so many that they are published as any"
    assert info.speed > 10
    assert set(info.voice_languages) == set(info.models)
    assert (info.voice_languages["en-us+edward"], info.voice_languages["cmn"]) == ("en-US", "zh")


async def test_every_announced_voice_speaks(engine: EspeakNg) -> None:
    """Of those that espeak-ng itself lists, three have no dictionary, three are not found by the
    name that it gives them, and two have one name."""
    silent = []
    for voice in engine.info.models:
        sounds = await say(engine, "Good day, 1 2 3", voice=voice)
        samples = np.frombuffer(b"".join(sound.pcm for sound in sounds), "<i2")
        if samples.size < 0.3 * 22_050 or np.abs(samples).max() < LOUD:
            silent.append(voice)
    assert not silent
    assert {"en-gb", "fr-fr", "chr-US-Qaaa-x-west"} <= set(engine.info.models)
    assert not {"fo", "kaa", "xex"} & set(engine.info.models)
    assert len(set(engine.info.models)) == len(engine.info.models)


async def test_every_language_of_a_voice_can_be_asked_for(engine: EspeakNg) -> None:
    for tag in (*engine._voices.tags, "zh", "zh-CN", "no", "he-IL", "pt_PT", "cmn-Hans-CN"):
        assert await say(engine, "1", language=tag), tag


async def test_nothing_is_said_of_voices_that_are_not_offered(
    capfd: pytest.CaptureFixture[str],
) -> None:
    engine = EspeakNg()
    await engine.start()
    await engine.close()
    assert capfd.readouterr().err == ""


async def test_sound_comes_in_pieces_and_is_not_silence(engine: EspeakNg) -> None:
    sounds = await say(engine)
    assert len(sounds) > 3
    assert {sound.rate for sound in sounds} == {22_050}
    samples = np.frombuffer(b"".join(sound.pcm for sound in sounds), "<i2")
    assert 1.0 < samples.size / 22_050 < 4.0
    assert np.abs(samples).max() > 3000


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
async def test_speed_is_honoured(engine: EspeakNg, speed: float) -> None:
    """Below 80 words a minute espeak-ng itself does not go; the rest is stretched."""
    text = SENTENCE * 3
    normal, asked = await seconds(engine, text=text), await seconds(engine, text=text, speed=speed)
    assert asked * speed == pytest.approx(normal, rel=0.15)


async def test_a_language_has_its_own_voice(engine: EspeakNg) -> None:
    asked = {"text": "Guten Morgen, liebe Leute"}
    german = await seconds(engine, **asked, language="de")
    assert german == pytest.approx(await seconds(engine, **asked, voice="de"), rel=0.02)
    assert german != pytest.approx(await seconds(engine, **asked), rel=0.02)


@pytest.mark.parametrize("text", ["", " ", "!", "\0", "\ud800", "\N{SNOWMAN}" * 50, "<b>", "[[x"])
async def test_texts_without_words_end_well(engine: EspeakNg, text: str) -> None:
    for sound in await say(engine, text):
        assert len(sound.pcm) % 2 == 0
    assert await seconds(engine) > 1


async def test_text_is_never_seen_on_a_command_line(engine: EspeakNg) -> None:
    async with aclosing(engine.speak(Request("--version " * 100))) as sounds:
        await anext(sounds)
        for pid in engine._pool.pids:
            assert not any("--version" in word for word in psutil.Process(pid).cmdline())


async def test_a_listener_who_leaves_stops_the_voice(engine: EspeakNg) -> None:
    async with aclosing(engine.speak(Request(SENTENCE * 100))) as sounds:
        await anext(sounds)
        assert engine._pool.busy
    await until(lambda: not engine._pool.busy, 1.0)
    assert await seconds(engine) > 1


async def test_a_worker_that_is_killed_fails_the_job_only_and_its_text_is_spoken_again(
    lone: EspeakNg,
) -> None:
    """The text is not held to be what killed it."""
    with pytest.raises(errors.EngineFailed, match="died"):
        async with aclosing(lone.speak(Request(SENTENCE * 100))) as sounds:
            async for _ in sounds:
                kill_all(lone._pool.pids)
    assert await seconds(lone) > 1
    assert await seconds(lone, text=SENTENCE * 100) > 1


async def test_two_voices_at_a_time_do_not_mix(engine: EspeakNg) -> None:
    """Voices flutter at random; how long they speak is always nearly the same."""
    voices = ("", "de", "ru", "pl")
    alone = [await seconds(engine, voice=voice) for voice in voices]
    together = await asyncio.gather(*(seconds(engine, voice=voice) for voice in voices))
    assert together == pytest.approx(alone, rel=0.05)


async def test_a_data_folder_with_a_long_path_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """espeak-ng 1.52 keeps its data path in 160 bytes and reads nothing when it is longer."""
    import espeakng_loader

    folder = tmp_path / ("long" * 20) / ("path" * 20)
    installed = Path(espeakng_loader.__file__).parent  # where other tests' programs may compile
    not_now = shutil.ignore_patterns("__pycache__")
    shutil.copytree(installed, folder / "espeakng_loader", ignore=not_now)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    engine = EspeakNg()
    await engine.start()
    assert await seconds(engine) > 1
    await engine.close()


async def test_a_default_voice_that_is_not_there_is_told_at_start() -> None:
    with pytest.raises(errors.EngineUnavailable, match="no voice 'nobody'"):
        await EspeakNg(model="nobody").start()


async def test_there_is_no_gpu_for_it() -> None:
    with pytest.raises(errors.EngineUnavailable, match="CPU only"):
        EspeakNg.check("gpu")


@pytest.mark.parametrize("name", DEADLY)
async def test_texts_that_brought_espeak_down_are_spoken(engine: EspeakNg, name: str) -> None:
    await say(engine, DEADLY[name])
    assert await seconds(engine) > 1


@pytest.mark.parametrize("voice", ["ar", "fi", "mto", "ti", "tn"])
async def test_a_braille_pattern_of_eight_dots_is_spoken(engine: EspeakNg, voice: str) -> None:
    """The names of eight digits overflowed the place where espeak-ng 1.52 puts them together."""
    await say(engine, "\u28ff", voice=voice)


async def test_a_text_over_which_workers_died_twice_is_refused(
    engine: EspeakNg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.engines.espeak.make_safe", lambda text: text)
    before = engine._pool.pids
    producer = Producer([engine], 1, Codecs(1))
    request = Request(DEADLY["apostrophes"])
    for _ in range(2):
        with pytest.raises(errors.EngineFailed, match=r"died \(SIG"):
            [_ async for _ in producer.speak(request)]
    with pytest.raises(errors.RequestRejected, match="crashed the engine twice") as refused:
        [_ async for _ in producer.speak(request)]
    assert refused.value.status == 400
    assert await seconds(engine) > 1
    assert engine._pool.pids == before


@pytest.mark.parametrize(
    "count", [40, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(20_000)])]
)
async def test_random_texts_in_many_scripts_never_bring_a_worker_down(
    engine: EspeakNg, count: int
) -> None:
    rng = random.Random(5678)
    before = engine._pool.pids
    for number in range(count):
        voice = rng.choice(list(SCRIPTS))
        text = random_text(rng, voice)
        try:
            await say(engine, text, voice=voice, speed=4.0)
        except errors.EngineFailed as exc:  # one job, and the next is spoken; soak counts them
            pytest.fail(f"text {number} in {voice} ({len(text)} characters): {exc}")
    assert engine._pool.pids == before
