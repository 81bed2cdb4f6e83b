"""Good requests, a little wrong, by the hundred: the server serves on, nothing is unhandled."""

import asyncio
import random
from typing import Any

import psutil
import pytest
from api_kit import Counting, Raw, ask, clip, field, form, head
from kit import until

from privox_dht import limits
from privox_dht.http.request_limits import RequestLimits
from privox_dht.speech_api.speech_server import SpeechServer

STT, TTS = "/v1/audio/transcriptions", "/v1/audio/speech"
BOUNDS = RequestLimits(
    upload_begin=0.2, upload_window=0.3, upload_wall=1.0, linger=0.1, keepalive=0.5, heartbeat=0.05
)
AT_A_TIME = 20
NASTY = [
    b"", b"0", b"-1", b"9" * 30, b"1e9", b"NaN", b"\x00", b"\xff\xfe", b"\r\n", b"\r\n\r\n",
    b"%s%n", b"../../etc/passwd", b"{}", b"[]", b"null", b"true", b'"', b"'", b"\\", b";",
    b"--bOuNdArY", b"--bOuNdArY--", b"chunked", b"gzip", b"100-continue", b"a" * 5000,
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.0", b"HTTP/3", b"GET",
    "\u202e\ud800".encode("utf-8", "surrogatepass"), b"\x1b[2J", b"application/json", b"stream",
    b"Expect: 100-continue\r\n",
]  # fmt: skip


def good_ones() -> list[bytes]:
    """One request of every kind."""
    wav = field("file", clip(0.2), "clip.wav")
    fields = [field("model", "small"), field("language", "en"), field("stream", "true")]
    verbose = [field("response_format", "verbose_json"), field("timestamp_granularities[]", "word")]
    speech = b'{"input":"one two","voice":"low","response_format":"%s","stream_format":"%s"}'
    requests = [(STT, form(*fields, wav)), (STT, form(wav, *verbose))]
    raw = [head(path, len(body)) + body for path, body in requests]
    raw += [
        head(TTS, len(body), "application/json") + body
        for body in (speech % (b"wav", b"audio"), speech % (b"pcm", b"sse"))
    ]
    body = form(wav)
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    raw.append(head(STT, None, Transfer_Encoding="chunked") + chunk)
    raw.append(head(STT, len(body), Expect="100-continue") + body)
    raw += [
        head(path, 0, method="GET") for path in ("/v1/models", "/v1/models/toner", "/v1/status")
    ]
    return raw


def mutated(request: bytes, rng: random.Random) -> bytes:
    """A few small wrongs, mostly where the request says something and not in the sound."""
    wrong = bytearray(request)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 5])):
        at = (
            rng.randrange(min(len(wrong), 700)) if rng.random() < 0.8 else rng.randrange(len(wrong))
        )
        kind = rng.randrange(5)
        if kind == 0:
            wrong[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del wrong[at : at + rng.randint(1, 20)]
        elif kind == 2:
            wrong[at:at] = rng.choice(NASTY)
        elif kind == 3:
            size = rng.randint(1, 20)
            wrong[at : at + size] = rng.choice(NASTY)
        else:
            size = rng.randint(1, 200)
            wrong[at:at] = wrong[at : at + size]
        if not wrong:
            return b"\r\n"
    return bytes(wrong)


async def shower(port: int, count: int, seed: int) -> dict[int, int]:
    """Send `count` wrong requests, some at a time; how often which status came back (0: none)."""
    rng = random.Random(seed)
    good, seen, room = good_ones(), dict[int, int](), asyncio.Semaphore(AT_A_TIME)

    async def one(request: bytes, cut: int, leave: bool) -> None:
        status = 0
        async with room:
            try:
                async with Raw.to(port) as raw:
                    await raw.send(request[:cut])
                    await raw.send(request[cut:])
                    if not leave:
                        status = (await raw.answer(within=2.0)).status
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
                pass  # it hung up, or answered what our small reader does not read
        seen[status] = seen.get(status, 0) + 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            request = mutated(rng.choice(good), rng)
            tasks.create_task(one(request, rng.randrange(len(request) + 1), rng.random() < 0.1))
    return seen


async def survives(count: int, seed: int, caplog: pytest.LogCaptureFixture) -> dict[int, int]:
    unhandled: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: unhandled.append(told))
    provider = Counting(slots=1000)
    wav = form(field("file", clip(0.2), "a.wav"))
    async with SpeechServer(provider, host="127.0.0.1", tls=None, bounds=BOUNDS) as server:

        async def job() -> int:
            return (await ask(server.port, head(STT, len(wav)), wav)).status

        await shower(server.port, 100, seed + 1)  # to warm up
        before = psutil.Process().memory_info().rss
        showering = asyncio.create_task(shower(server.port, count, seed))
        while not showering.done():
            assert await job() == 200
            await asyncio.wait({showering}, timeout=0.05)
        assert await job() == 200
        await until(lambda: not server.connections and not server.jobs.running, 5)
        assert provider.held == 0
        assert server.jobs.outcomes.total() == provider.admitted
        assert server.jobs.outcomes["failed"] == 0
    assert psutil.Process().memory_info().rss - before < 64 * limits.MIB
    assert unhandled == []
    assert [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []
    return await showering


async def test_hundreds_of_wrong_requests_are_survived(caplog: pytest.LogCaptureFixture) -> None:
    seen = await survives(400, 7, caplog)
    assert seen.get(500, 0) == 0
    assert seen[200] > 40  # many wrongs do not matter
    assert seen[400] > 40
    assert {404, 415} <= set(seen)


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_thousands_of_wrong_requests_are_survived(caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(10):
        seen = await survives(2000, 100 * seed, caplog)
        assert seen.get(500, 0) == 0
