"""A private mesh does all that a public one does, for its members."""

import asyncio
import contextlib
import json
import math
from array import array
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kit import HOST, until
from node_kit import farm_in
from private_kit import LENDS, NAME, member_of, node, secret_in

from nodes import health
from nodes.doctor import Doctor
from nodes.gateway.config import parse_gateway
from nodes.verdict import Verdict
from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.dht import DhtNode
from privox_dht.errors import NotJoined
from privox_dht.identity import Identity
from privox_dht.records import FARM
from privox_dht.speech import STT, TTS

CLIP = wav(bytes(2 * 16_000 * 2), 16_000)
HEARD = "2.00 seconds of sound"


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    """What every member is told."""
    return {"network": NAME, "secret_file": secret_in(tmp_path)}


async def test_members_transcribe_and_speak_directly_and_through_a_farm(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    async with (
        node(tmp_path / "farm", farm=True, relay_port=0, **told) as farm,
        node(tmp_path / "open", *LENDS, neighbour=farm, **told) as direct,
        node(tmp_path / "shut", *LENDS, neighbour=farm, reachable="no", **told) as behind,
        Mesh.join([(HOST, farm.dht.port)], **told) as mesh,
    ):
        for producer, route in ((direct, "direct"), (behind, "relayed by")):
            only: dict[str, Any] = {"only": [producer.identity.peer_id], "model": "echo"}
            heard = await mesh.transcript(CLIP, **only)
            assert (heard.value.text, heard.route.startswith(route)) == (HEARD, True)
            assert (await mesh.speech("Good day", **only)).route.startswith(route)
        second = array("h", (int(8000 * math.sin(i / 6)) for i in range(16_000))).tobytes()
        long = wav(second * 150, 16_000)
        scattered = await mesh.transcript(long, model="echo")
        assert scattered.value.seconds == pytest.approx(150)
        assert len(scattered.shares) == 2, "pieces went to both"
        kinds = {record.kind for record in await mesh.producers()}
        assert kinds == {STT, TTS, FARM}
        assert not farm_in(farm).dropped
        for running in (farm, direct, behind):
            assert not running.dht.stats()["dropped"]
            assert set(running.dht.stats()["turned_away"]) <= {"tcp unfinished"}  # calls back


async def test_where_udp_is_blocked_the_directory_is_asked_over_sealed_https(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    async with (
        node(tmp_path / "first", **told) as first,
        node(tmp_path / "open", *LENDS, neighbour=first, **told),
        Mesh.join([(HOST, first.dht.port)], hidden=True, **told) as mesh,
    ):
        assert mesh.dht.https_neighbour
        assert await mesh.transcribe(CLIP, model="echo") == HEARD


async def test_the_gateway_of_a_member_serves_ordinary_apps(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    gateway = parse_gateway(f"{HOST}:0", None, False, ())
    async with (
        node(tmp_path / "first", *LENDS, **told) as first,
        node(tmp_path / "mine", neighbour=first, gateway=gateway, **told) as mine,
        aiohttp.ClientSession() as app,
    ):
        form = aiohttp.FormData({"model": "echo"})
        form.add_field("file", CLIP, filename="clip.wav")
        url = f"http://{HOST}:{mine.gateway.port}/v1/audio/transcriptions"  # type: ignore[union-attr]
        async with app.post(url, data=form) as answer:
            assert (await answer.json())["text"] == HEARD


async def test_two_private_meshes_and_a_public_one_on_a_machine_never_mix(tmp_path: Path) -> None:
    """Two of them have the same name and different secrets; all are told of each other's nodes."""
    told: list[dict[str, Any]] = [
        {"network": NAME, "secret_file": secret_in(tmp_path, "one")},
        {"network": NAME, "secret_file": secret_in(tmp_path, "two")},
        {"network": NAME},
    ]
    async with contextlib.AsyncExitStack() as stack:
        firsts = [
            await stack.enter_async_context(node(tmp_path / f"first{n}", **which))
            for n, which in enumerate(told)
        ]
        everywhere = [(HOST, first.dht.port) for first in firsts]
        lends = [
            await stack.enter_async_context(
                node(tmp_path / f"lends{n}", *LENDS, neighbour=firsts[n], **which)
            )
            for n, which in enumerate(told)
        ]
        for n, which in enumerate(told):
            mesh = await stack.enter_async_context(Mesh.join(everywhere, **which))
            found = {record.peer_id for record in await mesh.producers()}
            assert found == {lends[n].identity.peer_id}
            done = await mesh.transcript(CLIP, model="echo")
            assert done.value.text == HEARD
            for other in (lends[m] for m in range(3) if m != n):
                ours = {(HOST, running.dht.port) for running in (firsts[n], lends[n])}
                assert not ours & set(other.dht.contacts())
        for first in firsts[:2]:
            assert first.dht.stats()["dropped"]["stranger"]


async def test_who_cannot_join_hears_what_may_be_wrong(tmp_path: Path) -> None:
    own, other = secret_in(tmp_path), secret_in(tmp_path, "other")
    no_member = "proves no membership .* same --secret-file and --network"
    async with node(tmp_path / "first", network=NAME, secret_file=own) as first:

        async def fails(network: str, secret: Path | None, why: str) -> None:
            nodes = [(HOST, first.dht.port)]
            with pytest.raises(NotJoined, match=why):
                async with Mesh.join(nodes, network=network, secret_file=secret, timeout=2.5):
                    pass

        await asyncio.gather(
            fails(NAME, other, no_member), fails("family", own, no_member),
            fails(NAME, None, "is its mesh a private one"),
        )  # fmt: skip


async def test_health_and_doctor_are_members_too(tmp_path: Path, told: dict[str, Any]) -> None:
    async with node(tmp_path / "first", farm=True, relay_port=0, **told) as first:
        assert "answers on UDP" in await health.check(tmp_path / "first", published=False)
        verdicts: list[Verdict] = []
        config = first.config.__class__(
            tmp_path / "ill", port=0, host=HOST, neighbours=((HOST, first.dht.port),), **told
        )
        await Doctor(config).examine(verdicts.append)
        found = {verdict.probe: verdict.found for verdict in verdicts}
        assert {found[probe] for probe in ("join", "clock", "records", "farm", "round trip")} == {
            "yes"
        }
        status = await health._status(health.listening_in(tmp_path / "first"))
        assert status["private_mesh"] is True
        json.dumps(status)


async def test_a_member_whose_clock_is_off_by_less_than_half_a_minute_is_heard(
    tmp_path: Path, told: dict[str, Any]
) -> None:
    secret: Path = told["secret_file"]
    async with node(tmp_path / "first", **told) as first:
        then = first.member.clock  # type: ignore[union-attr]
        for ahead, joins in ((25, True), (-25, False), (40, False)):  # behind, since it just began
            member = member_of(secret)
            member.clock = lambda ahead=ahead: then() + ahead  # type: ignore[misc]
            async with DhtNode(Identity.generate(), host=HOST, guest=True, member=member) as guest:
                try:
                    await guest.join([(HOST, first.dht.port)], 5.0 if joins else 1.0)
                    joined = True
                except NotJoined:
                    joined = False
            assert joined is joins, ahead
        assert first.dht.stats()["dropped"]["stale"]


async def test_a_restarted_member_is_back_at_once(tmp_path: Path, told: dict[str, Any]) -> None:
    async with node(tmp_path / "first", **told) as first:
        for _ in range(2):
            async with node(tmp_path / "lends", *LENDS, neighbour=first, **told) as lends:
                await until(lambda: lends.dht.contacts())
                await asyncio.sleep(0)
