"""Privox's two ports: its programs say here, by socket, what they say to its own farm."""

import asyncio
import io
import socket
import threading
import tracemalloc
import wave
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from api_kit import RATE, TONE, Counting, clip, tone
from gateway_kit import GatewayMesh
from kit import HOST, turns, until

from nodes.gateway import gateway_limits, pull_producers
from nodes.gateway.config import GatewayConfig
from privox_dht import limits

KEY = "0123456789abcdef"
TEXT = "16000 samples 8000 samples"  # of a second and a half
WITHIN = 10.0  # seconds


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[GatewayMesh]:
    async with GatewayMesh.opened(folder, GatewayConfig(port=0, privox_ports=(0, 0))) as mesh:
        yield mesh


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[GatewayMesh]:
    async with opened(tmp_path) as mesh:
        yield mesh


@pytest.fixture
async def provider(mesh: GatewayMesh) -> Counting:
    provider = Counting()
    await mesh.lend(provider)
    await mesh.see()
    return provider


def ports(mesh: GatewayMesh) -> tuple[int, int]:
    return mesh.gateway.privox.ports


def all_of(sock: socket.socket) -> bytes:
    got = b""
    while piece := sock.recv(1024):
        got += piece
    return got


@contextmanager
def called(port: int, who: str) -> Iterator[socket.socket]:
    with socket.create_connection((HOST, port), timeout=WITHIN) as sock:
        assert sock.recv(3) == b"who"
        sock.sendall(f"{who}{KEY}".encode())
        yield sock


def heard(port: int, wav: bytes, language: str = "English") -> str:
    """What a consumer gets, as Privox's pages were one."""
    with called(port, "s") as sock:
        sock.sendall(f"model=tiny.en&len={len(wav)}&lang={language}".encode())
        said = sock.recv(3)
        if said != b"ack":
            return (said + all_of(sock)).decode()
        sock.sendall(wav)
        return all_of(sock).decode()


def spoken(port: int, text: str, language: str = "en") -> bytes:
    with called(port, "s") as sock:
        sock.sendall(f"model=tts_models/en/vctk/vits&text={text}&lang={language}&idx=p236".encode())
        size = sock.recv(8)
        wav = all_of(sock)
        if not size.isdigit():
            return size + wav
        assert int(size) == len(wav)
        return wav


# -- consumers -------------------------------------------------------------------------------------


async def test_consumers_hear_and_speak(mesh: GatewayMesh, provider: Counting) -> None:
    stt, tts = ports(mesh)
    for wav in (clip(1.5), zipped(clip(1.5))):
        assert await asyncio.to_thread(heard, stt, wav) == TEXT
    wav = await asyncio.to_thread(spoken, tts, "a & b")
    assert len(wav) == 44 + 3 * 2 * round(TONE * RATE)
    jobs = mesh.gateway.server.jobs
    await until(lambda: jobs.outcomes["done"] == 3)


