"""Every cell of the second table in `docs/gateway.md`: what older apps hear if the mesh cannot."""

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from api_kit import Counting
from gateway_kit import GatewayMesh
from kit import HOST
from open_engines import EARS, VOICE, knows_open_engines
from running import wait_for_line
from tone_talk import talk

from nodes.demo import RunningNode
from nodes.gateway.config import GatewayConfig, WyomingConfig
from privox_dht.audio import wav_header

wyoming_client = pytest.importorskip("wyoming.client")

from wyoming.asr import Transcribe, Transcript  # noqa: E402
from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.error import Error  # noqa: E402
from wyoming.tts import Synthesize  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"
WAIT = 0.5  # seconds instead of a minute, where nobody will do it
OTHER_WAIT = 20.0  # seconds for another to be found and asked
SLOW_EARS, SLOW_VOICE = f"{EARS}:0.05", f"{VOICE}:0.05"  # a second takes twenty
SOME_SOUND = f"{VOICE}:2"  # two words a second
CUT_OFF, NAK = "cut off", "`nak` and why, then closed"
SAID = talk(4, ("talk", 1.8), ("silence", 0.2))
PCM = SAID.sound.tobytes()
SAID_WAV = wav_header.header(16_000, len(PCM)) + PCM
TEXT = "a b"


def table() -> dict[tuple[str, str], str]:
    """Cells by dialect and by what the mesh is like."""
    _, _, rest = PAGE.read_text().partition("### In the older dialects")
    section = rest.partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    (_, *columns), _, *rows = lines
    return {
        (row[0], what): cell for row in rows for what, cell in zip(columns, row[1:], strict=True)
    }


# -- each dialect's own line, and its answer as the table says it ---------------------------------


async def page(mesh: GatewayMesh, path: str, begun: asyncio.Event, **given: str) -> str:
    """A form, or what `text` says."""
    form = aiohttp.FormData(quote_fields=False)
    for name, value in given.items():
        if name == "text":
            form.add_field(name, value)
        else:
            form.add_field(name, io.BytesIO(PCM if value == "raw" else SAID_WAV), filename="a.wav")
    async with aiohttp.ClientSession(mesh.url) as http:
        try:
            async with http.post(path, data=form) as answer:
                body = b""
                async for piece in answer.content.iter_any():
                    body += piece
                    begun.set()
        except aiohttp.ClientPayloadError:
            return CUT_OFF
    if answer.status == 200:
        assert SAID.text in body.decode("latin-1") or "text" in given or "detect" in path
        return "200"
    code, words = answer.headers.get("X-Privox-Error", ""), "in words"
    if not body:
        words = "no body"
    elif answer.content_type == "application/json":
        told = json.loads(body)
        code, words = told["error"]["code"], f"`response_code` {told['response_code']}"
    after = ["`Retry-After`"] if "Retry-After" in answer.headers else []
    return ", ".join([f"{answer.status} `{code}`" if code else f"{answer.status}", *after, words])


async def wyoming(mesh: GatewayMesh, *events: object) -> str:
    async with wyoming_client.AsyncTcpClient(HOST, mesh.gateway.wyoming.port) as asking:
        for event in events:
            await asking.write_event(event.event())  # type: ignore[attr-defined]
        while event := await asking.read_event():
            if Transcript.is_type(event.type):
                assert Transcript.from_event(event).text == SAID.text
                return "done"
            if AudioStop.is_type(event.type):
                return "done"
            if Error.is_type(event.type):
                assert await asking.read_event() is None
                return f"event `{Error.from_event(event).code}`, then closed"
    return "closed"


async def hearing(mesh: GatewayMesh, begun: asyncio.Event) -> str:
    form = {"rate": 16_000, "width": 2, "channels": 1}
    sound = (AudioStart(**form), AudioChunk(audio=PCM, **form), AudioStop())
    return await wyoming(mesh, Transcribe(language="en"), *sound)


async def speaking(mesh: GatewayMesh, begun: asyncio.Event) -> str:
    return await wyoming(mesh, Synthesize(TEXT))


async def port_hears(mesh: GatewayMesh, begun: asyncio.Event) -> str:
    header = f"model=base&len={len(SAID_WAV)}&lang=en"
    async with consumer(mesh.gateway.privox.ports[0], header) as (reader, writer):
        if await reader.readexactly(3) == b"nak":
            return NAK if await reader.read() else "no reason"
        writer.write(SAID_WAV)
        text = (await reader.read()).decode()
        assert text in (SAID.text, "")
        return "done" if text else "`ack`, then closed without a text"


async def port_speaks(mesh: GatewayMesh, begun: asyncio.Event) -> str:
    header = f"model=m&text={TEXT}&lang=en&idx=p236"
    async with consumer(mesh.gateway.privox.ports[1], header) as (reader, _):
        said = await reader.read()
        if said.startswith(b"nak"):
            return NAK
        assert int(said[:8]) == len(said) - 8
        return "done"


