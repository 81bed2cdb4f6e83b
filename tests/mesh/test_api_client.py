"""The caller's side of the speech API: what goes right, and how each thing goes wrong."""

import asyncio
import io
import json
import ssl
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from api_kit import RATE, Counting, clip
from kit import until

from privox_dht import limits
from privox_dht.errors import (
    ConfigError,
    EngineFailed,
    JobError,
    NoParkedLine,
    PeerKeyMismatch,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)
from privox_dht.http.request_limits import RequestLimits
from privox_dht.http.sse import HEARTBEAT_COMMENT, event
from privox_dht.identity import Identity
from privox_dht.speech import AudioInfo, Segment, SpeechRequest, TranscriptionRequest
from privox_dht.speech_api.client import Endpoint, SpeechClient
from privox_dht.speech_api.speech_server import SpeechServer

ASKED = TranscriptionRequest()
ME = Identity.generate()
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def provider() -> Counting:
    return Counting()


@pytest.fixture
async def server(provider: Counting) -> AsyncIterator[SpeechServer]:
    async with SpeechServer(provider, host="127.0.0.1", tls=ME.server_context()) as server:
        yield server


@pytest.fixture
async def client() -> AsyncIterator[SpeechClient]:
    async with SpeechClient(allow=lambda address: True) as client:
        yield client


def at(port: int, key: bytes | None = ME.public, **more: Any) -> Endpoint:
    how = {"native": key is not None, **more}
    return Endpoint(f"{'https' if key else 'http'}://127.0.0.1:{port}", key, **how)


async def hear(
    client: SpeechClient, endpoint: Endpoint, source: bytes | Path | io.BytesIO, **more: Any
) -> list[AudioInfo | Segment]:
    request = more.pop("request", ASKED)
    return [item async for item in client.transcribe(endpoint, source, request, **more)]


async def say(client: SpeechClient, endpoint: Endpoint, text: str, format: str = "wav") -> bytes:
    request = SpeechRequest(text)
    return b"".join([piece async for piece in client.speak(endpoint, request, format)])


@asynccontextmanager
async def stranger(
    talk: Talk,
    context: ssl.SSLContext | None = None,
    plain: bool = False,
) -> AsyncIterator[int]:
    """A server that talks as the test says; our key unless told otherwise."""
    talks: set[asyncio.Task[None]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, EOFError, ssl.SSLError):
            pass
        finally:
            writer.transport.abort()
            talks.discard(task)

    tls = None if plain else context or ME.server_context()
    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


async def request_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The headers of a request, and its body, which we ask for if need be."""
    block = await reader.readuntil(b"\r\n\r\n")
    if b"100-continue" in block:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = [line for line in block.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return block + await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)


def answering(content: bytes, content_type: str = "text/event-stream", status: int = 200) -> Talk:
    """A stranger that reads a request and answers with `content`, then hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader, writer)
        head = f"HTTP/1.1 {status} So\r\nContent-Type: {content_type}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return talk


async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


# -- what goes right -------------------------------------------------------------------------------


