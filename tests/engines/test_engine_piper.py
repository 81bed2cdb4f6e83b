"""piper on voices whose length is exact."""

import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio
import tiny_piper
from aiohttp import web
from aiohttp.test_utils import TestServer
from random_texts import DEADLY, SCRIPTS, random_text

from nodes.engines import piper as piper_module
from nodes.engines.piper import Piper, choose
from privox_dht import errors, speech

pytest.importorskip("piper")
pytestmark = pytest.mark.asyncio(loop_scope="module")
Request = speech.SpeechRequest


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_piper.make(tmp_path_factory.mktemp("piper") / "xx_XX-test-low.onnx", speakers=3)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(voice: Path) -> AsyncIterator[Piper]:
    """One for all tests: whatever one of them does to it, it must be there for the next."""
    engine = Piper(model=str(voice))
    await engine.start()
    yield engine
    await engine.close()


async def say(engine: Piper, text: str, **more: object) -> list[speech.AudioChunk]:
    return [sound async for sound in engine.speak(Request(text, **more))]  # type: ignore[arg-type]


async def test_a_started_engine_says_what_it_can(engine: Piper) -> None:
    info = engine.info
    assert (info.service, info.backend, info.engine) == ("tts", "cpu", "piper")
    assert (info.models, info.languages) == (("xx_XX-test-low",), ("en",))
    assert set(info.voice_languages) == set(info.models)
    assert info.speed > 1


@pytest.mark.parametrize("name", DEADLY)
async def test_texts_that_brought_espeak_down_are_spoken(engine: Piper, name: str) -> None:
    """piper has its phonemes from an espeak-ng of its own, with the same holes."""
    await say(engine, DEADLY[name])
    assert await say(engine, "Hello")


@pytest.mark.parametrize(
    "count", [4, pytest.param(10_000, marks=[pytest.mark.soak, pytest.mark.timeout(20_000)])]
)
@pytest.mark.parametrize("script", SCRIPTS)
async def test_random_texts_in_many_scripts_are_spoken(
    script: str, count: int, tmp_path: Path
) -> None:
    file = tiny_piper.make(tmp_path / "xx_XX-test-low.onnx", voice=script)
    engine, rng = Piper(model=str(file)), random.Random(5678)
    await engine.start()
    for number in range(count):
        text = random_text(rng, script)
        try:
            await say(engine, text, speed=4.0)
        except errors.EngineFailed as exc:
            pytest.fail(f"text {number} ({len(text)} characters): {exc}")
    await engine.close()


async def test_every_sentence_is_one_piece_of_sound(engine: Piper) -> None:
    sounds = await say(engine, "One sentence. And another one. And a third.")
    assert len(sounds) == 3
    assert {sound.rate for sound in sounds} == {tiny_piper.RATE}
    assert all(len(sound.pcm) // 2 % tiny_piper.SAMPLES_PER_ID == 0 for sound in sounds)


async def test_half_the_speed_takes_twice_as_long(engine: Piper) -> None:
    [normal], [slow] = await say(engine, "Hello"), await say(engine, "Hello", speed=0.5)
    assert slow.seconds == pytest.approx(2 * normal.seconds, rel=0.01)


async def test_a_speaker_is_chosen_by_name_or_number(engine: Piper) -> None:
    first, by_name = await say(engine, "Hello"), await say(engine, "Hello", voice="+p2")
    by_number = await say(engine, "Hello", voice="xx_XX-test-low+2")
    assert by_name == by_number
    assert len(first[0].pcm) == len(by_name[0].pcm)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("en_GB-alan-low", "no voice 'en_GB-alan-low' here; it has xx_XX-test-low"),
        ("+p9", "no speaker 'p9' here; it has p0, p1, p2"),
        ("+3", "no speaker '3' here"),
        ("+-1", "no speaker '-1' here"),
    ],
)
async def test_a_voice_that_is_not_there_is_refused(engine: Piper, named: str, said: str) -> None:
    with pytest.raises(errors.RequestRejected, match=said) as refused:
        await say(engine, "Hello", voice=named)
    assert refused.value.status == 404


async def test_a_language_it_does_not_speak_is_refused(engine: Piper) -> None:
    with pytest.raises(errors.RequestRejected, match="no language 'de' here; it has en"):
        await say(engine, "Guten Tag", language="de")


@pytest.mark.parametrize("text", ["!", "\N{SNOWMAN}", "\0", "\ud800", "[[ not phonemes ]]"])
async def test_texts_without_words_end_well(engine: Piper, text: str) -> None:
    for sound in await say(engine, text):
        assert len(sound.pcm) % 2 == 0


async def test_a_listener_who_leaves_stops_the_voice(engine: Piper) -> None:
    text = "A sentence. " * 300
    async with aclosing(engine.speak(Request(text))) as sounds:
        await anext(sounds)
    assert len(await say(engine, "Hello")) == 1


