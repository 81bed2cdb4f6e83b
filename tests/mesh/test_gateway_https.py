"""The gateway by TLS: the same pages, with a certificate of its own or the owner's."""

import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_kit import Counting, clip
from gateway_kit import GatewayMesh

from nodes.gateway.allowed import parse_networks
from nodes.gateway.certificate import FILE, fingerprint_of, make_certificate
from nodes.gateway.config import GatewayConfig, HttpsConfig
from nodes.gateway.gateway import Gateway
from nodes.gateway.key_command import add_key

EVERYWHERE = "0.0.0.0"  # addresses by which others could come; the tests do, by loopback


@asynccontextmanager
async def gateway(folder: Path, https: HttpsConfig, **config: Any) -> AsyncIterator[Gateway]:
    async with GatewayMesh.opened(folder, GatewayConfig(port=0, https=https, **config)) as mesh:
        await mesh.lend(Counting())
        await mesh.see()
        assert mesh.node.gateway is not None
        yield mesh.node.gateway


@asynccontextmanager
async def asked(
    port: int, path: str, trusted: Path, **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    tls = ssl.create_default_context(cafile=trusted)
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://localhost:{port}{path}", ssl=tls, headers=headers) as answer,
    ):
        yield answer


async def test_who_trusts_its_certificate_gets_the_page_and_the_api(tmp_path: Path) -> None:
    async with gateway(tmp_path, HttpsConfig(tmp_path, port=0)) as served:
        kept, port = tmp_path / FILE, served.https.port
        assert served.https.fingerprint == fingerprint_of(kept)
        async with asked(port, "/", kept) as answer:
            assert answer.status == 200 and "Speech to text" in await answer.text()
        async with asked(port, "/mesh.json", kept, Origin=f"https://localhost:{port}") as answer:
            assert (await answer.json())["https_port"] == port
        form = aiohttp.FormData()
        form.add_field("file", clip(1.0), filename="a.wav")
        tls = ssl.create_default_context(cafile=kept)
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"https://127.0.0.1:{port}/v1/audio/transcriptions", data=form, ssl=tls
            ) as answer,
        ):
            assert (await answer.json())["text"] == "16000 samples"


async def test_who_does_not_is_answered_nothing(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(make_certificate(["localhost"], datetime.now(UTC)))
    async with gateway(tmp_path, HttpsConfig(tmp_path, port=0)) as served:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            async with asked(served.https.port, "/", other):
                pass
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.1:{served.https.port}/")


async def test_each_of_its_two_addresses_has_its_own_visitors(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    key = add_key(keys, "kitchen", 3600)
    there = HttpsConfig(tmp_path, host=EVERYWHERE, port=0)
    async with gateway(tmp_path, there, keys=keys) as served:
        kept, port = tmp_path / FILE, served.https.port
        bearer = {"Authorization": f"Bearer {key}"}
        async with asked(port, "/mesh.json", kept) as answer:
            assert answer.status == 401
        async with asked(port, "/mesh.json", kept, Host="gateway.lan", **bearer) as answer:
            assert answer.status == 200, "by any name that leads there"
        async with asked(port, "/mesh.json", kept, Origin="https://evil.example") as answer:
            assert answer.status == 403
        url = f"http://127.0.0.1:{served.port}/mesh.json"
        strange = {"Host": "gateway.lan", **bearer}
        async with aiohttp.ClientSession() as s, s.get(url, headers=strange) as answer:
            assert answer.status == 403, "on loopback, by its own names only"


async def test_a_certificate_of_the_owner_is_used_and_taken_again_when_it_is_renewed(
    tmp_path: Path,
) -> None:
    mine = tmp_path / "mine.pem"
    mine.write_bytes(make_certificate(["localhost"], datetime.now(UTC)))
    config = HttpsConfig(tmp_path, port=0, certificate=mine)
    async with gateway(tmp_path, config) as served:
        async with asked(served.https.port, "/", mine) as answer:
            assert answer.status == 200
        assert not (tmp_path / FILE).exists()
        mine.write_text("half written")
        served.https.renew()
        first = served.https.fingerprint
        mine.write_bytes(make_certificate(["localhost"], datetime.now(UTC)))
        served.https.renew()
        assert served.https.fingerprint == fingerprint_of(mine) != first
        async with asked(served.https.port, "/healthz", mine) as answer:
            assert json.loads(await answer.text())["ok"]


async def test_a_renewed_certificate_whose_key_does_not_fit_leaves_the_old_one_in_use(
    tmp_path: Path,
) -> None:
    old, new = (make_certificate(["localhost"], datetime.now(UTC)) for _ in range(2))
    trusted, certificate, key = tmp_path / "old", tmp_path / "chain", tmp_path / "key"
    for path in (trusted, certificate, key):
        path.write_bytes(old)
    config = HttpsConfig(tmp_path, port=0, certificate=certificate, private_key=key)
    async with gateway(tmp_path, config) as served:
        certificate.write_bytes(new)
        served.https.renew()
        async with asked(served.https.port, "/healthz", trusted) as answer:
            assert answer.status == 200
        key.write_bytes(new)
        served.https.renew()
        async with asked(served.https.port, "/healthz", certificate) as answer:
            assert answer.status == 200


async def test_a_machine_that_is_renamed_gets_a_certificate_with_its_new_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = HttpsConfig(tmp_path, host=EVERYWHERE, port=0)
    async with gateway(tmp_path, config, is_open=True) as served:
        before = served.https.fingerprint
        served.https.renew()
        assert served.https.fingerprint == before
        monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
        served.https.renew()
        assert served.https.fingerprint != before
        async with asked(served.https.port, "/healthz", tmp_path / FILE) as answer:
            assert answer.status == 200


async def test_what_knows_no_keys_is_by_tls_for_the_addresses_that_the_owner_names(
    tmp_path: Path,
) -> None:
    """The gateway itself listens on loopback alone, where all may come."""
    there = HttpsConfig(tmp_path, host=EVERYWHERE, port=0)
    elsewhere = parse_networks(["192.0.2.0/24"])
    async with gateway(tmp_path, there, is_open=True, allow=elsewhere) as served:
        async with asked(served.https.port, "/status", tmp_path / FILE) as answer:
            assert answer.status == 403
        url = f"http://127.0.0.1:{served.port}/status"
        async with aiohttp.ClientSession() as s, s.get(url) as answer:
            assert answer.status == 200
