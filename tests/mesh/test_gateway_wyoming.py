"""Wyoming at the gateway, by Wyoming's own classes: what Home Assistant asks, and what it hears."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from api_kit import RATE, TONE, Counting, clip
from gateway_kit import GatewayMesh
from kit import HOST, turns, until

from nodes.gateway import gateway_limits, keyless_server
from nodes.gateway.config import GatewayConfig, WyomingConfig
from privox_dht import limits

pytest.importorskip("nodes.gateway.wyoming_server")

from wyoming.asr import (
    Transcribe,
    Transcript,
    TranscriptChunk,
    TranscriptStart,
    TranscriptStop,
)
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

TEXT = "16000 samples 8000 samples"  # of a second and a half
WITHIN = 10.0  # seconds for an answer
WORD = round(TONE * RATE) * 2  # bytes of sound


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[GatewayMesh]:
    config = GatewayConfig(port=0, wyoming=WyomingConfig(HOST, 0, announce=False))
    async with GatewayMesh.opened(tmp_path, config) as mesh:
        yield mesh


@pytest.fixture
async def provider(mesh: GatewayMesh) -> Counting:
    provider = Counting()
    await mesh.lend(provider)
    await mesh.see()
    return provider


def port_of(mesh: GatewayMesh) -> int:
    return mesh.gateway.wyoming.port


@asynccontextmanager
async def client(mesh: GatewayMesh) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient(HOST, port_of(mesh)) as client:
        yield client


async def until_type(client: AsyncTcpClient, last: Any) -> list[Any]:
    """Events up to one of this class, which must come."""
    events = []
    async with asyncio.timeout(WITHIN):
        while (event := await client.read_event()) is not None:
            events.append(event)
            if last.is_type(event.type):
                return events
    raise AssertionError(f"it ended after {[event.type for event in events]}")


async def describe(mesh: GatewayMesh) -> Info:
    async with client(mesh) as asking:
        await asking.write_event(Describe().event())
        return Info.from_event((await until_type(asking, Info))[-1])


async def say(asking: AsyncTcpClient, pcm: bytes, **how: Any) -> None:
    await asking.write_event(Transcribe(**how).event())
    await asking.write_event(AudioStart(RATE, 2, 1).event())
    for at in range(0, len(pcm), 2048):
        await asking.write_event(AudioChunk(RATE, 2, 1, pcm[at : at + 2048]).event())
    await asking.write_event(AudioStop().event())


def sound_in(events: list[Any]) -> bytes:
    return b"".join(e.payload or b"" for e in events if AudioChunk.is_type(e.type))


# -- what there is ---------------------------------------------------------------------------------


async def test_there_is_one_program_of_each_kind_with_all_languages_spelled_out(
    mesh: GatewayMesh, provider: Counting
) -> None:
    began = time.monotonic()
    info = await describe(mesh)
    assert time.monotonic() - began < 0.3
    (ear,), (mouth,) = info.asr, info.tts
    assert ear.installed and mouth.installed
    assert ear.supports_transcript_streaming and mouth.supports_synthesize_streaming
    assert [model.languages for model in ear.models] == [["en", "de"]]
    assert [(v.name, v.languages) for v in mouth.voices] == [("low", ["en"]), ("high", ["en"])]


async def test_an_empty_mesh_may_come_to_speak_any_language_and_is_served_once_it_does(
    mesh: GatewayMesh,
) -> None:
    """Home Assistant asks what there is but once, when it is set up."""
    info = await describe(mesh)
    assert {"en", "de", "yue"} <= set(info.asr[0].models[0].languages)
    assert {"en", "de", "yue"} <= set(info.tts[0].voices[0].languages)
    async with client(mesh) as asking:
        await say(asking, clip(1.5)[44:])
        assert Error.from_event((await until_type(asking, Error))[-1]).code == "no_producer"
        assert await asking.read_event() is None, "whoever waits for more would wait for ever"
    await mesh.lend(Counting())
    await mesh.see()
    async with client(mesh) as asking:
        await say(asking, clip(1.5)[44:], language="en")
        assert Transcript.from_event((await until_type(asking, Transcript))[-1]).text == TEXT


async def test_what_has_gone_is_still_told_of(mesh: GatewayMesh, provider: Counting) -> None:
    before = await describe(mesh)
    mesh.gateway.provider._view.engines = ()
    assert await describe(mesh) == before


# -- hearing ---------------------------------------------------------------------------------------


async def test_a_command_is_heard_and_told_as_it_is_recognised(
    mesh: GatewayMesh, provider: Counting
) -> None:
    async with client(mesh) as asking:
        await say(asking, clip(1.5)[44:], language="en", name="gone")
        events = await until_type(asking, TranscriptStop)
    start, *chunks, whole, _ = events
    assert TranscriptStart.is_type(start.type)
    texts = [TranscriptChunk.from_event(chunk).text for chunk in chunks]
    assert texts == ["16000 samples", " 8000 samples"]
    assert Transcript.from_event(whole).text == "".join(texts) == TEXT


async def test_many_commands_on_one_connection_and_a_ping_between(
    mesh: GatewayMesh, provider: Counting
) -> None:
    async with client(mesh) as asking:
        for _ in range(2):
            await say(asking, clip(1.0)[44:])
            await until_type(asking, TranscriptStop)
            await asking.write_event(Ping("x").event())
            assert Pong.from_event((await until_type(asking, Pong))[-1]).text == "x"


async def test_whoever_hangs_up_ends_its_job(mesh: GatewayMesh, provider: Counting) -> None:
    provider.gate.clear()
    async with client(mesh) as asking:
        await say(asking, clip(1.5)[44:])
        await asyncio.wait_for(provider.working.wait(), WITHIN)
    await asyncio.wait_for(provider.closed.wait(), WITHIN)
    await until(lambda: provider.held == 0)


# -- speaking --------------------------------------------------------------------------------------


async def test_a_text_is_spoken_by_a_voice_or_by_its_languages_default(
    mesh: GatewayMesh, provider: Counting
) -> None:
    named = (SynthesizeVoice("high"), SynthesizeVoice("gone"), SynthesizeVoice(language="en"))
    for voice in (None, *named):
        async with client(mesh) as asking:
            await asking.write_event(Synthesize("a b c", voice).event())
            events = await until_type(asking, AudioStop)
        start = AudioStart.from_event(events[0])
        assert (start.rate, start.width, start.channels) == (RATE, 2, 1)
        assert len(sound_in(events)) == 3 * WORD


async def test_a_streamed_text_is_spoken_once_and_sentence_by_sentence(
    mesh: GatewayMesh, provider: Counting
) -> None:
    words = "One two three. Four five six. Seven"
    async with client(mesh) as asking:
        await asking.write_event(SynthesizeStart().event())
        for at in range(0, len(words) - 5, 5):
            await asking.write_event(SynthesizeChunk(words[at : at + 5]).event())
        first = await until_type(asking, AudioChunk)  # while the end is not known
        await asking.write_event(SynthesizeChunk(words[len(words) - 5 :]).event())
        await asking.write_event(Synthesize(words).event())
        await asking.write_event(SynthesizeStop().event())
        events = [*first, *await until_type(asking, SynthesizeStopped)]
    kinds = [event.type for event in events]
    assert (kinds.count("audio-start"), kinds.count("audio-stop")) == (1, 1)
    assert kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    assert len(sound_in(events)) == 7 * WORD


@contextmanager
def deaf_client(mesh: GatewayMesh) -> Iterator[None]:
    """Has more spoken than fits into the buffers between, and does not read."""
    asked = {"type": "synthesize", "data": {"text": "word " * 10_000}}
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((HOST, port_of(mesh)))
        deaf.sendall(json.dumps(asked).encode() + b"\n")
        yield


async def test_a_node_stops_at_once_though_a_client_does_not_read(tmp_path: Path) -> None:
    config = GatewayConfig(port=0, wyoming=WyomingConfig(HOST, 0, announce=False))
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(GatewayMesh.opened(tmp_path, config))
        await mesh.lend(Counting())
        await mesh.see()
        stack.enter_context(deaf_client(mesh))
        await until(lambda: mesh.gateway.server.jobs.outcomes["done"])
        await turns(3000)  # all buffers are full
        async with asyncio.timeout(5.0):
            await mesh.gateway.wyoming.__aexit__()


async def test_a_client_that_does_not_read_holds_no_job(
    mesh: GatewayMesh, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_STALL", 0.2)
    with deaf_client(mesh):
        jobs = mesh.gateway.server.jobs
        await until(lambda: jobs.outcomes["cancelled"] == 1, WITHIN)
        await until(lambda: not mesh.gateway.wyoming._clients._sessions, WITHIN)


# -- hostile input ---------------------------------------------------------------------------------

START = b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}}\n'
BROKEN = {
    "a header of 1 MiB": b'{"type": "' + b"x" * limits.MIB + b'"}\n',
    "a negative length": b'{"type": "describe", "payload_length": -1}\n',
    "a length of a gigabyte": b'{"type": "audio-chunk", "payload_length": 1000000000}\n',
    "a length that is a text": b'{"type": "describe", "data_length": "9"}\n',
    "sound before its start": json.dumps(
        {"type": "audio-chunk", "data": {"rate": 1, "width": 2, "channels": 1},
         "payload_length": 2}
    ).encode() + b"\nxx",
    "the end of sound before its start": b'{"type": "audio-stop"}\n',
    "text before its start": b'{"type": "synthesize-chunk", "data": {"text": "x"}}\n',
    "no JSON": b"GET / HTTP/1.1\r\n",
    "JSON without end": b"[" * 60_000 + b"\n",
    "a list": b"[]\n",
    "no type": b"{}\n",
    "a text that is a number": b'{"type": "synthesize", "data": {"text": 5}}\n',
    "a ping with an object": b'{"type": "ping", "data": {"text": {}}}\n',
    "nothing to speak": b'{"type": "synthesize"}\n',
    "a rate of 1 Hz": START.replace(b"16000", b"1"),
    "a rate that is a text": START.replace(b"16000", b'"x"'),
    "a hundred channels": START.replace(b'"channels": 1', b'"channels": 100'),
}  # fmt: skip


@pytest.mark.filterwarnings("error")
async def test_whoever_breaks_the_rules_is_cut_off_and_others_do_not_notice(
    mesh: GatewayMesh, provider: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    async with client(mesh) as other:
        for what, said in BROKEN.items():
            reader, writer = await asyncio.open_connection(HOST, port_of(mesh))
            writer.write(said)
            async with asyncio.timeout(WITHIN):
                try:
                    assert await reader.read() == b"", what
                except ConnectionError:
                    pass
            writer.close()
        assert mesh.gateway.wyoming._clients.broken.total() == len(BROKEN)
        await say(other, clip(1.0)[44:])
        await until_type(other, Transcript)
        reader, writer = await asyncio.open_connection(HOST, port_of(mesh))
        writer.write(b'{"type": "ping", "data": {"text": "half a character: \\ud800"}}\n')
        async with asyncio.timeout(WITHIN):
            assert b"pong" in await reader.readline(), "and no bug is logged"
        writer.close()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_whoever_says_nothing_for_long_is_cut_off(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_limits, "WYOMING_SILENCE", 0.1)
    async with client(mesh) as silent, asyncio.timeout(WITHIN):
        assert await silent.read_event() is None


async def test_one_address_does_not_hold_all_connections(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A satellite that leaves its connections open kept all others away for ten minutes."""
    here = [("192.168.7.7/32", "192.168.7.0/24")]
    monkeypatch.setattr(keyless_server, "quota_prefixes", lambda host: here[-1])
    async with AsyncExitStack() as stack:
        for _ in range(gateway_limits.WYOMING_CONNECTIONS // 4):
            asking = await stack.enter_async_context(client(mesh))
            await asking.write_event(Ping().event())
            await until_type(asking, Pong)
        async with client(mesh) as one_more, asyncio.timeout(WITHIN):
            assert await one_more.read_event() is None
        here.append(("192.168.7.8/32", "192.168.7.0/24"))
        assert await describe(mesh)
    here.append(here[0])
    await until(lambda: not mesh.gateway.wyoming._clients._sessions)
    assert await describe(mesh)


async def test_addresses_that_are_not_allowed_are_not_served(tmp_path: Path) -> None:
    from nodes.gateway.allowed import parse_networks

    others = WyomingConfig(HOST, 0, parse_networks(["192.0.2.0/24"]), announce=False)
    config = GatewayConfig(port=0, wyoming=others)
    async with GatewayMesh.opened(tmp_path, config) as mesh, client(mesh) as asking:
        async with asyncio.timeout(WITHIN):
            assert await asking.read_event() is None


async def test_an_address_says_and_hears_so_much_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ("192.168.7.7/32", "192.168.7.0/24")
    monkeypatch.setattr(keyless_server, "quota_prefixes", lambda host: elsewhere)
    alone = WyomingConfig(HOST, 0, announce=False)
    config = GatewayConfig(port=0, wyoming=alone, keyless_seconds=2)
    async with GatewayMesh.opened(tmp_path, config) as mesh:
        await mesh.lend(Counting())
        await mesh.see()
        jobs = mesh.gateway.server.jobs
        async with client(mesh) as asking:
            await say(asking, clip(1.0)[44:])
            await until_type(asking, TranscriptStop)
            await until(lambda: jobs.running == 0)
            await asking.write_event(Synthesize("ten chars.").event())
            await until_type(asking, AudioStop)
            await until(lambda: jobs.running == 0)
            assert jobs.sound == {"stt": 1.0, "tts": 1.0}
        for spoken in (True, False):
            async with client(mesh) as asking:
                if spoken:
                    await asking.write_event(Synthesize("a").event())
                else:
                    await say(asking, clip(1.0)[44:])
                told = Error.from_event((await until_type(asking, Error))[-1])
                assert told.code == "rate_limit_exceeded"


async def test_it_is_announced_under_a_name_that_stays(tmp_path: Path) -> None:
    """On loopback, where nobody else hears."""
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    config = GatewayConfig(port=0, wyoming=WyomingConfig(HOST, 0))
    async with GatewayMesh.opened(tmp_path, config) as mesh:
        service = "_wyoming._tcp.local."
        found = AsyncServiceInfo(service, f"privox-{mesh.node.identity.peer_id[:8]}.{service}")
        looking = AsyncZeroconf(interfaces=[HOST])
        try:
            assert await found.async_request(looking.zeroconf, WITHIN * 1000)
        finally:
            await looking.async_close()
        assert (found.port, found.parsed_addresses()) == (port_of(mesh), [HOST])
