"""A live node whose workers of faster-whisper and piper crash or hang: what it costs."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import psutil
import pytest
from hostile_sound import honest
from running import Lab
from test_attack_decoding import ENDED, FREED, Attacked

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))
import tiny_models

pytest.importorskip("faster_whisper")
pytest.importorskip("piper")
SLOTS = 2
TEXT = "A sentence. " * 20
LOADED_WITHIN = 45.0  # seconds; a busy machine takes a while to import and load

Job = Callable[[], Awaitable[int]]


@pytest.fixture
async def attacked(tmp_path: Path) -> AsyncIterator[Attacked]:
    models = tiny_models.make(tmp_path)
    services = f"stt/cpu/faster-whisper:{models / 'whisper'},tts/cpu/piper:{models / 'voice.onnx'}"
    with Lab(tmp_path / "lab") as lab:
        node = await asyncio.to_thread(lab.producer, "target", services, "--slots", str(SLOTS))
        async with aiohttp.ClientSession() as session:
            yield Attacked(node, session)


def worker(attacked: Attacked, module: str) -> psutil.Process:
    """The node's process that runs this module."""
    [found] = [p for p in attacked.process.children() if any(module in a for a in p.cmdline())]
    return found


def jobs_of(attacked: Attacked) -> dict[str, Job]:
    """A job for each worker."""
    return {
        "whisper_worker": lambda: attacked.hear(honest(), "faster-whisper"),
        "piper_worker": lambda: attacked.speak(TEXT, "pcm", "piper"),
    }


async def test_who_asked_a_worker_that_crashes_has_his_answer_from_the_next(
    attacked: Attacked,
) -> None:
    """Each worker is stopped, so that the job is there for certain when it crashes."""
    for module, job in jobs_of(attacked).items():
        crashing = worker(attacked, module)
        crashing.suspend()
        asked = asyncio.ensure_future(job())
        await attacked.until_idle(SLOTS - 1, within=10)
        os.kill(crashing.pid, signal.SIGSEGV)
        crashing.resume()
        async with asyncio.timeout(LOADED_WITHIN):
            assert await asked == 200, module
        assert worker(attacked, module).pid != crashing.pid
    assert attacked.node.process.poll() is None and await attacked.idle() == SLOTS


async def test_who_hangs_up_on_a_worker_that_hangs_has_his_slot_freed(attacked: Attacked) -> None:
    for module, job in jobs_of(attacked).items():
        hanging = worker(attacked, module)
        hanging.suspend()
        jobs = [asyncio.ensure_future(job()) for _ in range(SLOTS)]
        await attacked.until_idle(0, within=10)
        for each in jobs:
            each.cancel()
        await asyncio.wait(jobs)
        assert await attacked.until_idle(SLOTS, within=10) < FREED
        hanging.resume()
        assert await job() == 200, module


async def test_a_node_whose_workers_hang_ends_within_three_seconds(attacked: Attacked) -> None:
    workers = [worker(attacked, module) for module in jobs_of(attacked)]
    for hanging in workers:
        hanging.suspend()
    jobs = [asyncio.ensure_future(job()) for job in jobs_of(attacked).values()]
    await attacked.until_idle(SLOTS - len(jobs), within=10)
    began = time.monotonic()
    attacked.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(attacked.node.process.wait, 30)
    assert time.monotonic() - began < ENDED
    await asyncio.gather(*jobs, return_exceptions=True)
    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 3)
    assert not alive
