"""Who may use a gateway, how much, and what operators see of it."""

import asyncio
import io
import json
import logging
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_kit import FORM_TYPE, Counting, clip, field
from gateway_kit import ANY_PORT, GatewayMesh
from kit import until

from nodes.gateway import access, gateway_limits
from nodes.gateway.allowed import parse_networks
from nodes.gateway.config import GatewayConfig
from nodes.gateway.key_command import add_key

OTHERS = "0.0.0.0"  # an address by which others could come; the tests do, by loopback


@asynccontextmanager
async def gateway(folder: Path, **config: Any) -> AsyncIterator[GatewayMesh]:
    async with GatewayMesh.opened(folder, GatewayConfig(port=0, **config)) as mesh:
        await mesh.lend(Counting())
        await mesh.see()
        yield mesh


async def heard(
    mesh: GatewayMesh, path: str = "/v1/audio/transcriptions", name: str = "file", **asked: Any
) -> tuple[int, str, Any]:
    """A second of sound: status, code and headers of the answer."""
    form = aiohttp.FormData(asked.pop("fields", {}))
    form.add_field(name, io.BytesIO(clip(1.0)), filename="a.wav")
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{mesh.url}{path}", data=form, **asked) as answer,
    ):
        body, in_header = await answer.text(), answer.headers.get("X-Privox-Error", "")
        assert not (in_header and body), "it would be saved as the subtitle"
        told = json.loads(body) if answer.content_type == "application/json" else {}
        return answer.status, told.get("error", {}).get("code", in_header), answer.headers


def bearer(key: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {key}"}}


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_key_is_wanted_and_brings_so_much_sound_and_no_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, is_open: bool
) -> None:
    caplog.set_level(logging.INFO)
    keys = tmp_path / "keys"
    good, small = add_key(keys, "good", 3600), add_key(keys, "small", 2)
    async with gateway(tmp_path, host=OTHERS, keys=keys, is_open=is_open) as mesh:
        status, code, headers = await heard(mesh)
        assert (status, code, headers["WWW-Authenticate"]) == (401, "invalid_api_key", "Bearer")
        assert f"the gateway serves clients with a key of {keys};" in caplog.text
        assert (await heard(mesh, **bearer("wrong")))[:2] == (401, "invalid_api_key")
        assert (await heard(mesh, **bearer(good)))[0] == 200
        for _ in range(2):
            assert (await heard(mesh, **bearer(small)))[0] == 200
            await until(lambda: mesh.gateway.server.jobs.running == 0)
        status, code, headers = await heard(mesh, **bearer(small))
        assert (status, code) == (429, "rate_limit_exceeded")
        assert 0 < int(headers["Retry-After"]) <= 3600
        assert (await heard(mesh, **bearer(good)))[0] == 200, "others have theirs"


