"""A node whose owner takes his machine back: what runs is finished, what is new hears 503, and the
others see that it is busy. Real nodes, real jobs."""

import asyncio
import contextlib
import json
import os
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from click.testing import CliRunner
from gateway_kit import GatewayMesh
from kit import HOST, until
from running import Lab, wait_for_line

import nodes.lender
from client.cli import main as client_program
from nodes import pause
from nodes.cli import main as node_program
from nodes.config import NodeConfig
from nodes.gateway.config import GatewayConfig
from nodes.lending import LendingTerms, Pause
from nodes.lending_hours import parse_hours
from nodes.machine import CpuTimes, Machine, on_battery
from nodes.node import Node
from nodes.service_spec import parse_services
from privox_dht import Mesh, limits
from privox_dht.errors import AllProducersBusy

SEEN_WITHIN = 12.0  # seconds for others to see that it lends again or no more: a look, a pause
# between two announcements, and a busy machine
NIGHT = 1_795_132_800.0  # 2026-11-20 00:00 UTC


def control(folder: Path, *command: str) -> str:
    """What `privox-node pause` or `resume` says."""
    ran = CliRunner().invoke(node_program, [*command, "--state-dir", str(folder)])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def until_idle(lab: Lab, idle: int) -> None:
    """Until another node's client finds a record with so many idle slots."""
    ends = time.monotonic() + SEEN_WITHIN
    while (seen := [record["idle"] for record in lab.listed()]) != [idle]:
        assert time.monotonic() < ends, seen