@asynccontextmanager
async def consumer(
    port: int, header: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """One of Privox's, which has said what it wants."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        assert await reader.readexactly(3) == b"who"
        writer.write(f"s0123456789abcdef{header}".encode())
        yield reader, writer
    finally:
        writer.close()


async def bazarr(mesh: GatewayMesh, begun: asyncio.Event) -> str:
    path = "/asr?task=transcribe&language=en&output=txt&encode=false&video_file=/a.mkv"
    return await page(mesh, path, begun, audio_file="raw")


Ask = Callable[[GatewayMesh, asyncio.Event], Awaitable[str]]
DIALECTS: dict[str, Ask] = {
    "`/asr` with `output`, as Bazarr asks": bazarr,
    "`/detect-language`": lambda m, b: page(m, "/detect-language", b, audio_file="wav"),
    "SOVA's `/asr`": lambda m, b: page(m, "/asr", b, audio_blob="wav"),
    "SOVA's `/synthesize`": lambda m, b: page(m, "/synthesize", b, text=TEXT),
    "Privox's `/stt`": lambda m, b: page(m, "/stt", b, file="wav"),
    "Privox's `/tts`": lambda m, b: page(m, "/tts", b, text=TEXT),
    "Wyoming, hearing": hearing,
    "Wyoming, speaking": speaking,
    "Privox's port, hearing": port_hears,
    "Privox's port, speaking": port_speaks,
}
STREAMS = "Privox's `/tts`"  # whose sound is sent as it is spoken
LONG = "a " * 200


async def asked(mesh: GatewayMesh) -> dict[str, str]:
    """What all of them hear, at once."""
    told = await asyncio.gather(*(ask(mesh, asyncio.Event()) for ask in DIALECTS.values()))
    return dict(zip(DIALECTS, told, strict=True))


# -- what the mesh is like ------------------------------------------------------------------------


async def nobody(mesh: GatewayMesh) -> dict[str, str]:
    return await asked(mesh)


async def busy(mesh: GatewayMesh) -> dict[str, str]:
    await mesh.lend(Counting(slots=0))
    return await asked(mesh)


async def lost_with_another(mesh: GatewayMesh) -> dict[str, str]:
    return await lost(mesh, f"{EARS},{VOICE}")


async def lost_alone(mesh: GatewayMesh) -> dict[str, str]:
    return await lost(mesh, "")


async def lost(mesh: GatewayMesh, then: str) -> dict[str, str]:
    """Kill the only producer while it does them; another one may have come by then."""
    doomed = [await mesh.start(f"{SLOW_EARS},{SLOW_VOICE}", "--slots", "16")]
    await mesh.see()
    asking = asyncio.create_task(asked(mesh))
    await asyncio.to_thread(wait_for_line, doomed[0], " begun", more_than=len(DIALECTS) - 1)
    if then:
        await mesh.start(then)
        await mesh.see_two_producers()
    kill(doomed[0])
    told = await asking
    doomed.append(await mesh.start(SOME_SOUND))
    if then:  # the one that is there speaks at once: it is the wrong one to kill
        return {**told, STREAMS: f"{told[STREAMS]} before the first sound, then {CUT_OFF}"}
    begun = asyncio.Event()
    speaks = asyncio.create_task(page(mesh, "/tts", begun, text=LONG))
    await asyncio.wait_for(begun.wait(), 20)
    kill(doomed[1])
    return {**told, STREAMS: f"{told[STREAMS]} before the first sound, then {await speaks}"}


def kill(node: RunningNode) -> None:
    os.kill(node.process.pid, signal.SIGKILL)


COLUMNS: dict[str, tuple[Callable[[GatewayMesh], Awaitable[dict[str, str]]], float]] = {
    "no producer for this service": (nobody, WAIT),
    "busy for longer than a minute": (busy, WAIT),
    "loses the producer during the job, and has another": (lost_with_another, OTHER_WAIT),
    "loses the only producer during the job": (lost_alone, WAIT),
}


def test_every_cell_has_a_case_and_every_case_a_cell() -> None:
    assert list(table()) == [(row, column) for row in DIALECTS for column in COLUMNS]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("column", COLUMNS)
async def test_what_an_older_app_hears_when_the_mesh(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engines").mkdir()
    knows_open_engines(tmp_path / "engines", monkeypatch)
    wyoming_too = WyomingConfig(HOST, 0, announce=False)
    happens, wait = COLUMNS[column]
    config = GatewayConfig(port=0, wait=wait, wyoming=wyoming_too, privox_ports=(0, 0))
    async with GatewayMesh.opened(tmp_path, config) as mesh:
        told = await happens(mesh)
    assert told == {row: table()[row, column] for row in DIALECTS}