async def test_privoxs_key_may_be_a_field_and_openais_header_is_good_there_too(
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    good = add_key(keys, "good", 3600)
    async with gateway(tmp_path, host=OTHERS, keys=keys) as mesh:
        assert (await heard(mesh, "/stt"))[0] == 401
        assert (await heard(mesh, "/stt", fields={"key": good}))[0] == 200
        assert (await heard(mesh, "/stt", **bearer(good)))[0] == 200


async def test_strangers_whose_key_may_still_come_keep_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form's key is known when all of it has come: four strangers who took an hour for theirs
    had all slots."""
    monkeypatch.setattr(gateway_limits, "FORM_KEY_UPLOAD", 0.5)
    keys = tmp_path / "keys"
    good = add_key(keys, "good", 3600)

    async def dripping() -> AsyncIterator[bytes]:
        yield field("file", b"", filename="a.wav")[:-2]
        while True:
            yield bytes(3000)
            await asyncio.sleep(0.05)

    async with (
        gateway(tmp_path, host=OTHERS, keys=keys) as mesh,
        aiohttp.ClientSession(mesh.url, headers={"Content-Type": FORM_TYPE}) as session,
    ):
        strangers = [asyncio.ensure_future(session.post("/stt", data=dripping())) for _ in range(4)]
        await until(lambda: mesh.gateway.server.jobs.running == 4)
        async with asyncio.timeout(10.0):
            assert (await heard(mesh, **bearer(good)))[0] == 200
        for stranger in strangers:
            stranger.cancel()
        await asyncio.gather(*strangers, return_exceptions=True)


async def test_a_wrong_key_takes_as_long_as_any_other(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    good = add_key(keys, "good", 3600)
    async with gateway(tmp_path, keys=keys) as mesh, aiohttp.ClientSession() as session:

        async def seconds(key: str) -> float:
            began = time.perf_counter()
            async with session.get(f"{mesh.url}/v1/models", **bearer(key)) as answer:
                assert answer.status == 401
                await answer.read()
            return time.perf_counter() - began

        almost, far = good[:-1] + "x", "x" * len(good)
        pairs = [(await seconds(almost), await seconds(far)) for _ in range(40)]
        best = [min(times) for times in zip(*pairs, strict=True)]
        assert 0.5 < best[0] / best[1] < 2.0


async def test_what_knows_no_keys_is_for_the_addresses_that_the_owner_names(
    tmp_path: Path,
) -> None:
    elsewhere = parse_networks(["192.0.2.0/24"])
    for allow, status in ((elsewhere, 403), (parse_networks(()), 200)):
        folder = tmp_path / str(status)
        async with gateway(folder, host=OTHERS, is_open=True, allow=allow) as mesh:
            assert (await heard(mesh))[0] == 200, "it is open"
            assert (await heard(mesh, "/asr", "audio_file"))[0] == status, "this page is not"
        keys = tmp_path / f"keys {status}"
        add_key(keys, "good", 3600)
        async with gateway(folder / "k", host=OTHERS, keys=keys, allow=allow) as mesh:
            assert (await heard(mesh, "/asr", "audio_file"))[0] == status
            assert (await heard(mesh))[0] == 401


async def test_what_is_not_let_in_is_told_so_in_the_words_of_each_dialect(tmp_path: Path) -> None:
    """Bazarr saves any body as the subtitle: this was one."""
    elsewhere, keys = parse_networks(["192.0.2.0/24"]), tmp_path / "keys"
    add_key(keys, "good", 3600)
    async with (
        gateway(tmp_path, host=OTHERS, keys=keys, allow=elsewhere) as mesh,
        aiohttp.ClientSession(mesh.url) as session,
    ):
        async with session.post("/asr?output=srt", data={"a": "b"}) as answer:
            assert (answer.status, await answer.text()) == (403, "")
            assert answer.headers["X-Privox-Error"] == "address_not_allowed"
        async with session.post("/synthesize", json={"text": "a"}) as answer:
            told = await answer.json()
            assert (answer.status, told["response_code"]) == (403, 1)
        async with session.post("/tts?key=wrong", json={"text": "a"}) as answer:
            said = await answer.text()
            assert (answer.status, said) == (401, "this gateway needs a key, as a bearer token\n")


async def test_a_proxy_with_tls_may_stand_before_it(tmp_path: Path) -> None:
    keys, elsewhere = tmp_path / "keys", parse_networks(["192.0.2.0/24"])
    key = add_key(keys, "good", 3600)
    proxied = {"Host": "speech.example", "Origin": "https://speech.example"}
    async with gateway(tmp_path, host=OTHERS, keys=keys, allow=elsewhere) as mesh:
        headers = {**proxied, **bearer(key)["headers"]}
        assert (await heard(mesh, headers=headers))[0] == 200
        assert (await heard(mesh, headers=proxied))[:2] == (401, "invalid_api_key")
        assert (await heard(mesh, "/asr", "audio_file", headers=headers))[0] == 403


async def test_an_address_without_a_key_brings_so_much_sound_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = ("198.51.100.1/32", "198.51.100.0/24")
    monkeypatch.setattr(access, "quota_prefixes", lambda host: elsewhere)
    keys = tmp_path / "keys"
    good = add_key(keys, "good", 3600)
    async with gateway(tmp_path, keyless_seconds=2) as mesh:
        monkeypatch.setattr(mesh.gateway.server, "_prefixes_of", lambda host: elsewhere)
        for path, name in (("/v1/audio/transcriptions", "file"), ("/asr", "audio_file")):
            assert (await heard(mesh, path, name))[0] == 200
            await until(lambda: mesh.gateway.server.jobs.running == 0)
        for path, name in (("/v1/audio/transcriptions", "file"), ("/asr?output=srt", "audio_file")):
            status, code, headers = await heard(mesh, path, name)
            assert (status, code) == (429, "rate_limit_exceeded")
            assert 0 < int(headers["Retry-After"]) <= 3600
    async with gateway(tmp_path / "k", keyless_seconds=1, keys=keys) as mesh:
        monkeypatch.setattr(mesh.gateway.server, "_prefixes_of", lambda host: elsewhere)
        for _ in range(3):
            assert (await heard(mesh, **bearer(good)))[0] == 200, "a key has its own"


async def test_health_says_whether_it_can_do_a_job(tmp_path: Path) -> None:
    async with (
        GatewayMesh.opened(tmp_path, ANY_PORT) as mesh,
        aiohttp.ClientSession(mesh.url) as session,
    ):
        async with session.get("/healthz") as answer:
            assert (answer.status, (await answer.json())["ok"]) == (503, False)
        await mesh.lend(Counting())
        await mesh.see()
        async with session.get("/healthz") as answer:
            assert answer.status == 200
            assert await answer.json() == {"ok": True, "stt": True, "tts": True}


async def test_without_its_package_the_page_for_prometheus_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nodes.gateway.metrics", None)
    async with (
        GatewayMesh.opened(tmp_path, ANY_PORT) as mesh,
        aiohttp.ClientSession(mesh.url) as session,
        session.get("/metrics") as answer,
    ):
        told = (await answer.json())["error"]["message"]
        assert (answer.status, told) == (500, "/metrics needs: pip install 'privox-dht[gateway]'")


async def test_numbers_for_prometheus_and_a_line_of_json_for_each_job(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    caplog.set_level(logging.INFO)
    async with gateway(tmp_path) as mesh, aiohttp.ClientSession(mesh.url) as session:
        assert (await heard(mesh))[0] == 200
        await until(lambda: mesh.gateway.server.jobs.running == 0)
        async with session.get("/metrics") as answer:
            text = await answer.text()
        found = {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
    assert found["privox_gateway_jobs_total", "done"] == 1
    assert found["privox_gateway_sound_seconds_total", "stt"] == 1.0
    assert found["privox_gateway_producers", "stt"] == 1
    assert found["privox_gateway_slots", "tts"] == 4
    ended = [f for r in caplog.records if (f := getattr(r, "fields", {})).get("event") == "job"]
    last = ended[-1]
    assert (last["service"], last["outcome"], last["sound"]) == ("stt", "done", 1.0)
    assert not re.search(r"samples|127\.0\.0\.1", json.dumps(ended))
