"""The speech API over real sockets: every page, every format, over a provider that counts."""

import asyncio
import base64
import io
import json
import socket
import ssl
import sys
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from api_kit import RATE, Counting, Raw, ask, clip, field, form, head
from kit import until

from privox_dht import limits
from privox_dht.errors import ConfigError, EngineFailed
from privox_dht.http import http_server
from privox_dht.http.listener import bind
from privox_dht.http.request_body import SpooledFile, read_form
from privox_dht.http.request_checks import check_form
from privox_dht.http.request_limits import RequestLimits
from privox_dht.identity import Identity
from privox_dht.speech import AudioInfo, TranscriptionRequest
from privox_dht.speech_api.speech_server import ServedJob, SpeechServer

STT, TTS = "/v1/audio/transcriptions", "/v1/audio/speech"


@pytest.fixture
def provider() -> Counting:
    return Counting()


@pytest.fixture
async def server(provider: Counting) -> AsyncIterator[SpeechServer]:
    async with SpeechServer(
        provider, host="127.0.0.1", tls=None, bounds=RequestLimits(heartbeat=0.05)
    ) as server:
        yield server
        await until(lambda: provider.held == 0)


@pytest.fixture
async def http(server: SpeechServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session


def upload(seconds: float = 1.5, **fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name.replace("__", "[]"), value)
    form.add_field("file", clip(seconds), filename="clip.wav")
    return form


async def events(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    assert response.status == 200
    assert response.content_type == "text/event-stream"
    lines = (await response.text()).split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


# -- transcription ---------------------------------------------------------------------------------


async def test_json_is_the_text(http: aiohttp.ClientSession) -> None:
    async with http.post(STT, data=upload()) as response:
        assert await response.json() == {"text": "16000 samples 8000 samples"}
        assert response.headers["X-Privox-Engine"] == "counter"


@pytest.mark.parametrize(
    ("format", "content_type", "beginning"),
    [
        ("text", "text/plain", "16000 samples 8000 samples\n"),
        ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:01,000\n16000 samples\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\n16000 samples\n"),
    ],
)
async def test_other_formats_have_their_own_types(
    http: aiohttp.ClientSession, format: str, content_type: str, beginning: str
) -> None:
    async with http.post(STT, data=upload(response_format=format)) as response:
        assert response.content_type == content_type
        assert (await response.text()).startswith(beginning)


async def test_verbose_json_has_segments_and_the_words_that_were_asked_for(
    http: aiohttp.ClientSession,
) -> None:
    data = upload(response_format="verbose_json", timestamp_granularities__="word", language="de")
    async with http.post(STT, data=data) as response:
        told = await response.json()
    assert told["duration"] == 1.5
    assert told["language"] == "de"
    assert [word["word"] for word in told["words"]] == ["16000", "samples", "8000", "samples"]
    assert "segments" not in told


async def test_translations_say_that_they_are(http: aiohttp.ClientSession) -> None:
    data = upload(response_format="verbose_json")
    async with http.post("/v1/audio/translations", data=data) as response:
        assert (await response.json())["task"] == "translate"


async def test_a_stream_tells_the_length_each_segment_and_the_whole_text(
    http: aiohttp.ClientSession,
) -> None:
    async with http.post(STT, data=upload(stream="true")) as response:
        length, first, second, done = await events(response)
    assert length == {"type": "transcript.text.delta", "delta": "", "seconds": 1.5}
    assert first["segment"] == {"start": 0.0, "end": 1.0, "language": "en"}
    assert first["delta"] + second["delta"] == done["text"] == "16000 samples 8000 samples"
    assert done["type"] == "transcript.text.done"


async def test_a_stream_begins_before_the_work_and_beats_while_it_thinks(
    http: aiohttp.ClientSession, provider: Counting
) -> None:
    provider.gate.clear()
    async with http.post(STT, data=upload(stream="true")) as response:
        seen = b""
        while seen.count(b"\n:\n\n") < 2:  # comments between the first event and the gate's opening
            seen += await response.content.readany()
        assert b"16000 samples" not in seen
        provider.gate.set()
        assert b"16000 samples" in await response.content.read()


async def test_an_error_in_mid_stream_is_an_event_with_its_status(
    http: aiohttp.ClientSession, provider: Counting, server: SpeechServer
) -> None:
    provider.breaks_with = EngineFailed("the model tripped")
    async with http.post(STT, data=upload(stream="true")) as response:
        *_, last = await events(response)
    assert last["status"] == 500
    assert last["error"]["message"] == "the model tripped"
    await until(lambda: server.jobs.outcomes["failed"] == 1)


async def test_a_bug_in_mid_stream_is_told_without_its_words(
    http: aiohttp.ClientSession, provider: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    provider.breaks_with = ZeroDivisionError("a client's secret")
    async with http.post(STT, data=upload(stream="true")) as response:
        *_, last = await events(response)
    assert "secret" not in json.dumps(last)
    assert any("ZeroDivisionError" in message for message in caplog.messages)
    assert not any("secret" in r.getMessage() for r in caplog.records if r.levelname != "DEBUG")


async def test_an_error_before_the_answer_began_has_its_own_status(
    http: aiohttp.ClientSession, provider: Counting
) -> None:
    provider.breaks_with = EngineFailed("the model tripped")
    async with http.post(STT, data=upload()) as response:
        assert response.status == 500
        assert (await response.json())["error"]["code"] == "failed"


@pytest.mark.parametrize("in_memory", [10, 1_000_000])
async def test_an_upload_may_go_by_way_of_a_file(in_memory: int, provider: Counting) -> None:
    bounds = RequestLimits(in_memory=in_memory)
    async with (
        SpeechServer(provider, host="127.0.0.1", tls=None, bounds=bounds) as server,
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{server.port}{STT}", data=upload(3)) as response,
    ):
        assert (await response.json())["text"] == "16000 samples 16000 samples 16000 samples"


async def test_a_chunked_upload_is_an_upload(server: SpeechServer) -> None:
    body = form(field("file", clip(), "a.wav"))
    chunks = b"".join(
        f"{len(body[at : at + 1000]):x}\r\n".encode() + body[at : at + 1000] + b"\r\n"
        for at in range(0, len(body), 1000)
    )
    answer = await ask(
        server.port, head(STT, None, Transfer_Encoding="chunked"), chunks + b"0\r\n\r\n"
    )
    assert (answer.status, answer.body) == (200, b'{"text":"16000 samples"}')


async def test_fields_may_come_after_the_file(server: SpeechServer) -> None:
    body = form(field("file", clip(), "a.wav"), field("response_format", "text"))
    assert (await ask(server.port, head(STT, len(body)), body)).body == b"16000 samples\n"


# -- speech ----------------------------------------------------------------------------------------


async def test_wav_is_a_sound_file_of_the_right_length(http: aiohttp.ClientSession) -> None:
    asked = {"input": "three little words", "voice": "low", "response_format": "wav"}
    async with http.post(TTS, json=asked) as response:
        assert response.content_type == "audio/wav"
        assert response.headers["X-Privox-Engine"] == "toner"
        assert response.headers["X-Privox-Model"] == "low"
        assert response.headers["X-Privox-Rate"] == str(RATE)
        content = await response.read()
    with wave.open(io.BytesIO(content)) as sound:
        assert sound.getframerate() == RATE
        assert len(content) - 44 == 3 * RATE // 10 * 2


@pytest.mark.parametrize(
    ("format", "content_type", "magic"),
    [
        ("mp3", "audio/mpeg", b"\xff"),
        ("flac", "audio/flac", b"fLaC"),
        ("opus", "audio/ogg", b"OggS"),
        ("aac", "audio/aac", b"\xff"),
        ("m4a", "audio/mp4", b"\0\0\0\x1cftypM4A "),
        ("pcm", "audio/pcm", b""),
    ],
)
async def test_other_sound_formats(
    http: aiohttp.ClientSession, format: str, content_type: str, magic: bytes
) -> None:
    pytest.importorskip("av")
    async with http.post(TTS, json={"input": "hi", "response_format": format}) as response:
        assert response.content_type == content_type
        content = await response.read()
    assert content.startswith(magic) and len(content) > 200


async def test_without_a_format_it_is_mp3(http: aiohttp.ClientSession) -> None:
    pytest.importorskip("av")
    async with http.post(TTS, json={"input": "hi"}) as response:
        assert response.content_type == "audio/mpeg"


async def test_the_first_sound_leaves_before_the_second_is_made(
    http: aiohttp.ClientSession, provider: Counting
) -> None:
    async with http.post(TTS, json={"input": "a b", "response_format": "pcm"}) as response:
        provider.gate.clear()
        first = await response.content.readexactly(RATE // 10 * 2)
        provider.gate.set()
        assert len(first + await response.read()) == 2 * RATE // 10 * 2


async def test_speech_as_events_is_the_same_file(http: aiohttp.ClientSession) -> None:
    asked = {"input": "a b c", "response_format": "wav"}
    async with http.post(TTS, json=asked) as response:
        plain = await response.read()
    async with http.post(TTS, json={**asked, "stream_format": "sse"}) as response:
        *deltas, done = await events(response)
    assert b"".join(base64.b64decode(delta["audio"]) for delta in deltas) == plain
    assert done == {
        "type": "speech.audio.done", "bytes": len(plain), "seconds": 0.3, "rate": RATE
    }  # fmt: skip


async def test_a_voice_that_breaks_off_is_never_taken_for_complete(
    http: aiohttp.ClientSession, provider: Counting, server: SpeechServer
) -> None:
    provider.breaks_with = EngineFailed("hoarse")
    async with http.post(TTS, json={"input": "a b", "response_format": "pcm"}) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    await until(lambda: server.jobs.outcomes["failed"] == 1)


async def test_a_voice_that_runs_wild_is_stopped(provider: Counting) -> None:
    bounds = RequestLimits(speech_seconds=0.25)
    asked = {"input": "a b c d e f", "response_format": "pcm", "stream_format": "sse"}
    async with (
        SpeechServer(provider, host="127.0.0.1", tls=None, bounds=bounds) as server,
        aiohttp.ClientSession() as http,
        http.post(f"http://127.0.0.1:{server.port}{TTS}", json=asked) as response,
    ):
        *_, last = await events(response)
    assert last["type"] == "error"
    assert provider.closed.is_set()


# -- pages -----------------------------------------------------------------------------------------


async def test_models_voices_and_status(http: aiohttp.ClientSession, server: SpeechServer) -> None:
    async with http.get("/v1/models") as response:
        names = [entry["id"] for entry in (await response.json())["data"]]
    assert names == [
        "counter", "counter:small", "counter:large", "toner", "toner:low", "toner:high"
    ]  # fmt: skip
    for name in names:
        async with http.get(f"/v1/models/{name}") as response:
            assert (await response.json())["id"] == name
    async with http.get("/v1/audio/voices") as response:
        assert (await response.json())["voices"] == ["low", "high"]
    async with http.post(STT, data=upload()) as response:
        assert response.status == 200
    async with http.get("/v1/status") as response:
        status = await response.json()
    assert (status["slots"], status["idle"], status["jobs"]["done"]) == (4, 4, 1)


async def test_head_is_answered_like_get_without_a_body(server: SpeechServer) -> None:
    async with Raw.to(server.port) as raw:
        await raw.send(head("/v1/status", 0, method="HEAD") + head("/v1/models", 0, method="GET"))
        first = await raw.reader.readuntil(b"\r\n\r\n")
        assert first.startswith(b"HTTP/1.1 200")
        assert (await raw.answer()).status == 200


async def test_a_dialect_is_an_application_that_is_mounted_in_the_api(provider: Counting) -> None:
    """As the gateway's older dialects will be: pages and jobs of its own, under its own path."""

    async def length(request: web.BaseRequest, job: ServedJob) -> web.StreamResponse:
        async with aclosing(SpooledFile(limits.SPOOL_IN_MEMORY)) as upload:
            await read_form(request, RequestLimits(), upload, job.offer)
            heard = provider.transcribe(await upload.rewind(), TranscriptionRequest())
            async with aclosing(heard) as items:
                info = await anext(items)
                assert isinstance(info, AudioInfo)
                return web.Response(text=f"{info.seconds} s")

    async def hello(request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"hello {request.match_info['name']}")

    server = SpeechServer(provider, host="127.0.0.1", tls=None)
    dialect = web.Application()
    dialect.router.add_get("/hello/{name}", hello)
    server.add_job("/length", "stt", check_form, length, dialect)
    server.app.add_subapp("/older", dialect)
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        async with http.get("/older/hello/you") as response:
            assert await response.text() == "hello you"
        async with http.post("/older/length", data=upload()) as response:
            assert await response.text() == "1.5 s"
        assert (provider.admitted, server.jobs.outcomes["done"]) == (1, 1)
        for method, path, status, code in (
            ("GET", "/older/nothing", 404, "not_found"),
            ("PUT", "/older/length", 405, "method_not_allowed"),
        ):
            async with http.request(method, path) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (status, code)


@pytest.mark.parametrize(("path", "status"), [("/v1/nothing", 404), ("/v1/models", 405)])
async def test_where_there_is_no_such_page_it_is_said_before_the_upload(
    server: SpeechServer, path: str, status: int
) -> None:
    async with Raw.to(server.port) as raw:
        await raw.send(head(path, 50_000_000, Expect="100-continue"))
        assert (await raw.answer()).status == status


async def test_further_pages_are_served_beside_the_api(provider: Counting) -> None:
    async def hello(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="hello")

    async with SpeechServer(
        provider, host="127.0.0.1", tls=None, more={("GET", "/hello"): hello}
    ) as server:
        assert (await ask(server.port, head("/hello", 0, method="GET"))).body == b"hello"


async def test_a_connection_serves_one_request_after_the_other(server: SpeechServer) -> None:
    body = form(field("file", clip(), "a.wav"))
    async with Raw.to(server.port) as raw:
        for _ in range(3):
            await raw.send(head(STT, len(body)) + body)
            assert (await raw.answer()).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
async def test_the_log_says_that_the_disk_is_full(
    provider: Counting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It said `OSError at .../thread.py:58`."""
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "r+b", 0))
    bounds = RequestLimits(in_memory=1000)
    async with SpeechServer(provider, host="127.0.0.1", tls=None, bounds=bounds) as server:
        body = form(field("file", clip(), "a.wav"))
        assert (await ask(server.port, head(STT, len(body)) + body)).status == 500
    assert "broke: OSError (No space left on device) at" in caplog.text


# -- connections -----------------------------------------------------------------------------------


async def test_both_families_are_listened_on_at_one_port(provider: Counting) -> None:
    for host in (None, "::"):
        async with SpeechServer(provider, host=host, tls=None) as server:
            for address in ("127.0.0.1", "::1"):
                try:
                    made = socket.create_connection((address, server.port), timeout=5)
                except OSError:
                    assert address == "::1" and not socket.has_ipv6
                else:
                    made.close()


async def test_a_port_that_is_taken_is_a_configuration_error(provider: Counting) -> None:
    async with SpeechServer(provider, host="127.0.0.1", tls=None) as server:
        with pytest.raises(ConfigError, match=str(server.port)):
            async with SpeechServer(provider, host="127.0.0.1", port=server.port, tls=None):
                pass


async def test_a_port_is_had_before_anybody_is_let_in(provider: Counting) -> None:
    (bound,) = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    with pytest.raises(ConfigError, match=str(port)):
        bind("127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    async with SpeechServer(provider, host="127.0.0.1", sockets=[bound], tls=None) as server:
        assert server.port == port
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


async def test_a_port_that_another_program_has_begun_to_use_is_named(provider: Counting) -> None:
    first = socket.socket()
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    first.bind(("127.0.0.1", 0))
    port = first.getsockname()[1]
    bound = bind("127.0.0.1", port)
    with closing(first):
        first.listen()
        with pytest.raises(ConfigError, match=f"port {port}"):
            async with SpeechServer(provider, host="127.0.0.1", sockets=bound, tls=None):
                pass


async def test_a_connection_without_an_address_ends_itself_only(
    provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS accepts a connection that was reset meanwhile, without an address: nobody else was
    let in after it."""
    loop = asyncio.get_running_loop()
    accept, nameless = loop.sock_accept, [True]

    async def sock_accept(listening: socket.socket) -> tuple[socket.socket, Any]:
        conn, where = await accept(listening)
        return conn, None if nameless and nameless.pop() else where

    monkeypatch.setattr(loop, "sock_accept", sock_accept)
    async with SpeechServer(provider, host="127.0.0.1", tls=None) as server, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()
        assert (await ask(server.port, head("/v1/models", 0, method="GET"))).status == 200


async def test_a_host_of_another_machine_is_a_configuration_error(provider: Counting) -> None:
    for host in ("203.0.113.5", "no address"):
        with pytest.raises(ConfigError):
            async with SpeechServer(provider, host=host, tls=None):
                pass


async def test_connections_beyond_the_bound_are_hung_up_on(provider: Counting) -> None:
    bounds = RequestLimits(connections=2)
    async with SpeechServer(provider, host="127.0.0.1", tls=None, bounds=bounds) as server:
        async with Raw.to(server.port) as one, Raw.to(server.port) as two:
            for raw in (one, two):
                await raw.send(head("/v1/status", 0, method="GET"))
                assert (await raw.answer()).status == 200
            async with Raw.to(server.port) as three:
                with pytest.raises((ConnectionError, EOFError)):
                    await three.send(head("/v1/status", 0, method="GET"))
                    await three.answer()
        await until(lambda: not server.connections)
        assert (await ask(server.port, head("/v1/status", 0, method="GET"))).status == 200


async def test_callers_who_never_speak_are_hung_up_on_and_others_served(provider: Counting) -> None:
    """Each holds a place until its handshake is due; none of them costs a line in the log."""
    bounds = RequestLimits(connections=3, handshake=0.3)
    tls = Identity.generate().server_context()
    async with SpeechServer(provider, host="127.0.0.1", tls=tls, bounds=bounds) as server:
        async with Raw.to(server.port) as one, Raw.to(server.port) as two, Raw.to(server.port) as _:
            await two.send(b"\x16\x03\x01\x02\x00\x01\x00\x01")
            async with Raw.to(server.port) as beyond:
                async with asyncio.timeout(0.25):
                    assert await _end(beyond) == b""
            async with asyncio.timeout(2):
                assert await _end(one) == b""
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"https://127.0.0.1:{server.port}/v1/status", ssl=False) as response,
        ):
            assert response.status == 200


async def test_leaving_hangs_up_on_half_made_connections(provider: Counting) -> None:
    tls = Identity.generate().server_context()
    async with SpeechServer(provider, host="127.0.0.1", tls=tls) as server:
        lines = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
    for reader, writer in lines:
        async with asyncio.timeout(1):
            try:
                assert await reader.read() == b""
            except ConnectionError:
                pass
        writer.close()


async def _end(raw: Raw) -> bytes:
    try:
        return await raw.reader.read()
    except ConnectionError:
        return b""


async def test_only_tls_1_3_is_spoken_with_the_nodes_own_key(provider: Counting) -> None:
    identity = Identity.generate()

    def context(most: ssl.TLSVersion) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname, made.verify_mode, made.maximum_version = False, ssl.CERT_NONE, most
        return made

    async with SpeechServer(provider, host="127.0.0.1", tls=identity.server_context()) as server:
        url = f"https://127.0.0.1:{server.port}/v1/status"
        async with aiohttp.ClientSession() as http:
            async with http.get(url, ssl=context(ssl.TLSVersion.TLSv1_3)) as response:
                assert response.status == 200
            with pytest.raises(aiohttp.ClientError):
                await http.get(url, ssl=context(ssl.TLSVersion.TLSv1_2))


async def test_a_line_that_somebody_else_accepted_is_served_like_any_other(
    provider: Counting,
) -> None:
    """As a relay does it: TLS on a raw connection, then the server's protocol on top."""

    class Held(asyncio.Protocol):
        """Lets nothing in until somebody says what it is for."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()

    tls = Identity.generate().server_context()
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as door:
        door.setblocking(False)
        port = door.getsockname()[1]
        async with (
            SpeechServer(provider, host="127.0.0.1", tls=tls) as server,
            aiohttp.ClientSession() as http,
        ):
            url = f"https://127.0.0.1:{port}{STT}"
            calling = asyncio.create_task(http.post(url, data=upload(), ssl=False))
            line, _ = await loop.sock_accept(door)
            raw, _ = await loop.connect_accepted_socket(Held, line)
            protocol = server.connection()
            transport = await loop.start_tls(raw, protocol, tls, server_side=True)
            assert transport is not None
            protocol.connection_made(transport)
            async with await calling as response:
                assert (await response.json())["text"] == "16000 samples 8000 samples"
            assert server.connections == 1


async def test_leaving_ends_what_still_runs(
    provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "DRAIN", 0.05)
    provider.gate.clear()
    async with aiohttp.ClientSession() as http:
        async with SpeechServer(provider, host="127.0.0.1", tls=None) as server:
            url = f"http://127.0.0.1:{server.port}{STT}"
            response = await http.post(url, data=upload(stream="true"))
            await provider.working.wait()
        assert provider.held == 0
        assert provider.closed.is_set()
        with pytest.raises(aiohttp.ClientError):
            await response.read()
        response.close()


def test_a_server_says_what_it_is(provider: Counting) -> None:
    server = SpeechServer(provider, host="::", port=5678, tls=None)
    assert repr(server) == "<SpeechServer http :::5678, 0 jobs>"
