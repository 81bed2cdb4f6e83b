"""The gateway under load: many clients at few slots, and films beside commands. Real processes."""

import asyncio
import json
import re
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from api_kit import clip
from kit import HOST
from open_engines import VOICE, knows_open_engines
from running import Lab
from test_gateway_film import MEMORY, asked, given_back, producers, watched
from tone_talk import talk

from nodes.demo import RunningNode
from nodes.gateway.key_command import add_key

CLIENTS, CONNECTIONS, SLOTS = 200, 4, 4
JOB = 8.0  # words a second that a slot speaks; a job has two
LOOK_EVERY = 0.02  # seconds between two looks at how late the gateway is
LATE = 0.05  # seconds, at the 99th percentile
MORE_MEMORY = 1.1  # times what it had once all had come
DISTINCT = 1 << 20


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@dataclass
class Tally:
    """What many clients met."""

    until: float
    waits: list[float] = field(default_factory=list)  # seconds, of each that was served
    told: int = 0  # a time to come back
    held: int = 0  # of these, served then
    broken: int = 0  # of these, sent away again
    others: list[str] = field(default_factory=list)  # answers that are neither


async def keeps_asking(url: str, http: aiohttp.ClientSession, key: str, tally: Tally) -> None:
    """One connection of a client: it asks, comes back when it was told to, and asks again."""
    speech = {"model": "tts-1", "voice": "alloy", "input": "a b", "response_format": "wav"}
    headers = {"Authorization": f"Bearer {key}"}
    while time.monotonic() < tally.until:
        began, was_told = time.monotonic(), False
        while time.monotonic() < tally.until:
            try:
                async with http.post(
                    f"{url}/v1/audio/speech", json=speech, headers=headers
                ) as answer:
                    await answer.read()
                    status, after = answer.status, answer.headers.get("Retry-After", "")
            except aiohttp.ClientError as exc:
                tally.others.append(type(exc).__name__)
                return
            tally.held += was_told and status == 200
            tally.broken += was_told and status == 503
            if status == 200:
                tally.waits.append(time.monotonic() - began)
                break
            if status != 503 or not after:
                tally.others.append(f"{status} {after}")
                return
            tally.told += 1
            was_told = True
            await asyncio.sleep(int(after))


async def lateness(url: str, until: float) -> list[float]:
    """Seconds that a page took which does nothing, at one look after the other."""
    late = []
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < until:
            began = time.monotonic()
            async with http.get(f"{url}/healthz") as answer:
                await answer.read()
            late.append(time.monotonic() - began)
            await asyncio.sleep(LOOK_EVERY)
    return late