async def test_a_recording_is_heard_segment_by_segment(
    client: SpeechClient, server: SpeechServer, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    path.write_bytes(clip(2.5))
    for source in (path, clip(2.5), io.BytesIO(clip(2.5))):
        length, *segments = await hear(client, at(server.port), source)
        assert length == AudioInfo(2.5)
        assert [s.text for s in segments if isinstance(s, Segment)] == [
            "16000 samples", "16000 samples", "8000 samples"
        ]  # fmt: skip


async def test_words_language_and_translation_travel(
    client: SpeechClient, server: SpeechServer
) -> None:
    request = TranscriptionRequest("counter:small", "de", True, "Ada", 0.5, True)
    _, segment = await hear(client, at(server.port), clip(), request=request)
    assert isinstance(segment, Segment)
    assert segment.language == "de"
    assert [word.text for word in segment.words] == ["16000", "samples"]


async def test_progress_is_told_until_everything_has_gone(
    client: SpeechClient, server: SpeechServer
) -> None:
    for recording in (clip(1), clip(10)):
        told: list[tuple[int, int]] = []

        def hear_of(sent: int, total: int, told: list[tuple[int, int]] = told) -> None:
            told.append((sent, total))

        await hear(client, at(server.port), recording, progress=hear_of)
        assert told == sorted(told)
        assert told[-1] == (len(recording), len(recording))


async def test_speech_is_a_whole_file(client: SpeechClient, server: SpeechServer) -> None:
    with wave.open(io.BytesIO(await say(client, at(server.port), "a b c"))) as sound:
        assert sound.getframerate() == RATE
    assert len(await say(client, at(server.port), "a b c", "pcm")) == RATE // 10 * 2 * 3


async def test_a_server_says_how_it_is(client: SpeechClient, server: SpeechServer) -> None:
    assert (await client.status(at(server.port)))["idle"] == 4


async def test_connections_are_used_again(client: SpeechClient, server: SpeechServer) -> None:
    for _ in range(5):
        await hear(client, at(server.port), clip())
        await say(client, at(server.port), "a")
    assert server.connections == 1


async def test_one_of_our_own_servers_needs_no_pin_to_be_asked_for_events(
    client: SpeechClient, provider: Counting
) -> None:
    """A pin says who answers; whether it is one of ours is said by itself."""
    async with SpeechServer(provider, host="127.0.0.1", tls=None) as plain:
        endpoint = at(plain.port, None, native=True)
        provider.gate.clear()
        heard = client.transcribe(endpoint, clip(2), TranscriptionRequest())
        async with aclosing(heard) as items:
            assert await anext(items) == AudioInfo(2.0), "before there is a whole answer"


async def test_the_ordinary_api_of_a_server_elsewhere_is_understood(
    client: SpeechClient, provider: Counting
) -> None:
    async with SpeechServer(provider, host="127.0.0.1", tls=None) as plain:
        for endpoint in (
            at(plain.port, None),
            Endpoint(f"http://127.0.0.1:{plain.port}/v1/", None, native=False),
        ):
            for seconds in (1, 10):
                length, *segments = await hear(client, endpoint, clip(seconds))
                assert length == AudioInfo(seconds)
                assert [s.text for s in segments if isinstance(s, Segment)] == (
                    ["16000 samples"] * seconds
                )
            assert len(await say(client, endpoint, "a", "pcm")) == RATE // 10 * 2


async def test_a_token_is_shown_and_never_printed(client: SpeechClient) -> None:
    seen: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await request_of(reader, writer))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b'Content-Length: 14\r\n\r\n{"text": "so"}')

    async with stranger(talk, plain=True) as port:
        endpoint = at(port, None, token="s3cret")
        for size in (100, 100_000):
            assert len(await hear(client, endpoint, b"x" * size)) == 2
    assert not any(b"Expect" in request for request in seen)  # not every server knows of that
    assert b"Authorization: Bearer s3cret" in seen[0]
    assert b"whisper-1" in seen[0]
    assert "s3cret" not in repr(endpoint) + str(endpoint)


# -- whom we talk to -------------------------------------------------------------------------------


async def test_another_key_gets_nothing_of_the_request(client: SpeechClient) -> None:
    heard = bytearray()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())

    async with stranger(talk, Identity.generate().server_context()) as port:
        for ask in (hear(client, at(port), clip(10)), say(client, at(port), "secret")):
            with pytest.raises(PeerKeyMismatch):
                await ask
    assert not heard


async def test_an_older_tls_is_no_proof_of_the_key(client: SpeechClient) -> None:
    context = ME.server_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with stranger(never, context) as port:
        with pytest.raises(PeerKeyMismatch):
            await client.status(at(port))


def test_a_key_without_https_is_impossible() -> None:
    with pytest.raises(ConfigError):
        Endpoint("http://127.0.0.1:1", ME.public)


async def test_an_address_that_is_not_allowed_is_not_dialled(server: SpeechServer) -> None:
    asked: list[str] = []

    def allow(address: str) -> bool:
        asked.append(address)
        return False

    async with SpeechClient(allow=allow) as client:
        for endpoint in (
            at(server.port),
            Endpoint(f"https://localhost:{server.port}", ME.public),
            Endpoint("https://x.privox", ME.public, f"http://127.0.0.1:{server.port}"),
        ):
            with pytest.raises(ProducerLost, match="may not be dialled"):
                await client.status(endpoint)
        assert "127.0.0.1" in asked
        assert server.connections == 0
        async with SpeechServer(Counting(), host="127.0.0.1", tls=None) as named_by_the_owner:
            assert await client.status(at(named_by_the_owner.port, None))