async def test_a_voice_of_one_speaker_has_no_number(tmp_path: Path) -> None:
    engine = Piper(model=str(tiny_piper.make(tmp_path / "one.onnx")))
    await engine.start()
    assert await say(engine, "Hello", voice="+0") == await say(engine, "Hello")
    await engine.close()
    assert choose("", "one", {}, 1) is None


@pytest.mark.parametrize("missing", ["", ".json"])
@pytest.mark.parametrize("damage", ["missing", "empty"])
async def test_a_missing_or_empty_file_is_told_at_start(
    tmp_path: Path, missing: str, damage: str
) -> None:
    file = tiny_piper.make(tmp_path / "voice.onnx")
    broken = Path(f"{file}{missing}")
    broken.unlink() if damage == "missing" else broken.write_bytes(b"")
    with pytest.raises(errors.EngineUnavailable, match="missing or empty") as unavailable:
        await Piper(model=str(file)).start()
    assert unavailable.value.fix


@pytest.mark.parametrize("broken", ["", ".json"])
async def test_garbage_in_a_file_is_told_at_start(tmp_path: Path, broken: str) -> None:
    file = tiny_piper.make(tmp_path / "voice.onnx")
    Path(f"{file}{broken}").write_bytes(b"garbage")
    with pytest.raises(errors.EngineUnavailable, match=r"not JSON|cannot be loaded"):
        await Piper(model=str(file)).start()


async def test_a_voice_in_the_cache_is_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_piper.make(tmp_path / "en_US-cached-low.onnx")
    engine = Piper(model="en_US-cached-low", cache=tmp_path)
    await engine.start()
    assert engine.info.models == ("en_US-cached-low",)
    await engine.close()


@pytest_asyncio.fixture(loop_scope="module")
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """The folder of a server from which voices are downloaded."""
    folder = tmp_path / "hub"
    folder.mkdir()
    app = web.Application()
    app.router.add_static(f"/{piper_module.VOICES}", folder)
    async with TestServer(app) as server:
        monkeypatch.setenv("HF_ENDPOINT", str(server.make_url("")))
        yield folder


async def test_a_voice_is_downloaded_once(hub: Path, tmp_path: Path) -> None:
    there = tiny_piper.make(hub / "en" / "en_US" / "tiny" / "low" / "en_US-tiny-low.onnx")
    (tmp_path / "cache").mkdir()
    for name, age in ((".privox-abandoned", 2 * piper_module.ABANDONED), (".privox-running", 0.0)):
        (tmp_path / "cache" / name).touch()
        os.utime(tmp_path / "cache" / name, (time.time() - age,) * 2)
    for _ in range(2):
        engine = Piper(model="en_US-tiny-low", cache=tmp_path / "cache")
        await engine.start()
        await engine.close()
        there.unlink(missing_ok=True)
    names = {file.name for file in (tmp_path / "cache").iterdir()}
    assert names == {"en_US-tiny-low.onnx", "en_US-tiny-low.onnx.json", ".privox-running"}


async def test_a_broken_download_leaves_no_half_of_a_voice(hub: Path, tmp_path: Path) -> None:
    file = tiny_piper.make(hub / "en" / "en_US" / "tiny" / "low" / "en_US-tiny-low.onnx")
    file.unlink()
    with pytest.raises(errors.EngineUnavailable, match=r"cannot be downloaded .*404"):
        await Piper(model="en_US-tiny-low", cache=tmp_path / "cache").start()
    assert [f.name for f in (tmp_path / "cache").iterdir()] == ["en_US-tiny-low.onnx.json"]


async def test_a_download_that_breaks_off_leaves_nothing_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Half of a voice was kept: it could not be loaded, and was not fetched again."""

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(bytes(50))
        assert request.transport is not None
        request.transport.close()
        return response

    app = web.Application()
    app.router.add_get("/{path:.*}", half)
    async with TestServer(app) as server:
        monkeypatch.setenv("HF_ENDPOINT", str(server.make_url("")))
        with pytest.raises(errors.EngineUnavailable, match=r"cannot be downloaded .*50 bytes"):
            await Piper(model="en_US-tiny-low", cache=tmp_path / "cache").start()
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("name", ["bob", "en_US-../../x-low", "en_US-tiny-low/../x", "EN_us-a-b"])
async def test_what_is_no_name_of_a_voice_is_told(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.EngineUnavailable, match=r"not the name of a voice|is missing"):
        await Piper(model=name, cache=tmp_path).start()


async def test_a_package_that_cannot_be_imported_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, voice: Path
) -> None:
    (tmp_path / "piper").mkdir()
    (tmp_path / "piper" / "__init__.py").write_text("import what_it_needs")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(errors.EngineUnavailable, match=r"cannot be imported .*what_it_needs") as no:
        await Piper(model=str(voice)).start()
    assert "pip install" in no.value.fix
