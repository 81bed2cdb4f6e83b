"""Apps made for OpenAI's API, unmodified, each in an environment of its own, at one gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_kit import RATE, TONE, Counting, clip
from gateway_kit import GatewayMesh

HERE = Path(__file__).parent
TEXT = "16000 samples 8000 samples"  # of a second and a half
SOUND = int(2 * TONE * RATE) * 2  # bytes of two words, at the engine's rate
pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

PYTHON = """
import asyncio, json, sys
from openai import AsyncOpenAI, OpenAI
url, wav = sys.argv[1:]
told = {}
with OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as sdk:
    told["text"] = sdk.audio.transcriptions.create(model="whisper-1", file=open(wav, "rb")).text
    said = sdk.audio.speech.create(model="tts-1", voice="alloy", input="a b", response_format="wav")
    told["wav"] = len(said.content)
async def streamed():
    async with AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as sdk:
        events = await sdk.audio.transcriptions.create(
            model="gpt-transcribe", file=open(wav, "rb"), stream=True)
        text = [e.delta async for e in events if e.type == "transcript.text.delta"]
        async with sdk.audio.speech.with_streaming_response.create(
            model="gpt-4o-mini-tts", voice="nova", input="a b", response_format="pcm") as answer:
            return "".join(text), sum([len(piece) async for piece in answer.iter_bytes()])
told["streamed"], told["pcm"] = asyncio.run(streamed())
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with their environments."""
    folder = tmp_path_factory.mktemp("apps")
    script = ("sh", str(HERE / "install_apps.sh"), str(folder), sys.executable)
    installed = subprocess.run(script, capture_output=True, text=True, timeout=280, check=False)
    if installed.returncode:
        pytest.skip(f"no apps: {(installed.stderr or installed.stdout).strip()[-200:]}")
    (folder / "clip.wav").write_bytes(clip(1.5))
    return folder


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[GatewayMesh]:
    async with GatewayMesh.opened(tmp_path) as mesh:
        await mesh.lend(Counting())
        yield mesh


async def told_by(folder: Path, url: str, *command: str) -> dict[str, object]:
    """What an app printed."""
    process = await asyncio.create_subprocess_exec(
        *command, url, str(folder / "clip.wav"), cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    told: dict[str, object] = json.loads(out)
    return told


async def test_the_libraries_for_javascript(mesh: GatewayMesh, apps: Path) -> None:
    told = await told_by(apps, mesh.url, "node", "apps.mjs")
    assert told["text"] == told["streamed"] == TEXT
    assert str(told["srt"]).startswith("1\n00:00:00,000 --> 00:00:01,000\n16000 samples")
    assert told["words"] == ["16000", "samples", "8000", "samples"]
    assert told["wav"] == told["sdkWav"] == SOUND + 44
    assert told["pcm"] == pytest.approx(SOUND * 24_000 / RATE, rel=0.01)
    assert {"counter", "toner:high"} <= set(told["models"])  # type: ignore[call-overload]
    assert told["error"] == ["NotFoundError", 404, "model_not_found"]
    assert told["sdk"] == [TEXT, 1.5, 2]


async def test_the_library_for_python(mesh: GatewayMesh, apps: Path) -> None:
    told = await told_by(apps, mesh.url, str(apps / "python/bin/python"), "-c", PYTHON)
    assert told["text"] == told["streamed"] == TEXT
    assert told["wav"] == SOUND + 44
    assert told["pcm"] == pytest.approx(SOUND * 24_000 / RATE, rel=0.01)
