"""Several models of faster-whisper in the memory that there is for them."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny_whisper
from kit import until

from nodes.codecs import Codecs
from nodes.engine_startup import started_engines
from nodes.engines.espeak import EspeakNg
from nodes.engines.model_memory import ModelMemory
from nodes.engines.pooled_engine import EngineOptions
from nodes.engines.whisper import FasterWhisper
from nodes.producer import Producer
from nodes.service_spec import ServiceSpec
from privox_dht import audio, errors
from privox_dht.speech import Segment, SpeechRequest, TranscriptionRequest
from privox_dht.speech_api import model_catalogue

pytest.importorskip("faster_whisper")
psutil = pytest.importorskip("psutil")
SCRIPTS = {
    "one": "the first model of three heard it",
    "two": "another one says something else here",
    "three": "and the third came last again",
}
RATE = FasterWhisper.rate
AT_ONCE = 3  # requests


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, script in SCRIPTS.items():
        tiny_whisper.make(folder / name, script)
    return folder


@asynccontextmanager
async def engines(models: Path, memory: int | None) -> AsyncIterator[list[FasterWhisper]]:
    specs = [ServiceSpec("stt", "cpu", f"faster-whisper:{models / name}") for name in SCRIPTS]

    async def sound_is_fine(service: str) -> None:
        return

    options = EngineOptions(ModelMemory(memory))
    async with started_engines(specs, None, sound_is_fine, options=options) as started:
        for engine in started:
            assert isinstance(engine, FasterWhisper)
            hears_anything(engine)
        yield started  # type: ignore[misc]


def hears_anything(engine: FasterWhisper) -> None:
    """Silence detection would not let a scripted model try."""
    options = engine._options
    engine._options = lambda request: options(request) | {"vad_filter": False}  # type: ignore[method-assign]


def resident(engines: Sequence[FasterWhisper]) -> int:
    """Bytes that the engines' processes have now."""
    found = 0
    for pid in (pid for engine in engines for pid in engine.pids):
        try:
            found += psutil.Process(pid).memory_info().rss
        except psutil.NoSuchProcess:
            pass  # it was unloaded just now
    return found


async def needed(models: Path) -> int:
    """Bytes that one of them takes."""
    engine = FasterWhisper(model=str(models / "one"))
    await engine.start()
    try:
        return engine._needs
    finally:
        await engine.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("requests", [12, pytest.param(300, marks=pytest.mark.soak)])
async def test_three_models_answer_in_memory_for_two(models: Path, requests: int) -> None:
    """Each answer is the named model's, and the processes never have more than a tenth above it."""
    budget = int(2.2 * await needed(models))
    rng, most = random.Random(5), 0
    clip = np.random.default_rng(0).normal(0, 0.1, 2 * RATE).astype(np.float32)
    async with engines(models, budget) as three, Codecs(AT_ONCE) as codecs:
        producer = Producer(three, AT_ONCE, codecs)
        upload = audio.wav((clip * 32_767).astype("<i2").tobytes(), RATE)
        done = asyncio.Event()

        async def watch() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, resident(three))
                await asyncio.sleep(0.01)  # between two looks

        async def ask() -> None:
            name = rng.choice(list(SCRIPTS))
            while True:
                try:
                    text = await heard(producer, upload, f"faster-whisper:{name}")
                    break
                except errors.ProducerBusy:  # no memory: as a client does it
                    await asyncio.sleep(0.1)
            assert text == SCRIPTS[name]

        watching = asyncio.create_task(watch())
        left = iter(range(requests))

        async def lane() -> None:
            for _ in left:
                await ask()

        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        done.set()
        await watching
    mib = 1 << 20
    print(f"\n{requests} requests: {most / mib:.0f} MiB at most, of {budget / mib:.0f} MiB")
    assert most <= 1.1 * budget


async def heard(producer: Producer, upload: bytes, model: str) -> str:
    import io

    answer = producer.transcribe(io.BytesIO(upload), TranscriptionRequest(model=model))
    return " ".join([s.text async for s in answer if isinstance(s, Segment)])


class Other:
    """A model of another engine."""

    model_name = "other"

    async def unload(self) -> None: ...


async def test_an_engine_at_work_is_not_unloaded_for_another_model() -> None:
    """With --model-memory the voice counted as idle: ten minutes after the node's start, or when
    another model needed the room, it ended in the middle of a sentence."""
    memory = ModelMemory(1 << 40)
    engine = EspeakNg()
    engine.configure(EngineOptions(memory))
    await engine.start()
    try:
        async with aclosing(
            engine.speak(SpeechRequest("A sentence, and another one. " * 100))
        ) as sounds:
            await anext(sounds)
            with pytest.raises(errors.ProducerBusy, match="no memory"):
                async with memory.using(Other(), 1 << 40, wait=0.1):
                    pass
            assert len([sound async for sound in sounds]) > 10
        async with memory.using(Other(), 1 << 40):
            assert not engine.pids and not engine.info.warm
    finally:
        await engine.close()


async def test_the_list_of_models_says_which_are_warm_and_all_languages(models: Path) -> None:
    async with engines(models, int(2.2 * await needed(models))) as three:
        listed = model_catalogue.models([engine.info for engine in three])["data"]
        warm = [entry["id"] for entry in listed if entry["warm"] and ":" in entry["id"]]
        assert len(warm) == 2
        assert {"en", "de", "jv"} <= set(listed[0]["languages"])


async def test_a_model_larger_than_the_memory_is_refused_at_start_with_both_numbers(
    models: Path,
) -> None:
    engine = FasterWhisper(model=str(models / "one"))
    engine.configure(EngineOptions(ModelMemory(50_000_000)))
    with pytest.raises(errors.EngineUnavailable, match=r"takes 15\d.* MiB.*is 47.7 MiB"):
        await engine.start()


async def test_a_model_that_nobody_uses_is_unloaded_and_loaded_again(models: Path) -> None:
    engine = FasterWhisper(model=str(models / "one"))
    engine.configure(EngineOptions(ModelMemory(1 << 40, idle_timeout=0.05)))
    await engine.start()
    hears_anything(engine)
    try:
        await until(lambda: not engine.pids, 20)
        assert not engine.info.warm
        pcm = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
        [segment] = [s async for s in engine.transcribe(pcm, TranscriptionRequest())]
        assert segment.text == SCRIPTS["one"] and engine.info.warm
    finally:
        await engine.close()


async def test_hotwords_and_batches_reach_the_model(models: Path) -> None:
    engine = FasterWhisper(model=str(models / "one"))
    engine.configure(EngineOptions(batch=4))
    await engine.start()
    hears_anything(engine)
    try:
        pcm = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
        asked = TranscriptionRequest(hotwords="Privox", language="en")
        heard = [s.text async for s in engine.transcribe(pcm, asked)]
        assert " ".join(heard) == SCRIPTS["one"]
    finally:
        await engine.close()
