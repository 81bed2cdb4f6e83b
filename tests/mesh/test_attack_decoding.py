"""A live node that is sent what is dear to decode or deadly to speak does not grow, nor wait."""

import asyncio
import contextlib
import io
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import av
import hostile_sound
import psutil
import pytest
from kit import HOST
from running import Lab

from nodes.codecs import Codecs
from nodes.demo import RunningNode
from privox_dht import audio, limits
from privox_dht.errors import RequestRejected

GROWTH = 64 * limits.MIB  # bytes that the node may grow by
FREED = 1.0  # seconds from the hang-up to the slot
ENDED = 3.0  # seconds from SIGTERM to the end
SLOTS = 4
RATE = 16_000
LONG_TEXT = "We will go to the market and buy some bread. " * 90


class Attacked:
    """A producer in a process of its own, and its API."""

    def __init__(self, node: RunningNode, session: aiohttp.ClientSession) -> None:
        self.node = node
        self.process = psutil.Process(node.process.pid)
        self._session = session
        self._url = f"https://{HOST}:{node.events['listening']['job_port']}"

    async def hear(self, file: bytes, model: str = "echo") -> int:
        """The status that a transcription ends with."""
        form = aiohttp.FormData({"model": model})
        form.add_field("file", io.BytesIO(file), filename="a")
        url = f"{self._url}/v1/audio/transcriptions"
        async with self._session.post(url, data=form, ssl=False) as answer:
            await answer.read()
            return answer.status

    async def speak(self, text: str, format: str = "mp3", model: str = "espeak-ng") -> int:
        asked = {"model": model, "input": text, "response_format": format}
        async with self._session.post(
            f"{self._url}/v1/audio/speech", json=asked, ssl=False
        ) as answer:
            await answer.read()
            return answer.status

    async def idle(self) -> int:
        async with self._session.get(f"{self._url}/v1/status", ssl=False) as answer:
            return int((await answer.json())["idle"])

    async def until_idle(self, wanted: int, within: float) -> float:
        """How long it takes until so many slots are idle."""
        began = time.monotonic()
        async with asyncio.timeout(within):
            while await self.idle() != wanted:  # noqa: ASYNC110 - it is asked over HTTP
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    def memory(self, which: str) -> int:
        """Bytes that the node itself has (VmRSS), or had at the most (VmHWM)."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(which)) * limits.KIB


@pytest.fixture
async def attacked(tmp_path: Path) -> AsyncIterator[Attacked]:
    with Lab(tmp_path) as lab:
        services = "stt/cpu/echo,tts/cpu/espeak-ng"
        node = await asyncio.to_thread(lab.producer, "target", services, "--slots", str(SLOTS))
        async with aiohttp.ClientSession() as session:
            attacked = Attacked(node, session)
            assert await attacked.hear(hostile_sound.honest()) == 200
            yield attacked


def encoded(format: str) -> bytes:
    encoder = audio.Encoder(format, RATE)
    return encoder.feed(hostile_sound.SECOND) + encoder.finish()


@pytest.mark.quiet
@pytest.mark.parametrize("times", [1, pytest.param(25, marks=pytest.mark.soak)])
@pytest.mark.timeout(600)
async def test_files_that_are_dear_to_open_do_not_make_the_node_grow(
    attacked: Attacked, times: int
) -> None:
    files = {
        "tables": hostile_sound.m4a_of_claims(),
        "cover": hostile_sound.mp3_with_cover(6000),
        "comments": hostile_sound.flac_of_comments(20_000),
    }
    before = attacked.memory("VmRSS")
    for _ in range(times):
        statuses = await asyncio.gather(*(attacked.hear(file) for file in files.values()))
        assert dict(zip(files, statuses, strict=True)) == {
            "tables": 400, "cover": 200, "comments": 200
        }  # fmt: skip
    assert attacked.memory("VmHWM") - before < GROWTH
    assert await attacked.hear(encoded("mp3")) == 200


async def test_who_hangs_up_frees_the_slot_within_a_second(attacked: Attacked) -> None:
    """Whatever is being decoded or spoken."""
    file = hostile_sound.flac_of_comments(150_000)
    works: list[Callable[[], Coroutine[Any, Any, int]]] = [
        lambda: attacked.hear(file), lambda: attacked.speak(LONG_TEXT, "flac")
    ]  # fmt: skip
    for work in works:
        jobs = [asyncio.create_task(work()) for _ in range(SLOTS)]
        await attacked.until_idle(0, within=10)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        assert await attacked.until_idle(SLOTS, within=10) < FREED
    assert await attacked.hear(encoded("mp3")) == 200


async def test_a_node_that_decodes_and_speaks_ends_within_three_seconds(attacked: Attacked) -> None:
    file = hostile_sound.flac_of_comments(150_000)
    work = [attacked.hear(file), attacked.hear(file), attacked.speak(LONG_TEXT)]
    jobs = [asyncio.create_task(job) for job in work]
    with contextlib.suppress(TimeoutError):  # speaking may be over before the rest begins
        await attacked.until_idle(SLOTS - len(work), within=2)
    workers = attacked.process.children(recursive=True)
    began = time.monotonic()
    attacked.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(attacked.node.process.wait, 30)
    assert time.monotonic() - began < ENDED
    await asyncio.gather(*jobs, return_exceptions=True)
    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 3)
    assert not alive


async def test_a_text_that_kills_costs_one_job_at_most(attacked: Attacked) -> None:
    for text in ("A." * 193, "s'" * 110, "https://" + ".".join(f"host{n}" for n in range(90))):
        assert await attacked.speak(text) == 200
    assert await attacked.idle() == SLOTS


# -- every container and codec, with bytes changed -------------------------------------------------

KINDS = {  # container: codecs
    "wav": ("pcm_s16le", "pcm_u8", "pcm_f32le", "pcm_alaw", "adpcm_ms", "adpcm_ima_wav"),
    "w64": ("pcm_s16le",), "aiff": ("pcm_s16be",), "au": ("pcm_s16be", "pcm_mulaw"),
    "caf": ("pcm_s16be", "alac"), "mp3": ("libmp3lame",), "flac": ("flac",),
    "ogg": ("libopus", "libvorbis", "flac"), "webm": ("libopus", "libvorbis"),
    "matroska": ("aac", "mp2", "ac3", "pcm_s16le"), "mov": ("aac", "adpcm_ima_qt"),
    "ipod": ("aac", "alac"), "adts": ("aac",), "amr": ("libopencore_amrnb",),
}  # fmt: skip


def corpus() -> dict[str, bytes]:
    """Half a second of noise in every way that this FFmpeg can write."""

    import numpy as np

    noise = np.random.default_rng(0).normal(0, 2000, RATE // 2).astype("<i2").reshape(1, -1)
    files: dict[str, bytes] = {}
    for container, codecs in KINDS.items():
        for codec in codecs:
            rate = {"libopus": 48_000, "ac3": 48_000, "libopencore_amrnb": 8_000}.get(codec, RATE)
            file = io.BytesIO()
            try:
                with av.open(file, "w", format=container) as out:
                    stream: Any = out.add_stream(codec, rate=rate, layout="mono")
                    size = stream.codec_context.frame_size or 960
                    resampler = av.AudioResampler(stream.format.name, "mono", rate, frame_size=size)
                    frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
                    frame.sample_rate = RATE
                    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                        out.mux(stream.encode(piece))
                    out.mux(stream.encode(None))
            except (av.error.FFmpegError, ValueError):
                continue  # this FFmpeg was built without it
            files[f"{container}/{codec}"] = file.getvalue()
    return files


def damaged(file: bytes, rng: random.Random) -> bytes:
    """`file` with bytes changed, most of them near its beginning; perhaps cut, perhaps doubled."""
    data = bytearray(file)
    for _ in range(rng.choice([1, 3, 10, 50])):
        at = int(len(data) * rng.random() ** rng.choice([1, 4]))
        data[at] = rng.choice([0, 0xFF, 0x7F, 0x80, rng.randrange(256)])
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    if rng.random() < 0.1:
        data = data + data
    return bytes(data)


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(4_000, marks=[pytest.mark.soak, pytest.mark.timeout(7_200)])]
)
async def test_damaged_files_of_every_kind_are_heard_or_refused(rounds: int) -> None:

    files, rng = corpus(), random.Random(5678)
    assert len(files) >= 15, sorted(files)
    before = psutil.Process().memory_info().rss
    async with Codecs(2) as codecs:
        await codecs.start()
        processes = codecs.pids
        outcomes = {"heard": 0, "refused": 0}
        for number in range(rounds):
            for name, file in files.items():
                upload = io.BytesIO(damaged(file, rng) if number else file)
                try:
                    async with codecs.decoded(upload, RATE) as recording:
                        assert 0 < recording.seconds < limits.MAX_AUDIO_SECONDS, name
                    outcomes["heard"] += 1
                except RequestRejected as exc:
                    assert number, f"{name} as it was written: {exc.message}"
                    assert exc.status in (400, 413), name
                    outcomes["refused"] += 1
        assert all(outcomes.values()), outcomes
        assert codecs.pids == processes
    assert psutil.Process().memory_info().rss - before < GROWTH