def zipped(wav: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("sample.wav", wav)
    return file.getvalue()


async def test_what_cannot_be_done_is_said_before_ack_and_is_never_a_transcript(
    mesh: GatewayMesh, provider: Counting
) -> None:
    stt, tts = ports(mesh)
    assert (await asyncio.to_thread(heard, stt, clip(1.0), "Klingon")).startswith("nak")
    assert (await asyncio.to_thread(spoken, tts, "a", "Klingon")).startswith(b"nak")
    assert await asyncio.to_thread(heard, stt, b"no sound") == ""
    assert (
        await asyncio.to_thread(heard, stt, zipped(bytes(gateway_limits.PRIVOX_UPLOAD + 1))) == ""
    )
    assert mesh.gateway.privox.broken == {"size": 1}


async def test_an_empty_mesh_says_nak(mesh: GatewayMesh) -> None:
    stt, tts = ports(mesh)
    told = await asyncio.to_thread(heard, stt, clip(1.0))
    assert told.startswith("nak") and "no producer on the mesh" in told
    assert (await asyncio.to_thread(spoken, tts, "a")).startswith(b"nak")


@asynccontextmanager
async def transcribing(
    mesh: GatewayMesh, provider: Counting
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A consumer whose job goes on until `provider.gate` is set."""
    provider.gate.clear()
    reader, writer = await asyncio.open_connection(HOST, ports(mesh)[0])
    assert await reader.readexactly(3) == b"who"
    wav = clip(1.0)
    writer.write(f"s{KEY}".encode() + f"model=x&len={len(wav)}&lang=en".encode())
    assert await reader.readexactly(3) == b"ack"
    writer.write(wav)
    await asyncio.wait_for(provider.working.wait(), WITHIN)
    yield reader, writer
    writer.close()


async def test_what_a_consumer_sends_during_its_job_is_not_kept(
    mesh: GatewayMesh, provider: Counting
) -> None:
    """It was, all of it, in memory."""
    async with transcribing(mesh, provider) as (reader, writer):
        tracemalloc.start()
        try:
            for _ in range(64):
                writer.write(bytes(limits.MIB))
                await writer.drain()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 16 * limits.MIB
        await turns()  # the last of it is read, too
        provider.gate.set()
        async with asyncio.timeout(WITHIN):
            assert await reader.read() == b"16000 samples"


async def test_a_consumer_that_does_not_read_holds_no_job(
    mesh: GatewayMesh, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ANSWER_STALL", 0.2)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect((HOST, ports(mesh)[1]))
        deaf.sendall(f"s{KEY}model=x&text={'a ' * 2000}".encode())
        jobs = mesh.gateway.server.jobs
        await until(lambda: jobs.outcomes["cancelled"] == 1, WITHIN)


async def test_whoever_hangs_up_ends_its_job(mesh: GatewayMesh, provider: Counting) -> None:
    async with transcribing(mesh, provider):
        pass
    await asyncio.wait_for(provider.closed.wait(), WITHIN)


async def test_whoever_breaks_the_rules_is_closed_and_counted(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_limits, "PRIVOX_WHO", 0.3)
    broken = {
        "who": (b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 17),
        "size": (f"s{KEY}model=base&len=99999999&lang=en".encode(), b"s" + bytes(40_000)),
        "shape": (f"s{KEY}nonsense".encode(), f"s{KEY}".encode()),
    }
    for reason, said in broken.items():
        for number, data in enumerate(said, 1):
            reader, writer = await asyncio.open_connection(HOST, ports(mesh)[0])
            writer.write(data)
            async with asyncio.timeout(WITHIN):
                assert await reader.read() in (b"who", b"")
            writer.close()
            await until(partial(is_counted, mesh, reason, number))
    assert mesh.gateway.status()["privox_ports"]["broken"] == {"who": 3, "size": 2, "shape": 2}


def is_counted(mesh: GatewayMesh, reason: str, number: int) -> bool:
    return mesh.gateway.privox.broken.get(reason) == number


# -- pull producers --------------------------------------------------------------------------------


class Puller:
    """A pull producer of Privox's: its way of reading, in a thread of its own."""

    def __init__(self, port: int, says: Callable[[bytes], bytes]) -> None:
        self.pongs, self.headers = 0, list[str]()
        self._port, self._says = port, says
        self._sock = socket.create_connection((HOST, port))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._thread.join(WITHIN)
        self._sock.close()

    def _run(self) -> None:
        assert self._sock.recv(3) == b"who"
        self._sock.sendall(f"c{KEY}".encode())
        wanted, wav = 0, b""
        try:
            while data := self._sock.recv(1024):
                if wanted:
                    wav += data
                    if len(wav) >= wanted:
                        self._sock.sendall(self._says(wav))
                        wanted, wav = 0, b""
                elif data.startswith(b"ping"):
                    self.pongs += 1
                    self._sock.sendall(b"pong")
                elif data.startswith(b"model"):
                    self.headers.append(data.decode())
                    self._sock.sendall(b"ack")
                    name, value = data.decode().split("&")[1].split("=")
                    if name == "len":
                        wanted = int(value)
                    else:
                        sound = self._says(value.encode())
                        self._sock.sendall(f"{len(sound):08d}".encode() + sound)
        except OSError:
            pass


def as_whisper(wav: bytes) -> bytes:
    """Takes what comes for samples of 16 kHz, the header too."""
    return f"{(len(wav) - 44) // 2} samples of {wav[:4].decode()}".encode()


def as_vits(text: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(tone(TONE) * len(text.split()))
    return file.getvalue()


@asynccontextmanager
async def pulling(
    mesh: GatewayMesh, *says: Callable[[bytes], bytes]
) -> AsyncIterator[list[Puller]]:
    """One for each: at the first port, but those that speak."""
    stt, tts = ports(mesh)
    pullers = [Puller(tts if one is as_vits else stt, one) for one in says]
    pulls = mesh.gateway.provider.pulls
    await until(lambda: pulls.slots("stt") + pulls.slots("tts") == len(pullers))
    try:
        yield pullers
    finally:
        for puller in pullers:
            await asyncio.to_thread(puller.close)


async def transcript(mesh: GatewayMesh, seconds: float = 1.5, **fields: str) -> tuple[int, str]:
    form = aiohttp.FormData({"response_format": "text", **fields})
    form.add_field("file", clip(seconds), filename="a.wav")
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{mesh.url}/v1/audio/transcriptions", data=form) as answer,
    ):
        return answer.status, (await answer.text()).strip()


async def test_pull_producers_hear_and_speak_for_every_dialect(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_limits, "PRIVOX_PING", 0.2)
    async with pulling(mesh, as_whisper, as_vits) as (ear, mouth):
        await until(lambda: ear.pongs > 1 < mouth.pongs)
        said = "24000 samples of RIFF"
        assert await transcript(mesh) == (200, said)
        assert await transcript(mesh, model="privox:small", language="de") == (200, said)
        assert ear.headers == [
            "model=base&len=00048044&lang=en", "model=small&len=00048044&lang=de",
        ]  # fmt: skip
        stt, tts = ports(mesh)
        assert await asyncio.to_thread(heard, stt, clip(1.5)) == said
        wav = await asyncio.to_thread(spoken, tts, "a b & c")
        assert len(wav) == 44 + 4 * 2 * round(TONE * RATE)
        assert "text=a b  and  c" in mouth.headers[0].replace("b and c", "b  and  c")
    pulls = mesh.gateway.provider.pulls
    await until(lambda: pulls.slots("stt") + pulls.slots("tts") == 0)
    assert (await transcript(mesh))[0] == 503


async def test_all_of_a_long_text_comes_back_and_nothing_is_also_a_text(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Privox's own farm took 255 bytes of it; a text has no end, and may have a pong at its own."""
    monkeypatch.setattr(pull_producers, "PING_AFTER", 0.3)
    answers = ["word " * 4000 + "ping pong", "", "pong", "last"]
    told = iter(answers)
    async with pulling(mesh, lambda wav: next(told).encode()):
        for answer in answers:
            assert await transcript(mesh) == (200, answer)


async def test_a_failure_is_no_transcript_and_a_lost_producer_no_loss_of_others(
    mesh: GatewayMesh,
) -> None:
    async with pulling(mesh, lambda wav: b"local client error, could not load model (base)"):
        status, told = await transcript(mesh)
        assert status == 500 and "could not load model" in told
    async with pulling(mesh, lambda wav: b"") as (doomed,):
        asking = asyncio.create_task(transcript(mesh))
        await until(lambda: bool(doomed.headers))
        await asyncio.to_thread(doomed.close)
        assert (await asking)[0] == 502
    async with pulling(mesh, as_whisper):
        assert (await transcript(mesh))[0] == 200


async def test_the_mesh_goes_before_pull_producers_unless_they_are_named(
    mesh: GatewayMesh, provider: Counting
) -> None:
    async with pulling(mesh, as_whisper) as (ear,):
        assert (await transcript(mesh))[1] == TEXT
        assert not ear.headers
        assert (await transcript(mesh, model="privox"))[1] == "24000 samples of RIFF"


async def test_a_pull_producer_that_is_lost_costs_time_where_there_is_a_mesh(
    mesh: GatewayMesh,
) -> None:
    """Its record says that it is not idle, so that the job goes to the other first."""
    provider = Counting(slots=0)
    await mesh.lend(provider)
    provider.slots = 4
    await mesh.see()
    async with pulling(mesh, lambda wav: b"") as (doomed,):
        asking = asyncio.create_task(transcript(mesh))
        await until(lambda: bool(doomed.headers))
        await asyncio.to_thread(doomed.close)
        assert await asking == (200, TEXT)


async def test_whoever_answers_a_ping_with_something_else_is_closed_and_counted(
    mesh: GatewayMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_limits, "PRIVOX_PING", 0.1)
    monkeypatch.setattr(gateway_limits, "PRIVOX_PONG", 0.3)
    for answer in (b"gong", b""):
        reader, writer = await asyncio.open_connection(HOST, ports(mesh)[0])
        writer.write(f"c{KEY}".encode())
        assert await reader.readexactly(7) == b"whoping"
        writer.write(answer)
        async with asyncio.timeout(WITHIN):
            assert await reader.read() == b""
        writer.close()
    assert mesh.gateway.privox.broken == {"pong": 1, "slow": 1}
