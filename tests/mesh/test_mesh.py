"""The mesh from Python, over real sockets, nodes in this process."""

import asyncio
import contextlib
import io
import re
import socket
import time
import wave
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kit import HOST
from node_kit import farm_in, running

from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.engines.echo import EchoSpeaker, EchoTranscriber
from nodes.node import Node
from nodes.producer import Producer
from nodes.service_spec import parse_services
from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.dht import DhtNode
from privox_dht.directory.failover import Directory
from privox_dht.errors import (
    AllProducersFailed,
    ConfigError,
    NoProducer,
    NotJoined,
    RequestRejected,
)
from privox_dht.identity import Identity
from privox_dht.records import Direct, Record, sign
from privox_dht.speech_api.speech_server import SpeechServer

SECOND = wav(bytes(32_000), 16_000)
README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
async def first(tmp_path: Path) -> AsyncIterator[Node]:
    async with running(tmp_path / "first") as node:
        yield node


@pytest.fixture
async def codecs() -> AsyncIterator[Codecs]:
    async with Codecs(1) as some:
        yield some


def at(node: Node) -> list[str]:
    return [f"{HOST}:{node.dht.port}"]


async def test_speak_and_transcribe(first: Node, tmp_path: Path) -> None:
    async with (
        running(tmp_path / "a", "stt/cpu/echo", "tts/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        audio = await mesh.speak("Good day", model="echo")
        with wave.open(io.BytesIO(audio)) as file:  # its header says how long it is
            assert file.getnframes() == int(0.4 * 16_000)
        assert await mesh.transcribe(audio, model="echo") == "0.40 seconds of sound"
        path = tmp_path / "speech.wav"
        path.write_bytes(audio)
        assert await mesh.transcribe(path, model="echo") == "0.40 seconds of sound"
        assert await mesh.transcribe(str(path), model="echo") == "0.40 seconds of sound"


async def test_the_lines_in_the_readme_work(
    first: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    code = code.replace("host:5678", at(first)[0]).replace("asyncio.run(main())", "")
    assert code.strip().count("\n") < 12
    engines = ("stt/cpu/pocketsphinx", "tts/cpu/espeak-ng")
    async with running(tmp_path / "a", *engines, neighbour=first.dht.port):
        names: dict[str, Any] = {}
        exec(compile(code, "README.md", "exec"), names)
        await names["main"]()
    assert re.fullmatch(r"[a-z' ]+\n", capsys.readouterr().out)


async def test_no_job_is_done_by_an_engine_that_cannot_or_is_only_for_trying_out(
    first: Node, tmp_path: Path
) -> None:
    """One in three recordings once came back as "1.00 seconds of sound", and a translation as what
    had been heard in the other language."""
    both = ("stt/cpu/pocketsphinx", "stt/cpu/echo")
    async with (
        running(tmp_path / "a", *both, neighbour=first.dht.port),
        running(tmp_path / "b", "stt/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        for model in ("", "whisper-1", "gpt-4o-transcribe", "pocketsphinx"):
            done = await mesh.transcript(SECOND, model=model, language="en-GB")
            assert done.record and done.record.engine == "pocketsphinx"
        done = await mesh.transcript(SECOND, model="echo")
        assert done.record and done.record.engine == "echo"
        with pytest.raises(
            NoProducer, match="translated into English; without --translate there is"
        ):
            await mesh.transcript(SECOND, translate=True)


async def test_a_second_job_does_not_wait_for_the_dht(first: Node, tmp_path: Path) -> None:
    async with (
        running(tmp_path / "a", "tts/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        await mesh.speak("x", model="echo", backend="cpu")
        asked = mesh.dht.stats()["asked"]
        await mesh.speak("x", model="echo", backend="cpu")
        assert mesh.dht.stats()["asked"] == asked


async def test_the_fallback_server_does_it_when_nobody_on_the_mesh_can(
    first: Node, codecs: Codecs
) -> None:
    plain = SpeechServer(
        Producer([EchoSpeaker(), EchoTranscriber()], 1, codecs), host=HOST, tls=None
    )
    async with plain as server:
        url = f"http://{HOST}:{server.port}"
        async with Mesh.join(at(first), fallback=url) as mesh:
            done = await mesh.speech("Good day", model="echo")
            assert done.route == f"fallback {url}"
            assert await mesh.transcribe(done.value, model="echo") == "0.40 seconds of sound"
        async with Mesh.join([f"{HOST}:9"], timeout=0.3, fallback=url) as mesh:
            assert (await mesh.speak("Good day", model="echo"))[:4] == b"RIFF"


async def test_a_mesh_that_nobody_answered_is_joined_once_somebody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codecs: Codecs
) -> None:
    """An application that was started before the nodes were."""
    monkeypatch.setattr("privox_dht.directory.guest_join.RETRY_FIRST", 0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    plain = SpeechServer(Producer([EchoSpeaker()], 1, codecs), host=HOST, tls=None)
    async with plain as server:
        url = f"http://{HOST}:{server.port}"
        async with Mesh.join([f"{HOST}:{port}"], timeout=0.3, fallback=url) as mesh:
            assert (await mesh.speech("Good day", model="echo")).route == f"fallback {url}"
            with pytest.raises(NotJoined, match=f"{HOST}:{port}"):
                await mesh.producers()
            told = NodeConfig(
                tmp_path, port=port, host=HOST, services=tuple(parse_services(["tts/cpu/echo"]))
            )
            async with Node(told) as node, asyncio.timeout(20):
                while mesh.not_joined is not None or not node.reachability.ready_to_publish:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                await node.announcer.announce()
                done = await mesh.speech("Good day", model="echo")
                assert done.route == f"direct {HOST}:{port}"


async def test_without_a_fallback_nobody_to_join_through_is_said_with_who_was_tried() -> None:
    with pytest.raises(NotJoined, match=f"{HOST}:9"):
        async with Mesh.join([f"{HOST}:9"], timeout=0.3):
            pass


async def test_a_mesh_that_offers_nothing_says_so(first: Node) -> None:
    async with Mesh.join(at(first)) as mesh:
        assert await mesh.producers() == []
        with pytest.raises(NoProducer, match="no producer on the mesh offers stt"):
            await mesh.transcribe(SECOND, model="echo")


async def test_input_at_fault_is_told_as_the_producer_tells_it(first: Node, tmp_path: Path) -> None:
    async with (
        running(tmp_path / "a", "stt/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        with pytest.raises(RequestRejected, match="empty"):
            await mesh.transcribe(b"", model="echo")


async def test_whoever_answers_with_another_key_never_gets_the_audio(
    first: Node, codecs: Codecs
) -> None:
    """Mallory signs a record that leads to Alice's port; then Mallory listens where Alice's record
    leads. Neither gets a byte of the job."""
    alice, mallory = Identity.generate(), Identity.generate()
    producer = Producer([EchoTranscriber()], 1, codecs)
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
            with pytest.raises(AllProducersFailed, match="another key") as caught:
                await mesh.transcribe(SECOND, model="echo")
    attempts: Any = caught.value.attempts
    assert [attempt.outcome for attempt in attempts] == ["lost"]
    assert not any(server.jobs.status().values())


async def test_a_producer_at_a_farm_alone_is_called_through_it(tmp_path: Path) -> None:
    async with running(tmp_path / "farm", farm=True, relay_port=0) as farm:
        await farm.announcer.announce()
        nat = running(tmp_path / "a", "tts/cpu/echo", neighbour=farm.dht.port, reachable="no")
        async with nat as producer:
            await producer.farm_pool.parked(10.0)
            await producer.announcer.announce()
            async with Mesh.join(at(farm)) as mesh:
                done = await mesh.speech("Good day", model="echo")
        assert done.route == f"relayed by {HOST}:{farm_in(farm).port}"
        assert farm_in(farm).stats()["calls_total"] == 1


async def test_via_farm_insists_on_a_farm_for_a_producer_that_could_be_called(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "farm", farm=True, relay_port=0) as farm:
        await farm.announcer.announce()
        async with running(tmp_path / "a", "tts/cpu/echo", neighbour=farm.dht.port) as producer:
            await producer.farm_pool.parked(10.0)
            await producer.announcer.announce()
            async with Mesh.join(at(farm)) as mesh:
                assert (await mesh.speech("x", model="echo")).route.startswith("direct")
                with pytest.raises(NoProducer, match="seen it already"):
                    await mesh.speech("x", model="echo", via_farm=True)
            async with Mesh.join(at(farm), hidden=True) as mesh:
                done = await mesh.speech("x", model="echo", via_farm=True)
                assert done.route.startswith("relayed")


@contextlib.asynccontextmanager
async def silent_door() -> AsyncIterator[int]:
    """A port where connections are taken and nothing is ever said: a frozen machine."""
    with socket.create_server((HOST, 0), backlog=512) as door:
        yield door.getsockname()[1]


async def publish_all(dht: DhtNode, *routes: Direct, count: int) -> None:
    """Records of `count` producers that nobody will ever reach, all idle and very fast."""
    now = int(time.time())
    for _ in range(count):
        record = Record(
            publisher=b"", mesh=dht.mesh, kind="stt", engine="echo", slots=8, idle=8, speed=200,
            routes=routes, sequence=now * 1000, issued=now, expires=now + 100,
        )  # fmt: skip
        assert await dht.publish(sign(Identity.generate(), record))


@pytest.mark.timeout(60)
async def test_a_good_producer_is_found_among_forty_frozen_ones_in_bounded_time(
    first: Node, tmp_path: Path
) -> None:
    async with (
        silent_door() as port,
        running(tmp_path / "a", "stt/cpu/echo", neighbour=first.dht.port),
        Mesh.join(at(first)) as mesh,
    ):
        await publish_all(first.dht, Direct(HOST, port), count=40)
        began = time.monotonic()
        done = await mesh.transcript(SECOND, model="echo")
        assert done.attempts[-1].outcome == "done"
        assert time.monotonic() - began < 3 * 4.0 + 3.0
        began = time.monotonic()
        await mesh.transcript(SECOND, model="echo")
        assert time.monotonic() - began < 1.0, "those who were not there are left alone"


@pytest.mark.timeout(60)
async def test_a_record_with_four_frozen_routes_costs_one_connection_and_one_probe(
    first: Node,
) -> None:
    async with silent_door() as port, Mesh.join(at(first)) as mesh:
        frozen = [Direct(f"127.0.0.{n}", port) for n in (1, 1, 1, 1)]
        await publish_all(first.dht, *frozen, count=1)
        began = time.monotonic()
        with pytest.raises(AllProducersFailed):
            await mesh.transcribe(SECOND, model="echo", wait=0)
        assert time.monotonic() - began < 3.0 + 4.0 + 0.5


async def test_fifty_jobs_at_once_share_two_producers(first: Node, tmp_path: Path) -> None:
    async with (
        running(tmp_path / "a", "stt/cpu/echo", neighbour=first.dht.port, slots=4),
        running(tmp_path / "b", "stt/cpu/echo", neighbour=first.dht.port, slots=4),
        Mesh.join(at(first)) as mesh,
    ):
        done = await asyncio.gather(*(mesh.transcript(SECOND, model="echo") for _ in range(50)))
    assert {job.value.text for job in done} == {"1.00 seconds of sound"}
    assert len({job.record.peer_id for job in done if job.record}) == 2


async def test_what_the_mesh_said_stands_beside_what_the_fallback_said(first: Node) -> None:
    async with Mesh.join(at(first), fallback=f"http://{HOST}:9") as mesh:
        with pytest.raises(
            AllProducersFailed, match=rf"offers stt.*; and the fallback .*{HOST}:9"
        ) as caught:
            await mesh.transcribe(SECOND, model="echo")
    attempts: Any = caught.value.attempts
    assert [attempt.peer_id for attempt in attempts] == ["fallback"]


async def test_a_fallback_server_that_blames_the_input_is_believed(
    first: Node, codecs: Codecs
) -> None:
    plain = SpeechServer(Producer([EchoTranscriber()], 1, codecs), host=HOST, tls=None)
    async with (
        plain as server,
        Mesh.join(at(first), fallback=f"http://{HOST}:{server.port}") as mesh,
    ):
        with pytest.raises(RequestRejected):
            await mesh.transcribe(b"this is no recording", model="echo")


async def test_the_fallback_server_has_only_the_time_that_is_left(
    first: Node, codecs: Codecs
) -> None:
    slow = SpeechServer(Producer([EchoTranscriber(model="30")], 1, codecs), host=HOST, tls=None)
    async with (
        slow as server,
        Mesh.join(at(first), fallback=f"http://{HOST}:{server.port}") as mesh,
    ):
        began = time.monotonic()
        with pytest.raises(AllProducersFailed, match="not done within"):
            await mesh.transcribe(SECOND, model="echo", timeout=0.5)
        assert time.monotonic() - began < 2.0


@pytest.mark.parametrize("url", ["host:80", "ftp://host", "http://", "http://host:x", "nonsense"])
async def test_a_fallback_that_is_no_url_is_said_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigError, match="is not a URL"):
        async with Mesh.join(fallback=url):
            pass


async def test_with_no_neighbour_known_nobody_is_asked(tmp_path: Path) -> None:
    with pytest.raises(NotJoined, match="no node of mesh 'privox' is known"):
        async with Mesh.join(state=tmp_path):
            pass


async def test_a_wrong_clock_is_told_instead_of_an_empty_mesh(
    first: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path / "a", "stt/cpu/echo", neighbour=first.dht.port):
        node = partial(Directory, clock=lambda: time.time() + 600)
        monkeypatch.setattr("privox_dht.mesh.Directory", node)
        async with Mesh.join(at(first)) as mesh:
            with pytest.raises(NoProducer, match=r"clock is \+600 s off"):
                await mesh.transcribe(SECOND, model="echo")