@pytest.mark.timeout(120)
def test_an_owner_pauses_in_mid_job_restarts_and_resumes(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        role = ("--services", "tts/cpu/echo:4", "--slots", "2")
        lender = lab.producer("lender", role[1], *role[2:])
        spoken = tmp_path / "spoken.wav"
        say = ("--service", "tts", "--text", "Good morning", "--output", str(spoken))
        client = lab.start_client(*say)
        wait_for_line(lender, ' begun"')

        said = control(tmp_path / "lender", "pause", "--for", "2h")
        assert said.startswith("paused until ")
        assert "does not lend: paused by its owner" in said and "what runs is finished" in said
        late = lab.client(*say, "--wait", "0")
        assert late.returncode == 7, late.stderr
        until_idle(lab, 0)
        client.communicate(timeout=30)
        assert client.returncode == 0
        assert spoken.stat().st_size > 16_000, "what ran was finished"

        lender.stop()
        assert "no node runs here" in control(tmp_path / "lender", "pause")
        again = lab.producer("lender", role[1], *role[2:])
        told = again.wait_for("lending")
        assert told["slots"] == 0 and told["until"] is None and "paused" in told["why"]
        until_idle(lab, 0)

        assert control(tmp_path / "lender", "resume").endswith("the node lends 2 of 2 slots\n")
        until_idle(lab, 2)
        assert lab.client(*say).returncode == 0


def test_a_pause_needs_a_folder_and_a_time(tmp_path: Path) -> None:
    for wrong in (("--for", "soon"), ("--for", "0h"), ("--state-dir", str(tmp_path / "none"))):
        ran = CliRunner().invoke(node_program, ["pause", *wrong])
        assert ran.exit_code == 2 and "Error" in ran.stderr, wrong
    assert control(tmp_path, "resume") == "it was not paused\nno node runs here now\n"


@contextlib.asynccontextmanager
async def lender(
    folder: Path, machine: Machine, services: str = "tts/cpu/echo", slots: int = 2, **terms: Any
) -> AsyncIterator[tuple[Node, Mesh]]:
    """A first node, one that lends by these terms on this machine, and a client of both."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        first = await enter(Node(NodeConfig(folder / "first", port=0, host=HOST)))
        neighbours = ((HOST, first.dht.port),)
        node = await enter(Node(NodeConfig(
            folder / "lender", port=0, host=HOST, neighbours=neighbours, machine=machine,
            slots=slots, services=tuple(parse_services([services])), lending=LendingTerms(**terms),
        )))  # fmt: skip
        await node.reachability.joined.wait()
        kind = services.partition("/")[0]
        await until(lambda: kind in node.status()["published"], SEEN_WITHIN)
        mesh = await enter(Mesh.join([f"{HOST}:{first.dht.port}"]))
        yield node, mesh


async def idle_elsewhere(mesh: Mesh, idle: int) -> None:
    """Until somebody else finds a record with so many idle slots."""
    await seen_elsewhere(mesh, idle, 2)


async def seen_elsewhere(mesh: Mesh, idle: int, slots: int) -> None:
    """Until somebody else finds a record with so many idle slots, of so many."""
    async with asyncio.timeout(SEEN_WITHIN):
        while [(r.idle, r.slots) for r in await mesh.dht.find("tts", "cpu", fresh=True)] != [  # noqa: ASYNC110
            (idle, slots)
        ]:
            await asyncio.sleep(0.05)


async def speak(mesh: Mesh, wait: float = 0, text: str = "Good day") -> bytes:
    return await mesh.speak(text, model="echo", wait=wait)


async def test_others_see_at_once_that_it_lends_fewer_slots_and_all_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own programs take two of its four slots, and give them back."""
    monkeypatch.setattr(nodes.lender, "LOAD_EVERY", 0.0)
    clock = [0.0, 0.0]  # seconds on the wall, seconds of work of others
    cores = os.cpu_count() or 1

    def cpu_times() -> CpuTimes:
        return CpuTimes(clock[1], 0.0, clock[0])

    def ten_minutes(others: float) -> None:
        clock[0] += 600
        clock[1] += 600 * cores * others

    machine = Machine(on_battery=lambda: False, cpu_times=cpu_times)
    async with lender(tmp_path, machine, slots=4, give_way=True) as (_, mesh):
        await seen_elsewhere(mesh, 4, 4)
        ten_minutes(others=0.5)
        await seen_elsewhere(mesh, 2, 2)
        ten_minutes(others=0.0)
        await seen_elsewhere(mesh, 4, 4)


async def test_no_job_begins_when_the_hours_have_ended_and_others_see_it(tmp_path: Path) -> None:
    clock = [NIGHT + 7 * 3600 - 0.5]
    machine = Machine(
        clock=lambda: clock[0],
        local=lambda now: datetime.fromtimestamp(now, UTC),
        on_battery=lambda: False,
    )
    hours = parse_hours(["22:00-07:00"])
    async with lender(tmp_path, machine, "tts/cpu/echo:2", hours=hours) as (node, mesh):
        await idle_elsewhere(mesh, 2)
        runs = asyncio.create_task(speak(mesh, 10))
        async with asyncio.timeout(10):
            while node.speech.producer.admission.taken == 0:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        clock[0] += 0.5  # seven o'clock: refused at once, before anything has looked at the clock
        with pytest.raises(AllProducersBusy) as told:
            await speak(mesh)
        assert "does not lend now" in str(told.value.attempts)
        assert node.speech.producer.admission.idle == 0
        await idle_elsewhere(mesh, 0)
        assert len(await runs) > 1000
        status, retry_after = await asked(node)
        assert (status, retry_after) == (503, limits.NOT_LENT_RETRY_MAX)
        clock[0] += 15 * 3600 - 30
        assert await asked(node) == (503, 30), "until ten in the evening"
        clock[0] += 30
        assert await asked(node) == (200, None)
        await idle_elsewhere(mesh, 2)


async def test_nothing_is_lent_while_the_plug_is_out(tmp_path: Path) -> None:
    supplies = tmp_path / "power_supply"
    for name, files in {"AC": {"type": "Mains", "online": "1"},
                        "BAT0": {"type": "Battery", "status": "Charging"}}.items():  # fmt: skip
        (supplies / name).mkdir(parents=True)
        for file, word in files.items():
            (supplies / name / file).write_text(word)
    async with lender(tmp_path, Machine(on_battery=lambda: on_battery(supplies))) as (_, mesh):
        await idle_elsewhere(mesh, 2)
        (supplies / "AC/online").write_text("0")
        (supplies / "BAT0/status").write_text("Discharging")
        await idle_elsewhere(mesh, 0)
        with pytest.raises(AllProducersBusy):
            await speak(mesh)
        (supplies / "AC/online").write_text("1")
        await idle_elsewhere(mesh, 2)
        assert await speak(mesh, 10), "who was told to wait a minute sees that it lends again"


async def test_a_month_of_transfer_is_counted_and_ends_lending(tmp_path: Path) -> None:
    cap = limits.MAX_ANSWER_AUDIO + 10_000_000
    machine, kept = Machine(on_battery=lambda: False), tmp_path / "lender/transfer.json"
    async with lender(tmp_path, machine, transfer=cap) as (_, mesh):
        audio = await speak(mesh, text="x" * 100)
    [[month, count]] = json.loads(kept.read_text()).items()
    sent = len(audio) * 4 // 3  # as events
    assert sent < count < 1.1 * sent, "the sound, the question, and headers"
    kept.write_text(json.dumps({month: cap - 1000}))
    async with lender(tmp_path, machine, transfer=cap) as (node, mesh):
        assert await speak(mesh), "one more, which passes it"
        with pytest.raises(AllProducersBusy):
            await speak(mesh)
        assert (await asked(node))[0] == 503
        await idle_elsewhere(mesh, 0)


async def test_an_owner_who_pauses_may_use_his_own_engines(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    pause.write(tmp_path / "gateway", Pause())
    services = tuple(parse_services(["tts/cpu/echo"]))
    async with (
        GatewayMesh.opened(tmp_path, services=services) as mesh,
        aiohttp.ClientSession() as session,
    ):
        status, _ = await asked(mesh.node)
        assert status == 503
        question = {"model": "echo", "input": "Good day", "response_format": "wav"}
        async with session.post(f"{mesh.url}/v1/audio/speech", json=question) as answer:
            assert answer.status == 200, await answer.text()
            assert (await answer.read())[:4] == b"RIFF"


@pytest.mark.skipif(not hasattr(psutil.Process, "cpu_affinity"), reason="no such thing here")
async def test_a_node_and_what_it_starts_keep_to_their_cores(tmp_path: Path) -> None:
    before = psutil.Process().cpu_affinity()
    async with lender(tmp_path, Machine(), "tts/cpu/espeak-ng", cores=1) as (node, _):
        pids = [*node.speech.codecs.pids, *(child.pid for child in psutil.Process().children())]
        assert len(pids) > 1
        for pid in pids:
            assert len(psutil.Process(pid).cpu_affinity()) == 1
    assert psutil.Process().cpu_affinity() == before


async def asked(node: Node) -> tuple[int, int | None]:
    """The status of a job at the node's own port, and what its Retry-After says."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    question = {"model": "echo", "input": "Hi", "response_format": "wav"}
    url = f"https://{HOST}:{node.server.port}/v1/audio/speech"
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=question, ssl=tls) as answer,
    ):
        after = answer.headers.get("Retry-After")
        return answer.status, int(after) if after else None


def test_a_producer_for_friends_does_jobs_of_nobody_else(tmp_path: Path) -> None:
    """Processes: a friend who says who he is, the same one who does not, and somebody else."""
    with Lab(tmp_path) as lab:
        state = ("--state-dir", str(tmp_path / "client"))
        friend = CliRunner().invoke(client_program, ["identity", *state]).stdout.strip()
        lab.producer("lender", "tts/cpu/echo", "--allow-peer", friend)
        say = (
            "--service",
            "tts",
            "--text",
            "Hi",
            "--output",
            str(tmp_path / "a.wav"),
            "--wait",
            "0",
        )
        assert lab.client(*say, "--identify").returncode == 0
        unknown = lab.client(*say, "--json")
        assert unknown.returncode == 7
        assert b"lends to chosen clients only" in unknown.stdout
        stranger = lab.client(*say, "--identify", "--state-dir", str(tmp_path / "stranger"))
        assert stranger.returncode == 7
        assert [record["idle"] for record in lab.listed()] == [0], "strangers ask others first"


async def test_the_gateway_of_a_friends_node_says_whose_it_is(tmp_path: Path) -> None:
    gateway = GatewayConfig(port=0, identify=True)
    async with (
        GatewayMesh.opened(tmp_path, gateway) as mesh,
        aiohttp.ClientSession() as session,
    ):
        peer = mesh.node.identity.peer_id
        await mesh.start("tts/cpu/echo", "--allow-peer", peer)
        await mesh.see("tts")
        question = {"model": "echo", "input": "Good day", "response_format": "wav"}
        async with session.post(f"{mesh.url}/v1/audio/speech", json=question) as answer:
            assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("flag", ["--allow-peer", "--deny-peer"])
def test_a_peer_is_named_by_its_whole_id(flag: str) -> None:
    ran = CliRunner().invoke(node_program, [flag, "lxkz4e2a"])
    assert ran.exit_code == 2 and "whole peer id" in ran.stderr


async def test_no_line_is_parked_at_a_farm_whose_key_is_denied(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:

        async def started(name: str, **more: Any) -> Node:
            config = NodeConfig(tmp_path / name, port=0, host=HOST, **more)
            return await stack.enter_async_context(Node(config))

        farm = await started("farm", farm=True, relay_port=0)
        producer = {
            "neighbours": ((HOST, farm.dht.port),), "reachable": "no",
            "services": tuple(parse_services(["tts/cpu/echo"])),
        }  # fmt: skip
        deny = LendingTerms(deny_peers=frozenset({farm.identity.peer_id}))
        wary = await started("wary", lending=deny, **producer)
        other = await started("other", **producer)
        async with asyncio.timeout(30):
            await wary.reachability.joined.wait()
            while not other.farm_pool.parked_at:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [at.public for at in other.farm_pool.parked_at] == [farm.identity.public]
        assert not list(wary.farm_pool.parked_at)
