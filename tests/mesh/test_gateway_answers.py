"""Every cell of the table in `docs/gateway.md`: what an app hears when the mesh cannot."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from api_kit import Counting, clip
from gateway_kit import GatewayMesh
from running import wait_for_line

from nodes.demo import RunningNode
from nodes.gateway.config import GatewayConfig
from privox_dht.speech import EngineInfo

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"
WAIT = 0.5  # seconds instead of a minute, where nobody will do it
OTHER_WAIT = 20.0  # seconds for another to be found and asked
COLUMNS = WHOLE, STREAMED, SPEECH = "a transcript", "a transcript, streamed", "speech"
CUT_OFF = "cut off"
KINDS = (  # what is asked, of what, and whether a part of the answer comes soon
    (WHOLE, "", False),
    (STREAMED, "", True),
    (SPEECH, "a", False),
    (SPEECH, "a" * 300, True),
)


def table() -> dict[tuple[str, str], str]:
    """Cells by row and column."""
    _, _, rest = PAGE.read_text().partition("## When the mesh fails")
    section = rest.partition("\n##")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    (_, *columns), _, *rows = lines
    return {
        (row[0], what): cell for row in rows for what, cell in zip(columns, row[1:], strict=True)
    }


@dataclass
class AppAnswer:
    """What an app got."""

    status: int = 0
    code: str = ""
    retry_after: str = ""
    text: str = ""
    cut_off: bool = False

    @property
    def cell(self) -> str:
        """As the table says it."""
        if self.cut_off:
            return CUT_OFF
        if self.status == 200:
            return f"event `{self.code}`" if self.code else "200"
        return f"{self.status} `{self.code}`" + (", `Retry-After`" if self.retry_after else "")


async def asked(
    url: str, what: str, text: str = "a b", model: str = "", begun: asyncio.Event | None = None
) -> AppAnswer:
    """One request of an app; `begun` is set when a part of the answer has come."""
    heard = AppAnswer()
    form = aiohttp.FormData({"model": model})
    form.add_field("file", clip(2.0), filename="a.wav")
    speech = {"model": model, "input": text, "response_format": "wav"}
    async with aiohttp.ClientSession() as session:
        if what == SPEECH:
            asking = session.post(f"{url}/v1/audio/speech", json=speech)
        else:
            if what == STREAMED:
                form.add_field("stream", "true")
            asking = session.post(f"{url}/v1/audio/transcriptions", data=form)
        try:
            async with asking as answer:
                heard.status = answer.status
                heard.retry_after = answer.headers.get("Retry-After", "")
                body = b""
                async for piece in answer.content.iter_any():
                    body += piece
                    if begun is not None and (what == SPEECH or b"0.00 to" in body):
                        begun.set()
                _take(heard, body, answer.content_type)
        except aiohttp.ClientPayloadError:
            heard.cut_off = True
    return heard


class ServedJob:
    """A request to the producers with an echo that is on its way."""

    def __init__(self, url: str, what: str, text: str, is_told_soon: bool) -> None:
        self.begun = asyncio.Event()
        if not is_told_soon:
            self.begun.set()
        self.task = asyncio.create_task(asked(url, what, text, "echo", self.begun))


def _take(heard: AppAnswer, body: bytes, kind: str) -> None:
    if kind == "application/json":
        told = json.loads(body)
        heard.code, heard.text = told.get("error", {}).get("code", ""), told.get("text", "")
    elif kind == "text/event-stream":
        for event in re.findall(r"^data: (.*)$", body.decode(), re.MULTILINE):
            told = json.loads(event)
            heard.code = told.get("error", {}).get("code", heard.code)
            heard.text += told.get("delta", "")


Row = Callable[[GatewayMesh], Awaitable[dict[str, str]]]


async def nobody(mesh: GatewayMesh) -> dict[str, str]:
    return {what: (await asked(mesh.url, what)).cell for what in COLUMNS}


class Nameless(Counting):
    """Its engines list no models and no voices."""

    def engines(self) -> Sequence[EngineInfo]:
        return [replace(info, models=()) for info in super().engines()]


async def nobody_with_the_model(mesh: GatewayMesh) -> dict[str, str]:
    await mesh.lend(Nameless())
    return {what: (await asked(mesh.url, what, model="gigantic")).cell for what in COLUMNS}


async def busy(mesh: GatewayMesh) -> dict[str, str]:
    await mesh.lend(Counting(slots=0))
    return {what: (await asked(mesh.url, what)).cell for what in COLUMNS}


async def lost_with_another(mesh: GatewayMesh) -> dict[str, str]:
    doomed = await mesh.start("stt/cpu/echo:30,tts/cpu/echo:30")
    jobs = [ServedJob(mesh.url, *kind) for kind in KINDS]
    await asyncio.gather(*(job.begun.wait() for job in jobs))
    await mesh.start("stt/cpu/echo,tts/cpu/echo")
    await mesh.see_two_producers()
    return await killed(doomed, jobs)


async def lost_alone(mesh: GatewayMesh) -> dict[str, str]:
    doomed = await mesh.start("stt/cpu/echo:30,tts/cpu/echo:30")
    jobs = [ServedJob(mesh.url, *kind) for kind in KINDS]
    await asyncio.gather(*(job.begun.wait() for job in jobs))
    return await killed(doomed, jobs)


async def killed(doomed: RunningNode, jobs: list[ServedJob]) -> dict[str, str]:
    """What the jobs of a producer hear that is killed while it does them."""
    await asyncio.to_thread(wait_for_line, doomed, " begun", more_than=len(jobs) - 1)
    os.kill(doomed.process.pid, signal.SIGKILL)
    whole, streamed, silent, speaking = [await job.task for job in jobs]
    if streamed.status == 200 and not streamed.code:
        assert streamed.text.count("0.00 to") == 1
        streamed_cell = "200, no word twice"
    else:
        streamed_cell = streamed.cell
    assert speaking.cut_off
    first = "200" if silent.status == 200 else f"{silent.cell}"
    return {
        WHOLE: whole.cell,
        STREAMED: streamed_cell,
        SPEECH: f"{first} before the first sound, then cut off",
    }


ROWS: dict[str, tuple[Row, float]] = {
    "has no producer for this service": (nobody, WAIT),
    "has no producer with that model, voice or language": (nobody_with_the_model, WAIT),
    "is busy with other jobs, for longer than a minute": (busy, WAIT),
    "loses the producer during the job, and has another": (lost_with_another, OTHER_WAIT),
    "loses the only producer during the job, for longer than a minute": (lost_alone, WAIT),
}


def test_every_row_has_a_case_and_every_case_a_row() -> None:
    assert list(dict.fromkeys(row for row, _ in table())) == list(ROWS)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", ROWS)
async def test_what_an_app_hears_when_the_mesh(row: str, tmp_path: Path) -> None:
    happens, wait = ROWS[row]
    async with GatewayMesh.opened(tmp_path, GatewayConfig(port=0, wait=wait)) as mesh:
        told = await happens(mesh)
    assert told == {what: table()[row, what] for what in COLUMNS}