def memory_of(node: RunningNode) -> int:
    """Bytes that it has now."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1]) << 10


@pytest.mark.timeout(420)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("clients", "seconds"),
    [(30, 10.0), pytest.param(CLIENTS, 300.0, marks=[pytest.mark.soak, pytest.mark.quiet])],
)
async def test_many_clients_at_few_slots_are_served_or_told_when_they_will_be(
    clients: int, seconds: float, tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    engines = tmp_path / "engines"
    engines.mkdir()
    knows_open_engines(engines, patch)
    keys = [add_key(tmp_path / "keys", f"client{n}", 3600) for n in range(clients)]
    with Lab(tmp_path / "lab") as lab:
        lab.producer("producer", f"{VOICE}:{JOB:g}", "--slots", str(SLOTS))
        gateway = lab.node("gateway", "--gateway", f"{HOST}:0", "--keys", str(tmp_path / "keys"))
        url = f"http://{HOST}:{gateway.wait_for('gateway')['port']}"
        tally = Tally(time.monotonic() + seconds)
        sessions = [
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) for _ in keys
        ]
        asking = [
            asyncio.create_task(keeps_asking(url, session, key, tally))
            for session, key in zip(sessions, keys, strict=True)
            for _ in range(CONNECTIONS)
        ]
        looking = asyncio.create_task(lateness(url, tally.until))
        await asyncio.sleep(seconds / 4)
        before = memory_of(gateway)
        late = sorted(await looking)
        after = memory_of(gateway)
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        for session in sessions:
            await session.close()
    waits = sorted(tally.waits[len(tally.waits) // 5 :])  # the first ones came to an empty place
    median, p99 = statistics.median(waits), late[int(0.99 * len(late))]
    told = {
        "served": len(tally.waits), "told": tally.told, "held": tally.held,
        "broken": tally.broken, "median": round(median, 2), "longest": round(waits[-1], 2),
        "late p99 ms": round(1000 * p99, 1), "MiB": (before >> 20, after >> 20),
    }  # fmt: skip
    print(told)
    assert not tally.others, tally.others[:5]
    assert tally.held >= 9 * tally.broken, told
    if clients == CLIENTS:
        assert tally.held > 100
        assert waits[-1] <= 3 * median, told
        assert p99 < LATE, told
        assert after <= MORE_MEMORY * before, told


def commands(url: str, until: threading.Event, count: int = DISTINCT) -> list[float]:
    """Seconds of commands of three seconds each, one after the other."""

    async def one_after_the_other() -> list[float]:
        took = list[float]()
        sound = talk(5, ("talk", 2.8), ("silence", 0.2))
        wav = clip(3.0)[:44] + sound.sound.tobytes()
        async with aiohttp.ClientSession() as http:
            while not until.is_set() and len(took) < count:
                form = aiohttp.FormData({"model": "whisper-1"})
                form.add_field("file", wav, filename="a.wav")
                began = time.monotonic()
                async with http.post(f"{url}/v1/audio/transcriptions", data=form) as answer:
                    told = json.loads(await answer.read())
                    assert answer.status == 200, told
                took.append(time.monotonic() - began)
                assert told["text"] == sound.text
                await asyncio.sleep(0.2)
        return took

    return sorted(asyncio.run(one_after_the_other()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("films", "count", "minutes", "speed"),
    [(2, 2, 2, 60), pytest.param(4, 8, 180, 30, marks=[pytest.mark.soak, pytest.mark.quiet])],
)
def test_films_at_once_keep_no_command_waiting(
    tmp_path: Path, patch: pytest.MonkeyPatch, films: int, count: int, minutes: int, speed: float
) -> None:
    said = talk(9, *[("talk", 50.0), ("silence", 10.0)] * minutes)
    with producers(tmp_path / "film", patch, count, speed) as lab:
        gateway = lab.node("gateway", "--gateway", f"{HOST}:0")
        port = gateway.wait_for("gateway")["port"]
        url = f"http://{HOST}:{port}"
        quiet = commands(url, threading.Event(), 40 if films == 4 else 5)
        peaks, done, subtitles = [1], threading.Event(), []
        watching = watched(gateway, peaks)
        began = time.monotonic()
        watchers = [
            threading.Thread(target=lambda: subtitles.append(asked(port, said)))
            for _ in range(films)
        ]
        for watcher in watchers:
            watcher.start()

        def end() -> None:
            for watcher in watchers:
                watcher.join()
            done.set()

        ending = threading.Thread(target=end)
        ending.start()
        busy = commands(url, done)
        ending.join()
        seconds, memory = time.monotonic() - began, max(peaks)
        peaks.append(0)
        watching.join(5)
        assert given_back(gateway), "the disk is given back"
    assert len(subtitles) == films
    for subtitle in subtitles:
        lines = [block.split("\n", 2)[2] for block in subtitle.strip().split("\n\n")]
        assert " ".join(" ".join(lines).split()) == said.text
    p95 = [round(1000 * some[int(0.95 * (len(some) - 1))], 1) for some in (quiet, busy)]
    told = {"seconds": round(seconds, 1), "MiB": memory >> 20, "p95 ms": p95, "of": len(busy)}
    print(told)
    assert memory < MEMORY
    if films == 4:
        assert p95[1] < 2 * p95[0], told
