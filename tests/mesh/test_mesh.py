"""The mesh from Python, over real sockets, nodes in this process."""

from __future__ import annotations

import contextlib
import io
import re
import time
import wave
from pathlib import Path

import pytest

from nodes.config import NodeConfig
from nodes.engines.echo import EchoSpeaker, EchoTranscriber
from nodes.node import Node
from nodes.producer import Producer
from nodes.services import parse_services
from privox_dht import Mesh
from privox_dht.api.server import SpeechServer
from privox_dht.audio import wav
from privox_dht.dht import DhtNode
from privox_dht.errors import AllFailed, NoProducer, NotJoined, Refused
from privox_dht.identity import Identity
from privox_dht.records import Direct, Record, sign

HOST = "127.0.0.1"
SECOND = wav(bytes(32_000), 16_000)
README = Path(__file__).parents[2] / "README.md"


@contextlib.asynccontextmanager
async def running(folder: Path, *services: str, neighbour: int | None = None, **config):
    told = NodeConfig(
        folder, port=0, host=HOST, services=tuple(parse_services(services)),
        neighbours=((HOST, neighbour),) if neighbour else (), **config,
    )  # fmt: skip
    async with Node(told) as node:
        if neighbour:
            await node.standing.joined.wait()
        if services:
            await node.announcer.announce()
        yield node


@pytest.fixture
async def first(tmp_path):
    async with running(tmp_path / "first") as node:
        yield node


def at(node: Node) -> list[str]:
    return [f"{HOST}:{node.dht.port}"]


async def test_speak_and_transcribe(first, tmp_path):
    async with (
        running(tmp_path / "a", "stt/cpu/echo", "tts/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        audio = await mesh.speak("Good day")
        with wave.open(io.BytesIO(audio)) as file:  # its header says how long it is
            assert file.getnframes() == int(0.4 * 16_000)
        assert await mesh.transcribe(audio) == "0.40 seconds of sound"
        path = tmp_path / "speech.wav"
        path.write_bytes(audio)
        assert await mesh.transcribe(path) == "0.40 seconds of sound"
        assert await mesh.transcribe(str(path)) == "0.40 seconds of sound"


async def test_the_lines_in_the_readme_work(first, tmp_path, capsys):
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)
    code = code.replace("host:5678", at(first)[0]).replace("asyncio.run(main())", "")
    assert code.strip().count("\n") < 12
    async with running(tmp_path / "a", "stt/cpu/echo", "tts/cpu/echo", neighbour=first.dht.port):
        names: dict = {}
        exec(compile(code, "README.md", "exec"), names)
        await names["main"]()
    assert capsys.readouterr().out == "0.40 seconds of sound\n"


async def test_a_second_job_does_not_wait_for_the_dht(first, tmp_path):
    async with (
        running(tmp_path / "a", "tts/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        await mesh.speak("x", backend="cpu")
        asked = mesh.dht.stats()["asked"]
        await mesh.speak("x", backend="cpu")
        assert mesh.dht.stats()["asked"] == asked


async def test_the_fallback_server_does_it_when_nobody_on_the_mesh_can(first):
    plain = SpeechServer(Producer([EchoSpeaker(), EchoTranscriber()], 1), host=HOST, tls=None)
    async with plain as server:
        url = f"http://{HOST}:{server.port}"
        async with Mesh.join(at(first), fallback=url) as mesh:
            done = await mesh.speech("Good day")
            assert done.route == f"fallback {url}"
            assert await mesh.transcribe(done.value) == "0.40 seconds of sound"
        async with Mesh.join([f"{HOST}:9"], timeout=0.3, fallback=url) as mesh:
            assert (await mesh.speak("Good day"))[:4] == b"RIFF"


async def test_without_a_fallback_nobody_to_join_through_is_said_with_who_was_tried():
    with pytest.raises(NotJoined, match=f"{HOST}:9"):
        async with Mesh.join([f"{HOST}:9"], timeout=0.3):
            pass


async def test_a_mesh_that_offers_nothing_says_so(first):
    async with Mesh.join(at(first)) as mesh:
        assert await mesh.producers() == []
        with pytest.raises(NoProducer, match="nobody on the mesh offers stt"):
            await mesh.transcribe(SECOND)


async def test_input_at_fault_is_told_as_the_producer_tells_it(first, tmp_path):
    async with (
        running(tmp_path / "a", "stt/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        with pytest.raises(Refused, match="empty"):
            await mesh.transcribe(b"")


async def test_whoever_answers_with_another_key_never_gets_the_audio(first):
    """Mallory signs a record that leads to Alice's port; then Mallory listens where Alice's record
    leads. Neither gets a byte of the job."""
    alice, mallory = Identity.generate(), Identity.generate()
    producer = Producer([EchoTranscriber()], 1)
    server = SpeechServer(producer, host=HOST, tls=mallory.server_context())
    async with server, DhtNode(alice, host=HOST) as dht:
        await dht.join([(HOST, first.dht.port)])
        now = int(time.time())
        record = Record(
            publisher=b"", mesh=dht.mesh, kind="stt", engine="echo", slots=1, idle=1,
            routes=(Direct(HOST, server.port),), sequence=now * 1000, issued=now, expires=now + 60,
        )  # fmt: skip
        assert await dht.publish(sign(alice, record))
        async with Mesh.join(at(first)) as mesh:
            with pytest.raises(AllFailed, match="another key") as caught:
                await mesh.transcribe(SECOND)
    assert [attempt.outcome for attempt in caught.value.attempts] == ["lost"]
    assert not any(server.jobs.status().values())


async def test_a_producer_at_a_farm_alone_is_called_through_it(tmp_path):
    async with running(tmp_path / "farm", farm=True, relay_port=0) as farm:
        await farm.announcer.announce()
        nat = running(tmp_path / "a", "tts/cpu/echo", neighbour=farm.dht.port, reachable="no")
        async with nat as producer:
            await producer.parkings.parked(10.0)
            await producer.announcer.announce()
            async with Mesh.join(at(farm)) as mesh:
                done = await mesh.speech("Good day")
        assert done.route == f"relayed by {HOST}:{farm.farm.port}"
        assert farm.farm.stats()["calls_total"] == 1


async def test_via_farm_insists_on_a_farm_for_a_producer_that_could_be_called(tmp_path):
    async with running(tmp_path / "farm", farm=True, relay_port=0) as farm:
        await farm.announcer.announce()
        async with running(tmp_path / "a", "tts/cpu/echo", neighbour=farm.dht.port) as producer:
            await producer.parkings.parked(10.0)
            await producer.announcer.announce()
            async with Mesh.join(at(farm)) as mesh:
                assert (await mesh.speech("x")).route.startswith("direct")
                assert (await mesh.speech("x", via_farm=True)).route.startswith("relayed")
