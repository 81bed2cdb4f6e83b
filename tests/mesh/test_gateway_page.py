"""What the gateway's page is served with, and what it is told of the mesh."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_kit import Counting, clip
from gateway_kit import GatewayMesh
from kit import until

from nodes.gateway.config import GatewayConfig
from nodes.gateway.key_command import add_key
from nodes.service_spec import parse_services

WORDS = "a secret word"


async def got(url: str, **headers: str) -> tuple[int, Any, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, headers={k.replace("_", "-"): v for k, v in headers.items()}) as answer,
    ):
        return answer.status, answer.headers, await answer.text()


async def test_the_page_and_all_its_files_come_with_their_policy(tmp_path: Path) -> None:
    async with GatewayMesh.opened(tmp_path) as mesh:
        status, headers, text = await got(mesh.url + "/")
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff" and "Speech to text" in text
        status, headers, _ = await got(mesh.url + "/web/app.js")
        assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
        assert (await got(mesh.url + "/web/app.js", If_None_Match=headers["ETag"]))[0] == 304
        for path in ("/web/none.js", "/web/..%2fpage.py", "/web/"):
            assert (await got(mesh.url + path))[0] == 404


async def test_the_page_needs_no_key_but_what_it_tells_does(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    key = add_key(keys, "kitchen", 3600)
    async with GatewayMesh.opened(tmp_path, GatewayConfig(port=0, keys=keys)) as mesh:
        assert (await got(mesh.url + "/"))[0] == (await got(mesh.url + "/web/app.js"))[0] == 200
        assert (await got(mesh.url + "/mesh.json"))[0] == 401
        assert (await got(mesh.url + "/mesh.json", Authorization=f"Bearer {key}"))[0] == 200


@pytest.mark.parametrize("path", ["/", "/mesh.json"])
async def test_a_page_of_the_web_hears_nothing(path: str, tmp_path: Path) -> None:
    async with GatewayMesh.opened(tmp_path) as mesh:
        assert (await got(mesh.url + path, Origin="https://evil.example"))[0] == 403
        assert (await got(mesh.url + path, Host="evil.example"))[0] == 403
        assert (await got(mesh.url + path, Origin=mesh.url))[0] == 200


async def test_jobs_are_told_with_their_producer_and_without_words_or_addresses(
    tmp_path: Path,
) -> None:
    async with GatewayMesh.opened(tmp_path) as mesh, aiohttp.ClientSession() as session:
        empty = json.loads((await got(mesh.url + "/mesh.json"))[2])
        assert empty["producers"] == empty["jobs"] == []
        await mesh.lend(Counting())
        await mesh.see()
        form = aiohttp.FormData({"prompt": WORDS})
        form.add_field("file", clip(1.0), filename=f"{WORDS}.wav")
        await (await session.post(f"{mesh.url}/v1/audio/transcriptions", data=form)).read()
        speech = {"model": "", "input": WORDS, "response_format": "wav"}
        await (await session.post(f"{mesh.url}/v1/audio/speech", json=speech)).read()
        await until(lambda: mesh.gateway.server.jobs.running == 0)
        text = (await got(mesh.url + "/mesh.json"))[2]
        told = json.loads(text)
        (producer,) = told["producers"]
        assert [(job["service"], job["outcome"]) for job in told["jobs"]] == [
            ("tts", "done"), ("stt", "done"),
        ]  # fmt: skip
        assert all(job["producers"] == [producer["id"]] for job in told["jobs"])
        assert told["jobs"][1]["sound"] == 1.0
        assert WORDS not in text and "127.0.0.1" not in text


async def test_a_job_of_the_nodes_own_engines_names_this_node(tmp_path: Path) -> None:
    lent = tuple(parse_services(["stt/cpu/echo"]))
    async with (
        GatewayMesh.opened(tmp_path, services=lent) as mesh,
        aiohttp.ClientSession() as session,
    ):
        form = aiohttp.FormData({"model": "echo"})
        form.add_field("file", clip(1.0), filename="a.wav")
        await (await session.post(f"{mesh.url}/v1/audio/transcriptions", data=form)).read()
        await until(lambda: mesh.gateway.server.jobs.running == 0)
        told = json.loads((await got(mesh.url + "/mesh.json"))[2])
        (producer,), (job,) = told["producers"], told["jobs"]
        assert producer["here"] and job["producers"] == [producer["id"]]
        assert producer["id"] == mesh.node.identity.peer_id[:8]