async def test_proxies_of_the_environment_are_ignored(
    client: SpeechClient, server: SpeechServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await client.status(at(server.port))


async def test_a_redirect_is_not_followed(client: SpeechClient, server: SpeechServer) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader, writer)
        to = f"https://127.0.0.1:{server.port}/v1/status"
        writer.write(f"HTTP/1.1 307 Go\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        await reader.read()

    async with stranger(talk) as port:
        with pytest.raises(EngineFailed, match="307"):
            await client.status(at(port))
    assert server.connections == 0


# -- through a farm --------------------------------------------------------------------------------


@asynccontextmanager
async def farm(
    to: int, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n", pause: float = 0.0
) -> AsyncIterator[int]:
    """A CONNECT proxy that leads to one port, whatever was asked for, 16 KiB in every `pause`."""

    async def splice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(16_384):
            writer.write(data)
            await writer.drain()
            if len(data) > 1000:
                await asyncio.sleep(pause)
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(b"CONNECT %s.privox:443 HTTP/1.1\r\n" % ME.peer_id.encode())
        writer.write(answer)
        await writer.drain()
        if b" 200 " in answer:
            there, back = await asyncio.open_connection("127.0.0.1", to)
            try:
                await asyncio.gather(splice(reader, back), splice(there, writer))
            finally:
                back.transport.abort()

    async with stranger(talk, plain=True) as port:
        yield port


def relayed(port: int) -> Endpoint:
    return Endpoint(f"https://{ME.peer_id}.privox", ME.public, f"http://127.0.0.1:{port}")


async def test_a_farm_leads_to_the_same_server(client: SpeechClient, server: SpeechServer) -> None:
    async with farm(server.port) as port:
        assert len(await hear(client, relayed(port), clip(10))) == 11
        assert await say(client, relayed(port), "a b")


async def test_a_farm_that_answers_itself_is_found_out(client: SpeechClient) -> None:
    async with (
        stranger(never, Identity.generate().server_context()) as other,
        farm(other) as port,
    ):
        with pytest.raises(PeerKeyMismatch):
            await hear(client, relayed(port), clip())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (503, NoParkedLine),
        (404, ProducerLost),
        (407, ProducerLost),
        (403, ProducerLost),
        (502, ProducerLost),
    ],
)
async def test_a_farm_without_a_line_is_busy_and_any_other_answer_is_a_loss(
    client: SpeechClient, status: int, kind: type[JobError]
) -> None:
    async with farm(0, b"HTTP/1.1 %d No\r\nRetry-After: 1\r\n\r\n" % status) as port:
        with pytest.raises(kind) as caught:
            await client.status(relayed(port))
        assert type(caught.value) is kind


# -- no, and not now -------------------------------------------------------------------------------


async def test_a_busy_server_costs_less_than_a_kilobyte_of_fifty_megabytes(
    client: SpeechClient, server: SpeechServer, provider: Counting
) -> None:
    """Counted inside TLS, where the request stands: on the wire the handshake comes on top."""
    provider.slots = 0
    seen, over = 0, asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        there, back = await asyncio.open_connection("127.0.0.1", server.port, ssl=_trusting())

        async def onward() -> None:
            nonlocal seen
            while data := await reader.read(65536):
                seen += len(data)
                back.write(data)
            back.close()

        sending = asyncio.create_task(onward())
        try:
            while data := await there.read(65536):
                writer.write(data)
            writer.close()
            await sending
        finally:
            back.transport.abort()
            over.set()

    async with stranger(talk) as port:
        begun = time.monotonic()
        with pytest.raises(ProducerBusy) as caught:
            await hear(client, at(port), bytes(50_000_000))
        assert time.monotonic() - begun < 1
        assert caught.value.retry_after == 2
        async with asyncio.timeout(5):
            await over.wait()  # by then all has been counted that it would have sent
    assert 0 < seen < 1024


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def test_a_refusal_keeps_its_status_code_and_parameter(
    client: SpeechClient, server: SpeechServer
) -> None:
    request = TranscriptionRequest(model="gigantic")
    for size in (1, 10):
        with pytest.raises(RequestRejected, match="there is counter, small, large") as caught:
            await hear(client, at(server.port), clip(size), request=request)
        assert (caught.value.status, caught.value.param) == (404, "model")


async def test_a_refusal_in_mid_stream_is_a_refusal(
    client: SpeechClient, server: SpeechServer
) -> None:
    with pytest.raises(RequestRejected, match="no WAV file"):
        await hear(client, at(server.port), b"garbage")


async def test_an_engine_that_breaks_in_mid_stream_has_failed(
    client: SpeechClient, server: SpeechServer, provider: Counting
) -> None:
    provider.breaks_with = EngineFailed("it tripped")
    for ask in (hear(client, at(server.port), clip()), say(client, at(server.port), "a b")):
        with pytest.raises(EngineFailed, match="it tripped"):
            await ask


