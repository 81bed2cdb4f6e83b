"""The gateway: ordinary apps, unmodified but for the address, are served from a mesh. Real nodes,
sockets and OpenAI's own Python library."""

import asyncio
import io
import itertools
import struct
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import pytest
from api_kit import RATE, TONE, Counting, clip
from gateway_kit import ANY_PORT, GatewayMesh
from kit import HOST, until

from nodes.config import NodeConfig
from nodes.node import Node
from nodes.service_spec import parse_services
from privox_dht.errors import EngineFailed
from privox_dht.speech import AudioInfo, Segment, TranscriptionRequest
from privox_dht.speech_api.speech_server import SpeechServer

openai: Any = pytest.importorskip("openai")
TEXT = "16000 samples 8000 samples"  # of a second and a half


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[GatewayMesh]:
    async with GatewayMesh.opened(tmp_path / "node") as mesh:
        yield mesh


@pytest.fixture
async def provider(mesh: GatewayMesh) -> Counting:
    provider = Counting()
    await mesh.lend(provider)
    return provider


@pytest.fixture
async def sdk(mesh: GatewayMesh, provider: Counting) -> AsyncIterator[Any]:
    base = f"{mesh.url}/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as sdk:
        yield sdk
    await until(lambda: provider.held == 0)


async def transcribe(sdk: Any, **options: Any) -> Any:
    file = ("clip.wav", clip(1.5), "audio/wav")
    return await sdk.audio.transcriptions.create(file=file, **{"model": "whisper-1", **options})


# -- what is asked and answered --------------------------------------------------------------------


async def test_a_recording_is_heard_by_the_mesh_whatever_openai_calls_its_models(sdk: Any) -> None:
    for model in ("whisper-1", "whisper-9", "gpt-transcribe", "counter", "small"):
        assert (await transcribe(sdk, model=model)).text == TEXT


async def test_a_transcript_comes_in_every_format(sdk: Any) -> None:
    formats = {"text": "16000 samples 8000", "srt": "1\n00:00:00,000 -->", "vtt": "WEBVTT\n"}
    for format, beginning in formats.items():
        assert (await transcribe(sdk, response_format=format)).startswith(beginning)
    told = await transcribe(
        sdk, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert (told.duration, told.language) == (1.5, "en")
    assert [(s.start, s.end, s.text) for s in told.segments] == [
        (0.0, 1.0, "16000 samples"),
        (1.0, 1.5, "8000 samples"),
    ]
    assert told.words[0].word == "16000"


async def test_a_transcript_is_streamed_while_the_producer_works(
    sdk: Any, provider: Counting
) -> None:
    provider.gate.clear()
    events = await transcribe(sdk, stream=True)
    await provider.working.wait()
    provider.gate.set()
    told = [event async for event in events]
    assert "".join(event.delta for event in told[:-1]) == told[-1].text == TEXT


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the library says so
async def test_a_recording_is_translated(sdk: Any) -> None:
    told = await sdk.audio.translations.create(model="whisper-1", file=("a.wav", clip()))
    assert told.text == "16000 samples"


def test_the_library_without_async_is_served_as_well(tmp_path: Path) -> None:
    def ask_all(url: str) -> tuple[str, bytes]:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as sdk:
            text = sdk.audio.transcriptions.create(model="whisper-1", file=("c.wav", clip(1.5)))
            sound = sdk.audio.speech.create(
                model="tts-1", voice="alloy", input="a b", response_format="wav"
            )
            return text.text, sound.content

    async def run() -> tuple[str, bytes]:
        async with GatewayMesh.opened(tmp_path) as mesh:
            await mesh.lend(Counting())
            return await asyncio.to_thread(ask_all, mesh.url)

    text, sound = asyncio.run(run())
    assert text == TEXT
    assert sound[:4] == b"RIFF"


async def test_a_text_is_spoken_whatever_openai_calls_its_models(sdk: Any) -> None:
    for model in ("tts-1", "tts-1-hd", "gpt-9-mini-tts", "toner"):
        told = await sdk.audio.speech.create(
            model=model, voice="alloy", input="a b", response_format="wav"
        )
        with wave.open(io.BytesIO(told.content)) as file:
            assert file.getframerate() == RATE
        assert len(told.content) - 44 == 2 * TONE * RATE * 2


async def test_a_text_is_spoken_in_formats_that_need_a_codec(sdk: Any) -> None:
    for format, begins in {"flac": b"fLaC", "opus": b"OggS", "m4a": b"\0\0\0\x1cftypM4A "}.items():
        told = await sdk.audio.speech.create(
            model="tts-1", voice="alloy", input="a b", response_format=format
        )
        assert told.content.startswith(begins)


async def test_raw_sound_has_the_rate_that_openais_libraries_take_it_for(sdk: Any) -> None:
    """The engine's sound has 16,000 Hz: taken for 24,000 it was half as long, and a fifth too
    high."""
    words = "abcdefghij " * 10  # a tone of 300 Hz, a tenth of a second for each
    async with sdk.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=words, response_format="pcm"
    ) as response:
        assert response.headers["x-privox-rate"] == "24000"
        pcm = b"".join([piece async for piece in response.iter_bytes()])
    assert len(pcm) / 2 / 24_000 == pytest.approx(1.0, abs=0.01)
    assert pitch(pcm, 24_000) == pytest.approx(300, rel=0.02)


