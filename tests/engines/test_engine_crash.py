"""A worker of faster-whisper or piper that crashes in mid-job: the node has another one."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models

from nodes.engines.piper import Piper
from nodes.engines.whisper import FasterWhisper
from nodes.engines.worker import WorkerDied
from privox_dht.speech import SpeechRequest, TranscriptionRequest

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
SENTENCES = 300
WINDOWS = 40  # of half a minute
BACK_WITHIN = 30.0  # seconds; a busy machine takes a while to import and load


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.make(tmp_path_factory.mktemp("models"))


@pytest.fixture(params=tiny_models.NAMES)
async def engine(
    request: pytest.FixtureRequest, models: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    engine = tiny_models.engine_of(request.param, models)
    if isinstance(engine, FasterWhisper):
        options = engine._options  # the scripted model hears its text in anything
        monkeypatch.setattr(engine, "_options", lambda r: options(r) | {"vad_filter": False})
    await engine.start()
    yield engine
    await engine.close()


def long_job(engine: Any) -> Any:
    if isinstance(engine, Piper):
        return engine.speak(SpeechRequest("A sentence. " * SENTENCES))
    noise = np.random.default_rng(0).normal(0, 0.1, WINDOWS * 30 * engine.rate)
    return engine.transcribe(noise.astype(np.float32), TranscriptionRequest())


async def test_another_worker_is_warm_soon_after_one_crashed(engine: Any) -> None:
    """Its job fails with its reason, or goes on in the next one where the library was not at it."""
    [crashed] = engine.pids
    pieces = 0
    async with aclosing(long_job(engine)) as answer:
        try:
            async for _ in answer:
                if not pieces:
                    os.kill(crashed, signal.SIGSEGV)
                pieces += 1
        except WorkerDied as exc:
            assert exc.why == "SIGSEGV" and exc.is_own_job
        else:
            assert pieces >= min(SENTENCES, WINDOWS)
    began = time.monotonic()
    async with asyncio.timeout(BACK_WITHIN), aclosing(long_job(engine)) as answer:
        await anext(answer)
    print(f"another one answered after {time.monotonic() - began:.1f} s")
    assert crashed not in engine.pids


async def test_a_job_that_waits_for_its_turn_does_not_notice_a_crash(engine: Any) -> None:
    """Several jobs, one crash: no more than one of them fails, and the others are whole."""
    jobs = [asyncio.create_task(_counted(long_job(engine))) for _ in range(3)]
    [crashed] = engine.pids
    await asyncio.wait(jobs, timeout=0.5)
    os.kill(crashed, signal.SIGSEGV)
    done = await asyncio.gather(*jobs, return_exceptions=True)
    failed = [end for end in done if isinstance(end, BaseException)]
    assert len(failed) <= 1 and all(isinstance(end, WorkerDied) for end in failed), done
    whole = {end for end in done if not isinstance(end, BaseException)}
    assert len(whole) == 1, done


async def _counted(answer: Any) -> int:
    async with aclosing(answer):
        return len([piece async for piece in answer])


async def test_a_text_that_brings_down_the_espeak_inside_piper_is_spoken(models: Path) -> None:
    """It overflows its stack on words that do not end, as espeak-ng does."""
    engine = Piper(model=str(models / "voice.onnx"))
    await engine.start()
    try:
        [before] = engine.pids
        assert await _counted(engine.speak(SpeechRequest("s'" * 110)))
        assert engine.pids == (before,)
    finally:
        await engine.close()
