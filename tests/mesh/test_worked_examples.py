"""The worked examples of CONTRIBUTING.md, run as they stand there."""

import re
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from api_kit import clip
from kit import HOST, until

from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.node import Node
from nodes.producer import Producer
from privox_dht.records import Direct
from privox_dht.speech import TranscriptionRequest
from privox_dht.speech_api.speech_server import SpeechServer

ROOT = Path(__file__).parents[2]
MOST_LINES = 30


def example(name: str) -> Any:
    """What the example that defines `name` makes."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if re.search(rf"^(class|def) {name}\b", block, re.M)]
    assert len(code.splitlines()) < MOST_LINES, name
    made: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "CONTRIBUTING.md", "exec"), made)
    return made[name]


async def test_an_engine_hears() -> None:
    engine = example("Loudness")()
    await engine.start()
    sound = np.array([0.1, -0.5, 0.2], np.float32)
    heard = [segment.text async for segment in engine.transcribe(sound, TranscriptionRequest())]
    await engine.close()
    assert heard == ["0.50"]


async def test_a_dialect_does_a_job_with_that_engine() -> None:
    async with Codecs(1) as codecs:
        provider = Producer([example("Loudness")()], 1, codecs)
        server = SpeechServer(provider, host=HOST, tls=None)
        example("shouting")(server, provider)
        async with server, aiohttp.ClientSession(f"http://{HOST}:{server.port}") as http:
            form = aiohttp.FormData()
            form.add_field("file", clip(1.5), filename="clip.wav")
            async with http.post("/shout/asr", data=form) as response:
                assert re.fullmatch(r"0\.\d\d", await response.text()), await response.text()
            assert server.jobs.outcomes["done"] == 1


async def test_a_service_is_found_by_its_record_and_has_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithClock(Node):
        def _server(self, sockets: Any) -> SpeechServer:
            port = sockets[0].getsockname()[1]
            where = lambda: (Direct(HOST, port),)  # noqa: E731
            self.services.append(example("Clock")(self.dht.mesh, lambda: 7.0, where))
            return super()._server(sockets)

    async with WithClock(NodeConfig(tmp_path, port=0, host=HOST)) as node:
        await until(lambda: node.reachability.ready_to_publish)
        await node.announcer.announce()
        (record,) = await node.dht.find("clock", "cpu")
        assert record.routes[0] == Direct(HOST, node.server.port)
        url = f"https://{HOST}:{node.server.port}"
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{url}/v1/time", ssl=False) as response:
                assert await response.json() == {"seconds": 7.0}
            async with http.get(f"{url}/v1/status", ssl=False) as response:
                assert (await response.json())["time"] == 7.0