def pitch(pcm: bytes, rate: int) -> float:
    """Hz of a tone, by its crossings of zero."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    ups = sum(a < 0 <= b for a, b in itertools.pairwise(samples))
    return float(ups * rate / len(samples))


async def test_speech_is_streamed_while_the_producer_speaks(mesh: Any, provider: Counting) -> None:
    asked = {"model": "tts-1", "voice": "", "response_format": "wav"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{mesh.url}/v1/audio/speech", json={**asked, "input": "a b c"}) as answer,
    ):
        assert (await answer.content.readany())[:4] == b"RIFF"
        await answer.read()


async def test_the_models_and_voices_are_those_of_all_producers(
    mesh: GatewayMesh, sdk: Any
) -> None:
    assert (await sdk.audio.speech.create(model="tts-1", voice="alloy", input="a")).content
    names = {model.id async for model in sdk.models.list()}
    assert {"counter", "counter:small", "toner", "toner:high"} <= names
    assert (await sdk.models.retrieve("counter:small")).owned_by == "counter"


async def test_a_name_that_nobody_has_is_refused_with_what_there_is(sdk: Any) -> None:
    await transcribe(sdk)
    with pytest.raises(openai.NotFoundError, match="there is counter, small, large") as caught:
        await transcribe(sdk, model="gigantic")
    assert caught.value.param == "model"


# -- who may ask -----------------------------------------------------------------------------------


async def test_pages_of_the_web_do_not_reach_it_and_its_own_do(mesh: GatewayMesh) -> None:
    foreign = ({"Host": "evil.example:5600"}, {"Origin": "http://evil.example"}, {"Origin": "null"})
    async with aiohttp.ClientSession() as session:
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/audio/speech"), ("GET", "/no")):
            for headers in foreign:
                async with session.request(method, mesh.url + path, headers=headers) as answer:
                    assert answer.status == 403
                    code = (await answer.json())["error"]["code"]
                    assert code == ("foreign_host" if "Host" in headers else "foreign_origin")
        async with session.get(f"{mesh.url}/v1/models", headers={"Origin": mesh.url}) as answer:
            assert answer.status == 200


# -- a node that lends as well ---------------------------------------------------------------------


async def heard(url: str, seconds: float) -> str:
    form = aiohttp.FormData({"model": "echo"})
    form.add_field("file", io.BytesIO(clip(seconds)), filename="a.wav")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/audio/transcriptions", data=form) as answer,
    ):
        told: dict[str, str] = await answer.json()
        assert answer.status == 200, told
        return told["text"]


async def test_a_node_that_is_alone_serves_its_owners_apps_by_its_own_engines(
    tmp_path: Path,
) -> None:
    services = tuple(parse_services(["stt/cpu/echo", "tts/cpu/echo"]))
    told = NodeConfig(tmp_path, port=0, host=HOST, services=services, gateway=ANY_PORT)
    async with Node(told) as node:
        assert node.gateway is not None
        url = f"http://{HOST}:{node.gateway.port}"
        assert (
            await asyncio.gather(*(heard(url, 1.5) for _ in range(3)))
            == ["1.50 seconds of sound"] * 3
        ), "one slot, and three that wait for it"
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as sdk:
            assert {model.id async for model in sdk.models.list()} == {"echo"}


async def test_own_engines_are_asked_first_unless_they_are_busy_or_it_takes_long(
    tmp_path: Path,
) -> None:
    services = tuple(parse_services(["stt/cpu/echo:2"]))
    async with GatewayMesh.opened(tmp_path, services=services) as mesh:
        other = await mesh.start("stt/cpu/echo")
        provider = mesh.gateway.provider
        while not provider.status()["stt"]["producers"]:  # which are others
            await provider.refresh()
        mine = asyncio.create_task(heard(mesh.url, 1.0))
        await until(lambda: mesh.node.speech.producer.admission.taken == 1)
        assert await heard(mesh.url, 11.0) == "11.00 seconds of sound", "mine is busy"
        assert await mine == "0.00 to 0.50 seconds, 0.50 to 1.00 seconds,"
        assert "seconds" in await heard(mesh.url, 90)

        def by_the_mesh() -> int:
            """Jobs that came by way of the mesh, of which this node is a part."""
            done = sum("job " in line and " done" in line for line in other.lines)
            return done + mesh.node.server.jobs.outcomes["done"]

        await until(lambda: by_the_mesh() > 2, 20)  # the second, and all pieces of what takes long


async def transcribed(mesh: GatewayMesh, **fields: str) -> tuple[int, str]:
    form = aiohttp.FormData({"response_format": "text", **fields})
    form.add_field("file", io.BytesIO(clip(1.5)), filename="a.wav")
    async with (
        aiohttp.ClientSession(mesh.url) as session,
        session.post("/v1/audio/transcriptions", data=form) as answer,
    ):
        return answer.status, (await answer.text()).strip()


async def test_a_job_that_an_own_engine_fails_at_goes_to_the_mesh_if_that_can_do_it(
    tmp_path: Path,
) -> None:
    """The own engine is idle, and so was asked first each time: a server that has gone down failed
    all jobs of the gateway's apps."""
    elsewhere, other = Counting(), Counting()
    async with SpeechServer(elsewhere, host=HOST, tls=None) as server:
        services = tuple(parse_services([f"stt/cpu/http://{HOST}:{server.port}"]))
        async with GatewayMesh.opened(tmp_path, services=services) as mesh:
            own = mesh.node.speech.producer
            await until(lambda: own.engines())
            assert (await transcribed(mesh))[0] == 200
            before = elsewhere.admitted
            elsewhere.breaks_with = EngineFailed("out of memory")
            assert (await transcribed(mesh))[0] == 500, "there is no other"
            await mesh.lend(other)
            while not mesh.gateway.provider.status()["stt"]["producers"]:
                await mesh.gateway.provider.refresh()
            assert await transcribed(mesh) == (200, TEXT)
            assert elsewhere.admitted > before + 1 and other.admitted == 1


class Rewinding(Counting):
    """Reads a recording from its beginning, wherever that is left."""

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        upload.seek(0)
        async for item in super().transcribe(upload, request):
            yield item


async def test_what_an_own_engine_has_recognised_of_a_job_that_it_fails_at_is_not_in_the_answer(
    tmp_path: Path,
) -> None:
    services = tuple(parse_services(["stt/cpu/echo"]))
    async with GatewayMesh.opened(tmp_path, services=services) as mesh:
        own, other = Rewinding(), Counting()
        mesh.gateway.provider.own.provider = own
        own.breaks_with = EngineFailed("out of memory")
        await mesh.lend(other)
        while not mesh.gateway.provider.status()["stt"]["producers"]:
            await mesh.gateway.provider.refresh()
        assert await transcribed(mesh) == (200, TEXT)
        _, events = await transcribed(mesh, stream="true", response_format="json")
        assert "16000 samples" in events and '"code":"failed"' in events.replace(" ", "")
        assert own.admitted == 2 and other.admitted == 1