async def test_a_recording_that_vanishes_while_it_is_sent_is_our_own_fault(
    client: SpeechClient, server: SpeechServer, tmp_path: Path
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(bytes(5_000_000))

    def cut(sent: int, total: int) -> None:
        path.write_bytes(b"")

    with pytest.raises(RequestRejected, match="shorter"):
        await hear(client, at(server.port), path, progress=cut)
    with pytest.raises(RequestRejected, match="No such file"):
        await hear(client, at(server.port), tmp_path / "none")


# -- gone ------------------------------------------------------------------------------------------


async def test_nobody_listening_is_a_loss_before_the_job_began(client: SpeechClient) -> None:
    async with stranger(never) as port:
        pass
    with pytest.raises(ProducerLost) as caught:
        await hear(client, at(port), clip())
    assert not caught.value.begun


async def test_no_handshake_is_a_loss_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECT_TIMEOUT", 0.2)
    async with (
        SpeechClient(allow=lambda address: True) as client,
        stranger(never, plain=True) as port,
    ):
        for endpoint in (at(port), relayed(port)):
            begun = time.monotonic()
            with pytest.raises(ProducerLost, match="no connection"):
                await client.status(endpoint)
            assert time.monotonic() - begun < 1


async def test_an_offer_without_an_answer_is_a_loss_in_time(
    client: SpeechClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "OFFER_TIMEOUT", 0.2)
    async with stranger(never) as port:
        begun = time.monotonic()
        with pytest.raises(ProducerLost, match="no answer to the request headers") as caught:
            await hear(client, at(port), clip(10))
        assert time.monotonic() - begun < 1
        assert not caught.value.begun


@pytest.mark.parametrize("through_a_farm", [False, True])
async def test_an_upload_that_nobody_takes_is_a_loss_in_time(
    client: SpeechClient, monkeypatch: pytest.MonkeyPatch, through_a_farm: bool
) -> None:
    monkeypatch.setattr(limits, "SILENCE", 0.3)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async with stranger(talk) as port, farm(port) as door:
        told: list[int] = []
        begun = time.monotonic()
        with pytest.raises(ProducerLost, match="the upload stalled") as caught:
            await hear(
                client,
                relayed(door) if through_a_farm else at(port),
                bytes(50_000_000),
                progress=lambda sent, total: told.append(sent),
            )
        assert time.monotonic() - begun < 3
        assert caught.value.begun
        assert told[-1] < 50_000_000


async def test_a_slow_upload_is_no_stalled_one(
    client: SpeechClient, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes three times the silence that would end it, most of that after all of it has gone
    from our hands: buffers on the way are large."""
    monkeypatch.setattr(limits, "SILENCE", 0.5)
    bounds = RequestLimits(heartbeat=0.1)
    async with (
        SpeechServer(provider, host="127.0.0.1", tls=ME.server_context(), bounds=bounds) as server,
        farm(server.port, pause=0.06) as port,
    ):
        begun = time.monotonic()
        assert await hear(client, relayed(port), clip(12)) != []
        assert time.monotonic() - begun > 1.2


async def test_silence_after_a_small_upload_is_a_loss_in_time(
    client: SpeechClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SILENCE", 0.2)
    async with stranger(never) as port:
        with pytest.raises(ProducerLost, match="no answer"):
            await hear(client, at(port), clip())


async def test_silence_in_the_middle_is_a_loss_and_a_beat_is_not_silence(
    client: SpeechClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SILENCE", 0.3)
    beats = 10

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(beats):
            writer.write(HEARTBEAT_COMMENT)
            await asyncio.sleep(0.1)
        await asyncio.Event().wait()

    async with stranger(talk) as port:
        begun = time.monotonic()
        with pytest.raises(ProducerLost, match="silent") as caught:
            await hear(client, at(port), clip())
        assert 1.0 < time.monotonic() - begun < 2.5
        assert caught.value.begun


async def test_a_server_that_dies_in_mid_answer_is_lost_and_had_begun(
    client: SpeechClient,
) -> None:
    segment = event("transcript.text.delta", delta="half", segment={"start": 0, "end": 1})
    for content in (b"", segment, segment + b"data: {"):
        async with stranger(answering(content)) as port:
            with pytest.raises(ProducerLost) as caught:
                await hear(client, at(port), clip())
            assert caught.value.begun


async def test_a_connection_that_was_closed_meanwhile_costs_nothing(
    client: SpeechClient, provider: Counting
) -> None:
    """The server hangs up the kept connection at the very moment the second request comes."""
    seen = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        seen += 1
        await request_of(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        writer.write(b"Content-Length: 2\r\n\r\n{}")
        if seen == 1:
            await request_of(reader, writer)  # the second request: read, and hung up on

    async with stranger(talk) as port:
        assert await client.status(at(port)) == {}
        assert await client.status(at(port)) == {}
    assert seen == 2


async def test_closing_the_generator_stops_the_work_over_there(
    client: SpeechClient, server: SpeechServer, provider: Counting
) -> None:
    provider.gate.clear()
    heard = client.transcribe(at(server.port), clip(3), ASKED)
    assert await anext(heard) == AudioInfo(3.0)
    await heard.aclose()
    async with asyncio.timeout(1):
        await provider.closed.wait()
    await until(lambda: provider.held == 0)


async def test_cancelling_an_upload_lets_go_of_the_slot_over_there(
    client: SpeechClient, server: SpeechServer, provider: Counting
) -> None:
    job = asyncio.create_task(hear(client, at(server.port), bytes(100_000_000)))
    await until(lambda: provider.held == 1)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await until(lambda: provider.held == 0, 1)


# -- what a hostile server may answer --------------------------------------------------------------

DONE = event("transcript.text.done", text="")
HOSTILE = {
    "another type": answering(b"{}", "text/html"),
    "no type": answering(b"{}", ""),
    "compressed": answering(b"x", "text/event-stream\r\nContent-Encoding: gzip"),
    "a line without end": answering(b"x" * (limits.MAX_EVENT + 100_000)),
    "no json": answering(b"data: {\n\n"),
    "no object": answering(b"data: 7\n\n" + DONE),
    "a wrong shape": answering(event("transcript.text.delta", delta=5, segment=[]) + DONE),
    "an impossible time": answering(b'data: {"type":"transcript.text.delta","seconds":1e999}\n\n'),
    "no base64": answering(event("speech.audio.delta", audio="!")),
    "nothing": answering(b""),
    "no http": lambda reader, writer: _babble(writer, b"\x00\xff" * 5000),
    "endless headers": lambda reader, writer: _babble(
        writer, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 9999
    ),
    "endless continues": lambda reader, writer: _babble(writer, b"HTTP/1.1 100 C\r\n\r\n" * 9999),
    "a wrong length": lambda reader, writer: _babble(
        writer, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\nx"
    ),
    "a wrong chunk": lambda reader, writer: _babble(
        writer,
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n",
    ),
    "an upgrade": lambda reader, writer: _babble(
        writer, b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
    ),
}  # fmt: skip


async def _babble(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(content)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_is_a_failure_or_a_loss(
    client: SpeechClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SILENCE", 0.5)
    talk: Any = HOSTILE[name]
    async with stranger(talk) as port:
        for ask in (
            hear(client, at(port), clip()),
            hear(client, at(port), clip(10)),
            say(client, at(port), "a"),
            client.status(at(port)),
        ):
            with pytest.raises((EngineFailed, ProducerLost)):
                await ask


async def test_an_answer_without_end_is_cut_off(
    client: SpeechClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_ANSWER", 100_000)
    monkeypatch.setattr(limits, "MAX_ANSWER_AUDIO", 100_000)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await request_of(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        one = (
            event("transcript.text.delta", delta="x" * 900, segment={"start": 0, "end": 1})
            if b"transcriptions" in asked
            else event("speech.audio.delta", audio="A" * 1000)
        )
        while True:
            writer.write(one)
            await writer.drain()

    async with stranger(talk) as port:
        for ask in (hear(client, at(port), clip()), say(client, at(port), "a")):
            with pytest.raises(EngineFailed, match="malformed"):
                await ask


async def test_a_stream_that_goes_on_after_its_end_is_left_alone(
    client: SpeechClient, server: SpeechServer
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader, writer)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + DONE)
        while True:
            writer.write(HEARTBEAT_COMMENT)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with stranger(talk) as port:
        begun = time.monotonic()
        assert await hear(client, at(port), clip()) == []
        assert time.monotonic() - begun < 2


async def test_an_error_page_without_end_is_read_only_so_far(client: SpeechClient) -> None:
    content = json.dumps({"error": {"message": "x" * 1_000_000}}).encode()
    async with stranger(answering(content, "application/json", 400)) as port:
        with pytest.raises(RequestRejected) as caught:
            await client.status(at(port))
        assert len(str(caught.value)) < 500


async def test_nonsense_for_an_address_is_a_loss(client: SpeechClient) -> None:
    for base in ("https://", "https://[::1", "https://127.0.0.1:99999", "https://a b"):
        with pytest.raises(ProducerLost):
            await client.status(Endpoint(base, ME.public))
