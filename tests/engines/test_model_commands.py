"""`privox-node models`, with a server on loopback that answers as the Hugging Face hub does."""

import asyncio
import errno
import hashlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import tiny_piper
import tiny_whisper
from aiohttp import web
from aiohttp.test_utils import TestServer

from nodes import model_store
from privox_dht.errors import ConfigError

pytest.importorskip("faster_whisper")
TINY, TURBO = "Systran/faster-whisper-tiny", "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
VOICE = "en_US-tiny-low"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a hub that has two models and one voice."""
    model = tiny_whisper.make(tmp_path / "model")
    voices = tmp_path / "voices"
    tiny_piper.make(voices / "en" / "en_US" / "tiny" / "low" / f"{VOICE}.onnx")

    async def repository(request: web.Request) -> web.Response:
        siblings = [{"rfilename": file.name} for file in model.iterdir()]
        name = "/".join(request.path.split("/")[3:5])
        about = {"_id": "1", "id": name, "modelId": name, "sha": COMMIT}
        return web.json_response({**about, "siblings": siblings, "tags": []})

    async def tree(request: web.Request) -> web.Response:
        return web.json_response([
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": etag(file)}
            for file in model.iterdir()
        ])  # fmt: skip

    async def resolve(request: web.Request) -> web.Response:
        file = model / request.match_info["file"]
        headers = {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT}
        return web.Response(body=file.read_bytes(), headers=headers)

    app = web.Application()
    for name in (TINY, TURBO):
        app.router.add_get(f"/api/models/{name}", repository)
        app.router.add_get(f"/api/models/{name}/revision/{{revision}}", repository)
        app.router.add_get(f"/api/models/{name}/tree/{{revision}}", tree)
        app.router.add_get(f"/{name}/resolve/{{revision}}/{{file}}", resolve)
    app.router.add_static("/rhasspy/piper-voices/resolve/main", voices)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


async def models(hub: str, cache: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `privox-node models ...`."""
    environment = {
        **os.environ, "HF_ENDPOINT": hub, "PRIVOX_MODEL_CACHE": str(cache),
        "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0" if hub else "1",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nodes.cli", "models", *arguments, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def names(told: str) -> list[str]:
    return [f"{one['engine']}:{one['model']}" for one in map(json.loads, told.splitlines())]


@pytest.mark.timeout(180)
async def test_models_are_fetched_listed_and_removed(hub: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    code, told, wrong = await models(hub, cache, "fetch", "fast", f"piper:{VOICE}", "--json")
    assert (code, names(told)) == (0, ["faster-whisper:tiny", f"piper:{VOICE}"]), wrong
    _, told, _ = await models("", cache, "list", "--json")
    assert names(told) == ["faster-whisper:tiny", f"piper:{VOICE}"]
    assert all(one["size"] > 1000 for one in map(json.loads, told.splitlines()))
    code, told, wrong = await models("", cache, "fetch", "tiny")
    assert code == 0 and "faster-whisper:tiny" in told, "what is here needs no hub"
    code, _, wrong = await models("", cache, "remove", "tiny", VOICE)
    assert code == 0, wrong
    code, told, _ = await models("", cache, "list")
    assert (code, told) == (0, "")
    assert not list(cache.glob("*.onnx*"))


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "listed"), [("turbo", "large-v3-turbo"), (TINY, "tiny")])
async def test_a_model_of_several_names_is_fetched_and_removed_by_each(
    hub: str, tmp_path: Path, name: str, listed: str
) -> None:
    """The download of `turbo` ended with a traceback, since it is listed by its other name."""
    cache = tmp_path / "cache"
    code, told, wrong = await models(hub, cache, "fetch", name, "--json")
    assert (code, names(told)) == (0, [f"faster-whisper:{listed}"]), wrong
    code, told, wrong = await models("", cache, "remove", name, "--json")
    assert (code, names(told)) == (0, [f"faster-whisper:{listed}"]), wrong
    assert (await models("", cache, "list"))[1] == ""


@pytest.mark.timeout(180)
async def test_what_cannot_be_removed_is_not_said_to_be(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's: it was a traceback for a voice, and "removed" for a model."""
    code, _, wrong = await models(hub, tmp_path, "fetch", "tiny", VOICE)
    assert code == 0, wrong

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "unlink", refused)
    monkeypatch.setattr("shutil.rmtree", refused)
    for name in ("tiny", VOICE):
        with pytest.raises(ConfigError, match=f"cannot remove .*{name}.* from {tmp_path}"):
            model_store.remove(name, tmp_path)


async def test_ctrl_c_ends_the_download_of_a_voice(tmp_path: Path) -> None:
    """The first one did nothing."""
    with socket.create_server(("127.0.0.1", 0)) as hub:
        environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.getsockname()[1]}"}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nodes.cli", "models", "fetch", VOICE),
            *("--model-cache", str(tmp_path)),
            env=environment,
        )
        connection, _ = await asyncio.to_thread(hub.accept)
        with connection:
            await asyncio.to_thread(connection.recv, 4096)
            process.send_signal(signal.SIGINT)
            try:
                async with asyncio.timeout(10):
                    assert await process.wait() == 130
            finally:
                if process.returncode is None:
                    process.kill()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("fetch", "gigantic"), 1, "there is no model 'gigantic'"),
        (("fetch", "owner/missing"), 1, "cannot be downloaded"),
        (("fetch", "pocketsphinx:en-us"), 2, "only faster-whisper and piper download models"),
        (("fetch", "/some/folder"), 2, "is not the name of a model that can be downloaded"),
        (("remove", "small"), 2, "faster-whisper:small is not on this machine; there is none"),
    ],
)
async def test_what_cannot_be_had_is_told(
    hub: str, tmp_path: Path, arguments: Any, code: int, said: str
) -> None:
    given = await models(hub, tmp_path / "cache", *arguments)
    assert given[0] == code and said in " ".join(given[2].split()), given
