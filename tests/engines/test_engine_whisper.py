"""faster-whisper on models that say what the test wants, so that texts and times are exact."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import tiny_whisper
from numpy.typing import NDArray

from nodes.engines import whisper
from nodes.engines.whisper import FasterWhisper
from privox_dht import errors, speech

pytest.importorskip("faster_whisper")
pytestmark = pytest.mark.asyncio(loop_scope="module")
SCRIPT = "hello from the small scripted model"
TRANSLATION = "this is a translated text"
Request = speech.TranscriptionRequest
ANY = Request()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.make(tmp_path_factory.mktemp("whisper") / "tiny-test", SCRIPT, TRANSLATION)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(model: Path) -> AsyncIterator[FasterWhisper]:
    """One for all tests: whatever one of them does to it, it must be there for the next."""
    engine = FasterWhisper(model=str(model))
    await engine.start()
    # The scripted model hears its text in anything, but silence detection would not let it try.
    options = engine._options
    engine._options = lambda r: options(r) | {"vad_filter": False}  # type: ignore[assignment, method-assign]
    yield engine
    await engine.close()


def sound(seconds: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(0).normal(0, 0.1, int(seconds * FasterWhisper.rate))
    return noise.astype(np.float32)


async def hear(
    engine: FasterWhisper, request: Request = ANY, seconds: float = 5
) -> list[speech.Segment]:
    return [s async for s in engine.transcribe(sound(seconds), request)]


async def test_a_started_engine_says_what_it_can(engine: FasterWhisper) -> None:
    info = engine.info
    assert (info.service, info.backend, info.engine) == ("stt", "cpu", "faster-whisper")
    assert info.models == ("tiny-test",)
    assert info.languages == (), "a model of a hundred languages takes any"
    assert info.translates
    assert info.speed > 1


async def test_text_times_and_language_are_what_the_model_says(engine: FasterWhisper) -> None:
    assert await hear(engine) == [speech.Segment(SCRIPT, 0.0, 2.4, (), "en")]


async def test_words_have_their_places(engine: FasterWhisper) -> None:
    [segment] = await hear(engine, Request(words=True))
    assert [word.text for word in segment.words] == SCRIPT.split()
    assert [word.start for word in segment.words] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6, 2.0])
    assert [word.end for word in segment.words] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 2.4])
    assert all(type(word.start) is float for word in segment.words), "plain enough for JSON"


async def test_it_translates_when_asked_to(engine: FasterWhisper) -> None:
    [segment] = await hear(engine, Request(translate=True))
    assert segment.text == TRANSLATION


@pytest.mark.parametrize(
    ("given", "heard"),
    [("de-AT", "de"), ("nb", "no"), ("zh-TW", "zh"), ("jv", "jv"), ("fil", "fil")],
)
async def test_a_language_that_is_given_is_not_detected(
    engine: FasterWhisper, given: str, heard: str
) -> None:
    """Whisper calls some by older codes ("jw", "tl"), which are not what we tell of."""
    [segment] = await hear(engine, Request(language=given))
    assert segment.language == heard


async def test_temperature_and_prompt_reach_the_model(engine: FasterWhisper) -> None:
    [segment] = await hear(engine, Request(temperature=0.3, prompt="some words to expect"))
    assert segment.text.split()[-1] == "model"


async def test_a_long_recording_goes_block_by_block_with_times_of_the_whole(
    engine: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper, "BLOCK", 10.0)
    segments = await hear(engine, seconds=25)
    assert [s.text for s in segments] == [SCRIPT] * len(segments)
    starts = [s.start for s in segments]
    assert len(starts) >= 3 and starts == sorted(starts)
    assert all(0 < b - a <= 10.0 for a, b in pairwise(starts))


async def test_silence_gives_no_words(model: Path) -> None:
    engine = FasterWhisper(model=str(model))
    await engine.start()
    pcm = np.zeros(5 * engine.rate, np.float32)
    assert [s async for s in engine.transcribe(pcm, Request())] == []
    await engine.close()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(model="large-v9"), "no model 'large-v9' here; it has tiny-test"),
        (Request(language="tlh"), "no language 'tlh' here; it has 100, such as af, am"),
    ],
)
async def test_what_it_does_not_have_is_refused_and_what_there_is_named(
    engine: FasterWhisper, request_: Request, said: str
) -> None:
    with pytest.raises(errors.RequestRejected, match=said) as refused:
        await hear(engine, request_)
    assert refused.value.status == 404


@pytest.mark.parametrize("name", ["", "faster-whisper", "tiny-test", "faster-whisper:tiny-test"])
async def test_a_model_can_be_named_in_all_the_ways(engine: FasterWhisper, name: str) -> None:
    assert len(await hear(engine, Request(model=name))) == 1


async def test_a_listener_who_leaves_stops_the_work_at_the_next_border(
    engine: FasterWhisper,
) -> None:
    """Ten minutes are twenty windows; after the first, the thread must be free again at once."""
    began = time.monotonic()
    async with aclosing(engine.transcribe(sound(600), Request())) as segments:
        await anext(segments)
    left = time.monotonic()
    assert len(await hear(engine)) == 1
    assert time.monotonic() - left < max(2.0, 5 * (left - began))


async def test_two_jobs_at_a_time_both_come_out_whole(engine: FasterWhisper) -> None:
    both = await asyncio.gather(hear(engine, seconds=40), hear(engine, seconds=5))
    assert [[s.text for s in segments] for segments in both] == [[SCRIPT] * 2, [SCRIPT]]


@pytest.mark.parametrize("file", tiny_whisper.FILES)
@pytest.mark.parametrize("damage", ["missing", "empty"])
async def test_a_missing_or_empty_file_is_told_at_once(
    model: Path, tmp_path: Path, file: str, damage: str
) -> None:
    for path in model.iterdir():
        if path.name != file:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "empty":
        (tmp_path / file).touch()
    engine = FasterWhisper(model=str(tmp_path))
    began = time.monotonic()
    with pytest.raises(errors.EngineUnavailable, match=f"lacks {file}") as unavailable:
        await engine.start()
    assert time.monotonic() - began < 5 and unavailable.value.fix


@pytest.mark.parametrize("file", ["config.json", "model.bin", "tokenizer.json"])
async def test_garbage_in_a_file_is_told_at_start(model: Path, tmp_path: Path, file: str) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_bytes(b"garbage")
    with pytest.raises(errors.EngineUnavailable, match=r"not JSON|cannot be loaded") as unavailable:
        await FasterWhisper(model=str(tmp_path)).start()
    assert unavailable.value.fix


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(errors.EngineUnavailable, match="there is no folder"):
        await FasterWhisper(model=str(tmp_path / "nowhere")).start()


async def test_a_model_nobody_knows_is_told_with_what_there_is() -> None:
    with pytest.raises(errors.EngineUnavailable, match=r"no model 'huge'.*large-v3"):
        await FasterWhisper(model="huge").start()


async def test_without_a_network_the_download_says_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(errors.EngineUnavailable, match="cannot be downloaded") as unavailable:
        await FasterWhisper(model="tiny", cache=tmp_path).start()
    assert "folder" in unavailable.value.fix


async def test_a_package_that_cannot_be_imported_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Path
) -> None:
    (tmp_path / "faster_whisper").mkdir()
    (tmp_path / "faster_whisper" / "__init__.py").write_text("import what_it_needs")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(errors.EngineUnavailable, match=r"cannot be imported .*what_it_needs") as no:
        await FasterWhisper(model=str(model)).start()
    assert "pip install" in no.value.fix
