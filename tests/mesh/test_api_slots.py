"""A slot is taken before the upload and let go exactly once, whatever the client does."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest
from api_kit import Counting, Raw, ask, clip, field, form, head
from kit import until

from privox_dht.http.request_limits import RequestLimits
from privox_dht.speech_api.speech_server import SpeechServer

STT, TTS = "/v1/audio/transcriptions", "/v1/audio/speech"
BODY = form(field("stream", "true"), field("file", clip(), "a.wav"))
HURRY = RequestLimits(
    upload_begin=0.2, upload_window=0.2, linger=0.2, heartbeat=0.05, answer_stall=0.3
)


@pytest.fixture
def provider() -> Counting:
    return Counting(slots=1)


@pytest.fixture
async def server(provider: Counting) -> AsyncIterator[SpeechServer]:
    async with SpeechServer(provider, host="127.0.0.1", tls=None, bounds=HURRY) as server:
        yield server


async def served_again(server: SpeechServer, provider: Counting) -> bool:
    """The slot is free, it was let go once, and the next client gets it."""
    await until(lambda: provider.held == 0, 1.0)
    provider.gate.set()
    answer = await ask(server.port, head(STT, len(BODY)), BODY)
    await until(lambda: provider.held == 0, 1.0)
    return answer.status == 200


async def test_a_busy_server_says_so_before_the_upload(
    server: SpeechServer, provider: Counting
) -> None:
    provider.slots = 0
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, 50_000_000, Expect="100-continue"))
        answer = await raw.answer()
        assert answer.status == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.headers["connection"] == "close"
        assert answer.error["code"] == "busy"
        async with asyncio.timeout(HURRY.linger / 2):  # it does not wait for what it declined
            assert await raw.reader.read() == b""
    assert server.jobs.turned_away == 1


async def test_a_client_that_does_not_ask_gets_a_clean_503_too(
    server: SpeechServer, provider: Counting
) -> None:
    provider.slots = 0
    async with Raw.to(server.port) as raw:
        sending = asyncio.create_task(raw.send(head(STT, 50_000_000) + b"x" * 2_000_000))
        begun = time.monotonic()
        assert (await raw.answer()).status == 503
        assert time.monotonic() - begun < 1
        await sending


async def test_go_ahead_comes_once_there_is_a_slot_and_the_log_says_begun(
    server: SpeechServer, provider: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with Raw.to(server.port) as raw:
            await raw.send(head(STT, len(BODY), Expect="100-continue"))
            assert (await raw.answer()).status == 100
            assert provider.held == 1
            assert caplog.messages == ["job 1 stt begun"]
            await raw.send(BODY)
            assert (await raw.answer()).status == 200
    await until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1].startswith("job 1 stt done in ")
    assert provider.held == 0


async def test_beats_come_during_the_upload_for_whoever_accepts_events(
    server: SpeechServer, provider: Counting
) -> None:
    async with Raw.to(server.port) as raw:
        asks = {"Expect": "100-continue", "Accept": "text/event-stream"}
        await raw.send(head(STT, len(BODY), **asks) + BODY[:100])
        block = b""
        async with asyncio.timeout(1):
            while block.count(b"\r\n:\n\n\r\n") < 2:  # chunks that are comments
                block += await raw.reader.read(1000)
        assert block.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
        await raw.send(BODY[100:])
        assert b"16000 samples" in await raw.reader.readuntil(b"transcript.text.done")
    assert await served_again(server, provider)


@pytest.mark.parametrize(
    ("rest", "status", "code"),
    [
        (b"no form at all" * 1000, 400, "broken_form"),
        (b"", 408, "too_slow"),
        (form(field("file", clip(0.1), "a.wav"), field("model", "none")), 404, "model_not_found"),
    ],
)
async def test_after_the_first_beat_a_refusal_is_an_event(
    server: SpeechServer, provider: Counting, rest: bytes, status: int, code: str
) -> None:
    async with Raw.to(server.port) as raw:
        asks = {"Expect": "100-continue", "Accept": "text/event-stream"}
        await raw.send(head(STT, len(rest) or 1000, **asks))
        assert (await raw.answer()).status == 100
        await raw.send(rest)
        answer = (await raw.answer()).body.decode()
        assert f'"status":{status}' in answer and f'"code":"{code}"' in answer
        assert await served_again(server, provider)
    assert server.jobs.outcomes["refused"] == 1


@pytest.mark.parametrize("expect", [True, False])
async def test_a_client_that_never_sends_loses_its_slot(
    server: SpeechServer, provider: Counting, expect: bool
) -> None:
    more = {"Expect": "100-continue"} if expect else {}
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, 1_000_000, **more))
        if expect:
            assert (await raw.answer()).status == 100
        answer = await raw.answer(within=1.0)
        assert answer.status == 408
        assert "too slow" in answer.error["message"]
        assert await served_again(server, provider)
    assert server.jobs.outcomes["refused"] == 1


async def test_a_client_that_drips_loses_its_slot(server: SpeechServer, provider: Counting) -> None:
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, 1_000_000))

        async def drip() -> None:
            for byte in BODY:
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert (await raw.answer(within=2.0)).status == 408
        dripping.cancel()
    assert await served_again(server, provider)


async def test_a_client_that_drips_its_headers_is_hung_up_on(provider: Counting) -> None:
    bounds = RequestLimits(keepalive=0.2)
    async with (
        SpeechServer(provider, host="127.0.0.1", tls=None, bounds=bounds) as server,
        Raw.to(server.port) as raw,
    ):

        async def drip() -> None:
            for byte in head(STT, len(BODY)) * 100:
                await raw.send(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        async with asyncio.timeout(2):
            try:
                assert await raw.reader.read() == b""
            except ConnectionError:
                pass
        dripping.cancel()


@pytest.mark.parametrize("sent", [0, 1, 200, len(BODY) // 2, len(BODY) - 1])
async def test_a_client_that_leaves_in_its_upload_lets_go_of_its_slot(
    server: SpeechServer, provider: Counting, sent: int
) -> None:
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, len(BODY)) + BODY[:sent])
        await until(lambda: provider.held == 1)
    await until(lambda: provider.held == 0, 0.25)
    assert server.jobs.outcomes["cancelled"] == 1
    assert await served_again(server, provider)


async def test_a_client_that_leaves_right_after_asking_lets_go_of_its_slot(
    server: SpeechServer, provider: Counting
) -> None:
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, len(BODY), Expect="100-continue"))
    await until(lambda: server.jobs.outcomes.total() == 1)
    assert await served_again(server, provider)


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_client_that_leaves_while_the_engine_works_stops_the_engine(
    server: SpeechServer, provider: Counting, stream: str
) -> None:
    provider.gate.clear()
    body = form(field("stream", stream), field("file", clip(), "a.wav"))
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, len(body)) + body)
        await provider.working.wait()
    async with asyncio.timeout(0.25):
        await provider.closed.wait()
    await until(lambda: server.jobs.outcomes["cancelled"] == 1)
    assert await served_again(server, provider)


@pytest.mark.parametrize("events", ["sse", "audio"])
async def test_a_client_that_leaves_while_it_is_spoken_to_stops_the_engine(
    server: SpeechServer, provider: Counting, events: str
) -> None:
    body = b'{"input": "a b", "response_format": "pcm", "stream_format": "%s"}' % events.encode()
    provider.gate.clear()
    async with Raw.to(server.port) as raw:
        await raw.send(head(TTS, len(body), "application/json") + body)
        await provider.working.wait()
    async with asyncio.timeout(0.25):
        await provider.closed.wait()
    assert await served_again(server, provider)


async def test_a_client_that_stops_reading_its_answer_lets_go_of_its_slot(
    server: SpeechServer, provider: Counting
) -> None:
    body = b'{"input": "%s", "response_format": "pcm", "speed": 0.25}' % (b"a " * 2000)
    async with Raw.to(server.port) as raw:
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await raw.send(head(TTS, len(body), "application/json") + body)
        await until(lambda: provider.held == 1)
        await until(lambda: provider.held == 0, 10)
    assert server.jobs.outcomes["cancelled"] == 1
    assert await served_again(server, provider)


async def test_a_refused_form_lets_go_of_its_slot_before_the_rest_is_read(
    server: SpeechServer, provider: Counting
) -> None:
    async with Raw.to(server.port) as raw:
        await raw.send(head(STT, 1_000_000) + b"no form at all" * 1000)
        assert (await raw.answer()).status == 400
        await until(lambda: provider.held == 0, 0.1)
    assert await served_again(server, provider)


async def test_slots_are_let_go_once_under_a_crowd_of_rude_clients(provider: Counting) -> None:
    """Fifty at a time, each leaving at another moment: nothing leaks, nothing goes twice."""
    provider.slots = 50
    async with SpeechServer(provider, host="127.0.0.1", tls=None, bounds=HURRY) as server:
        whole = head(STT, len(BODY)) + BODY

        async def rude(cut: int) -> None:
            async with Raw.to(server.port) as raw:
                await raw.send(whole[:cut])
                await asyncio.sleep(0)

        for start in range(0, 4):
            step = len(whole) // 50
            await asyncio.gather(*(rude(start + n * step) for n in range(50)))
        await until(lambda: server.jobs.running == 0 and not server.connections)
        assert provider.held == 0
        assert server.jobs.outcomes.total() == provider.admitted
        assert await served_again(server, provider)


async def test_the_log_tells_of_jobs_and_never_words_or_addresses(
    server: SpeechServer, provider: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    secret = b'{"input": "xyzzy plugh", "response_format": "pcm", "voice": "%s"}'
    with caplog.at_level(logging.INFO):
        for voice in (b"low", b"frobozz"):
            body = secret % voice
            await ask(server.port, head(TTS, len(body), "application/json"), body)
        await ask(server.port, head(STT, len(BODY)), BODY)
        await ask(server.port, b"xyzzy\r\n\r\n")
        provider.slots = 0
        await ask(server.port, head(STT, len(BODY)), BODY)
    await until(lambda: server.jobs.running == 0)
    told = "\n".join(caplog.messages)
    assert [line.split(" in ")[0] for line in caplog.messages] == [
        "job 1 tts begun", "job 1 tts done", "job 2 tts begun", "job 2 tts refused",
        "job 3 stt begun", "job 3 stt done",
    ]  # fmt: skip
    for word in ("xyzzy", "plugh", "frobozz", "samples", "127.0.0.1"):
        assert word not in told


async def test_a_bug_of_ours_is_told_at_error_and_the_client_gets_a_500(
    server: SpeechServer, provider: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    provider.breaks_with = ZeroDivisionError("secret words")
    body = form(field("file", clip(), "a.wav"))
    answer = await ask(server.port, head(STT, len(body)), body)
    assert (answer.status, answer.error["code"]) == (500, "failed")
    assert "secret" not in answer.body.decode()
    bugs = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(bugs) == 1 and "ZeroDivisionError" in bugs[0] and "secret" not in bugs[0]
    assert await served_again_after(server, provider)


async def served_again_after(server: SpeechServer, provider: Counting) -> bool:
    provider.breaks_with = None
    return await served_again(server, provider)
