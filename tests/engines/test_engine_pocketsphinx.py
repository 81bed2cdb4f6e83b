"""pocketsphinx in its own process, listening to espeak-ng."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest
import pytest_asyncio
from killing import kill_all
from kit import until
from numpy.typing import NDArray

from nodes.engines.espeak import EspeakNg
from nodes.engines.pocketsphinx import PocketSphinx
from nodes.engines.pocketsphinx_worker import without_variant
from privox_dht import audio, errors, speech

pytest.importorskip("pocketsphinx")
pytest.importorskip("espeakng_loader")
pytestmark = pytest.mark.asyncio(loop_scope="module")
Request = speech.TranscriptionRequest
ANY = Request()
SENTENCE = "we will go to the market and buy some bread"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[PocketSphinx]:
    """One for all tests: whatever one of them does to it, it must be there for the next."""
    engine = PocketSphinx()
    await engine.start()
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken() -> NDArray[np.float32]:
    voice = EspeakNg()
    await voice.start()
    sounds = [sound async for sound in voice.speak(speech.SpeechRequest(SENTENCE))]
    await voice.close()
    pcm = b"".join(sound.pcm for sound in sounds)
    return audio.decode(audio.wav(pcm, sounds[0].rate), PocketSphinx.rate)


def noise(seconds: float) -> NDArray[np.float32]:
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * PocketSphinx.rate))
    return samples.astype(np.float32)


async def hear(
    engine: PocketSphinx, pcm: NDArray[np.float32], request: Request = ANY
) -> list[speech.Segment]:
    return [segment async for segment in engine.transcribe(pcm, request)]


async def test_a_started_engine_says_what_it_can(engine: PocketSphinx) -> None:
    info = engine.info
    assert (info.service, info.backend, info.engine) == ("stt", "cpu", "pocketsphinx")
    assert (info.models, info.languages) == (("en-us",), ("en",))
    assert info.speed > 0


async def test_it_understands_a_sentence_word_by_word(
    engine: PocketSphinx, spoken: NDArray[np.float32]
) -> None:
    [segment] = await hear(engine, spoken)
    assert segment.text == SENTENCE
    assert [word.text for word in segment.words] == SENTENCE.split()
    assert 0 <= segment.start < segment.end <= spoken.size / engine.rate
    edges = [edge for word in segment.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


async def test_two_sentences_are_two_segments_in_their_places(
    engine: PocketSphinx, spoken: NDArray[np.float32]
) -> None:
    pause = np.zeros(2 * engine.rate, np.float32)
    first, second = await hear(engine, np.concatenate([spoken, pause, spoken]))
    assert first.text == second.text == SENTENCE
    assert second.start - first.start == pytest.approx(spoken.size / engine.rate + 2, abs=0.1)


async def test_the_first_segment_comes_before_the_last_is_worked_on(
    engine: PocketSphinx, spoken: NDArray[np.float32]
) -> None:
    pause = np.zeros(engine.rate, np.float32)
    pcm = np.concatenate([spoken, pause] * 4)
    began = time.monotonic()
    async with aclosing(engine.transcribe(pcm, ANY)) as segments:
        await anext(segments)
        first = time.monotonic() - began
        rest = [segment async for segment in segments]
    assert len(rest) == 3
    assert first < (time.monotonic() - began) / 2


@pytest.mark.parametrize(
    "pcm",
    [np.zeros(0, np.float32), np.zeros(10, np.float32), np.zeros(80_000, np.float32)],
    ids=["nothing", "ten samples", "five seconds of silence"],
)
async def test_silence_gives_no_words(engine: PocketSphinx, pcm: NDArray[np.float32]) -> None:
    assert await hear(engine, pcm) == []


async def test_the_same_recording_is_heard_the_same_again(
    engine: PocketSphinx, spoken: NDArray[np.float32]
) -> None:
    first = await hear(engine, spoken)
    await hear(engine, noise(1))
    assert await hear(engine, spoken) == first


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(language="de"), "no language 'de' here; it has en"),
        (Request(model="large"), "no model 'large' here; it has en-us"),
        (Request(translate=False, model="pocketsphinx:xx"), "it has en-us"),
    ],
)
async def test_what_it_does_not_have_is_refused(
    engine: PocketSphinx, request_: Request, said: str
) -> None:
    with pytest.raises(errors.RequestRejected, match=said) as refused:
        await hear(engine, noise(1), request_)
    assert refused.value.status == 404


@pytest.mark.parametrize("model", ["", "pocketsphinx", "en-us", "pocketsphinx:en-us"])
async def test_its_model_can_be_named_in_all_the_ways(engine: PocketSphinx, model: str) -> None:
    await hear(engine, noise(0.5), Request(model=model, language="en-GB"))


async def test_a_cancelled_job_frees_the_engine_at_once(
    engine: PocketSphinx, spoken: NDArray[np.float32]
) -> None:
    job = asyncio.create_task(hear(engine, noise(60)))
    await until(lambda: engine._pool.busy, 5.0)
    job.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert time.monotonic() - began < 0.5
    assert (await hear(engine, spoken))[0].text == SENTENCE


async def test_a_worker_that_is_killed_in_mid_job_fails_the_job_only(
    engine: PocketSphinx, spoken: NDArray[np.float32]
) -> None:
    pause = np.zeros(engine.rate, np.float32)
    with pytest.raises(errors.EngineFailed, match="died"):
        async with aclosing(engine.transcribe(np.concatenate([spoken, pause] * 5), ANY)) as heard:
            async for _ in heard:
                kill_all(engine._pool.pids)
    assert (await hear(engine, spoken))[0].text == SENTENCE


async def test_another_model_is_refused_at_start() -> None:
    with pytest.raises(errors.EngineUnavailable, match="no model 'fr'"):
        await PocketSphinx(model="fr").start()


async def test_there_is_no_gpu_for_it() -> None:
    with pytest.raises(errors.EngineUnavailable, match="CPU only"):
        PocketSphinx.check("gpu")


async def test_a_word_is_spelled_without_the_number_of_its_pronunciation() -> None:
    assert [without_variant(entry) for entry in ("read", "read(2)")] == ["read", "read"]
