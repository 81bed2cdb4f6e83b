"""The doctor says "cannot lend" wherever the node with the same flags would not start or lend."""

import asyncio
import functools
import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from kit import HOST, until
from node_kit import farm_in, node_at

from nodes import startup_check
from nodes.cli import main
from nodes.config import NodeConfig
from nodes.doctor import Doctor, _bounded
from nodes.service_spec import parse_services
from nodes.verdict import LATE, LIKELY, NO, PARTLY, UNKNOWN, YES, Verdict
from privox_dht.dht import Reachability
from privox_dht.dht.wire import FAMILY_4
from privox_dht.errors import NotJoined
from privox_dht.relay import FarmAddress, FarmLimits
from privox_dht.relay.producer.session import REFUSAL_TEXTS


def config(folder: Path, *services: str, **more: Any) -> NodeConfig:
    return NodeConfig(
        folder, services=tuple(parse_services(services)), **{"port": 0, "host": HOST, **more}
    )


async def examined(asked: NodeConfig) -> tuple[bool, dict[str, Verdict]]:
    told: list[Verdict] = []
    well = await Doctor(asked).examine(told.append)
    return well, {verdict.probe: verdict for verdict in told}


async def test_with_a_farm_and_an_engine_this_machine_can_lend(tmp_path: Path) -> None:
    async with node_at(tmp_path / "first", farm=True, reachable="yes") as first:
        await first.announcer.announce()
        named = {"neighbours": ((HOST, first.dht.port),)}
        well, found = await examined(config(tmp_path / "d", "stt/cpu/echo", **named))
        assert well, found
        assert (found["node"].found, found["engines"].found) == (YES, YES)
        assert found["engines"].detail == "stt/cpu/echo"
        well, found = await examined(config(tmp_path / "d", "stt/gpu/pocketsphinx", **named))
        assert not well, "the node would end with 1"
        assert found["engines"].found == NO and "use stt/cpu" in found["engines"].detail
        assert found["round trip"].found == YES, "and all else is said all the same"


async def test_why_a_farm_does_not_take_this_machine_is_said_and_what_to_do(
    tmp_path: Path,
) -> None:
    """That a farm was full was told twice, and then: "is TCP let out?"."""
    terms = FarmLimits(producers=1)
    first = node_at(tmp_path / "first", farm=True, relay_port=0, reachable="yes", terms=terms)
    async with first as farm:
        await farm.announcer.announce()
        named: dict[str, Any] = {"neighbours": ((HOST, farm.dht.port),)}
        beside = node_at(
            tmp_path / "p", "tts/cpu/echo", neighbour=farm.dht.port, reachable="no"
        )  # it has the only place
        async with beside as other:
            await until(lambda: other.farm_pool.parked_at)
            _, found = await examined(config(tmp_path / "d", "stt/cpu/echo", **named))
    refused = found["farm"]
    assert refused.found == NO and "another farm" in refused.advice
    assert refused.detail == f"{HOST}:{farm_in(farm).port} refuses: {REFUSAL_TEXTS['full']}"


async def test_a_farm_at_another_port_is_told_that_nobody_calls_that_back(tmp_path: Path) -> None:
    async with node_at(tmp_path / "first") as first:
        named: dict[str, Any] = {"neighbours": ((HOST, first.dht.port),)}
        _, found = await examined(config(tmp_path / "d", farm=True, relay_port=40_000, **named))
    assert found["relay"].found == UNKNOWN and "TCP 40000" in found["relay"].detail


async def test_what_cannot_be_lent_beside_what_can_is_said(tmp_path: Path) -> None:
    verdict = await startup_check.engines(config(tmp_path, "stt/cpu/echo", "tts/gpu/espeak-ng"))
    assert verdict.found == PARTLY
    assert verdict.detail.startswith("stt/cpu/echo; but cannot serve tts/gpu/espeak-ng: ")


async def test_a_node_that_runs_already_is_no_clash(tmp_path: Path) -> None:
    async with node_at(tmp_path) as node:
        verdict = await startup_check.node(config(tmp_path, port=node.dht.port))
        assert verdict.found == YES and "runs already" in verdict.detail
        verdict = await startup_check.node(config(tmp_path / "other", port=node.dht.port))
        assert verdict.found == NO and "--port 0" in verdict.detail


async def test_looking_makes_nothing_that_could_be_in_the_nodes_way(tmp_path: Path) -> None:
    verdict = await startup_check.node(config(tmp_path / "state"))
    assert verdict.found == YES and not (tmp_path / "state").exists()


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    verdict = await startup_check.node(config(tmp_path / "file" / "state"))
    assert verdict.found == NO and "cannot be written to" in verdict.detail
    (tmp_path / "key.pem").write_text("no key")
    verdict = await _bounded("node", 5.0, functools.partial(startup_check.node, config(tmp_path)))
    assert verdict.found == NO and "is not a private key" in verdict.detail


async def test_an_address_of_another_machine_is_said_and_ends_the_examination(
    tmp_path: Path,
) -> None:
    well, found = await examined(config(tmp_path, host="192.0.2.1"))
    assert not well and list(found) == ["node"]
    assert found["node"].found == NO and "192.0.2.1" in found["node"].detail


async def test_a_port_for_root_only_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: socket.socket, address: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(socket.socket, "bind", refused)
    verdict = await startup_check.node(config(tmp_path, port=443))
    assert verdict.found == NO and "ports below 1024 are for root" in verdict.detail


async def test_beside_one_neighbour_only_an_address_that_no_nat_changed_will_do(
    tmp_path: Path,
) -> None:
    """Nobody is there who could call it back, and the node would publish its address."""
    async with node_at(tmp_path / "first") as first:
        named = {"neighbours": ((HOST, first.dht.port),)}
        well, found = await examined(config(tmp_path / "d", "stt/cpu/echo", **named))
        assert found["udp, tcp"].found in (YES, LIKELY) and found["farm"].found == NO
        assert well


# -- single verdicts: what the network says is said by the test ------------------------------------


class Network:
    """Instead of a node in a mesh."""

    private, has_witnesses = False, True

    def __init__(
        self, *reached: Reachability, https: str = "", offset: float | None = None
    ) -> None:
        self.reached, self.https_neighbour, self.offset = list(reached), https, offset
        self.port, self.contacts_name = 5, "public"

    def clock_offset(self) -> float | None:
        return self.offset

    def observed(self) -> list[tuple[str, int]]:
        return [("20.0.0.1", 5)]

    def seen_by_any(self) -> list[str]:
        return ["20.0.0.1"]

    async def dial_back(self, port: int) -> list[Reachability]:
        return self.reached

    async def join(self, neighbours: list[Any], timeout: float) -> int:
        return 3

    def allows(self, ip: str) -> bool:
        return True


def doctor(folder: Path, network: Network, **more: Any) -> Doctor:
    made = Doctor(config(folder, neighbours=((HOST, 9),), **more))
    made._dht = network  # type: ignore[assignment]
    made._server = SimpleNamespace(port=7)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("offset", "found", "detail"),
    [(None, UNKNOWN, "no neighbour sent"), (0.2, YES, "-0.2 s"), (-90.0, NO, "+90.0 s")],
)
async def test_how_far_the_clock_is_off_is_said_and_what_to_do(
    tmp_path: Path, offset: float | None, found: str, detail: str
) -> None:
    verdict = await doctor(tmp_path, Network(offset=offset))._clock()
    assert verdict.found == found and detail in verdict.detail
    assert ("set the clock" in verdict.advice) is (found == NO)


SHUT = Reachability(FAMILY_4, False, True, (("20.0.0.1", 5),), 2)


@pytest.mark.parametrize(
    ("network", "found", "told"),
    [
        (Network(https="20.0.0.9:5678"), NO, "UDP is blocked here; let farms relay"),
        (Network(SHUT), NO, "UDP 5 closed, TCP 7 open, dialled at 20.0.0.1:5; forward both ports"),
        (
            Network(Reachability(FAMILY_4, False, None)),
            NO,
            "UDP 5 closed, TCP 7 unknown, dialled at an address; forward both ports",
        ),
        (Network(Reachability(FAMILY_4)), UNKNOWN, "no node could be asked to dial back"),
    ],
)
async def test_which_port_strangers_cannot_reach_is_said(
    tmp_path: Path, network: Network, found: str, told: str
) -> None:
    verdict = await doctor(tmp_path, network)._reach()
    assert verdict.found == found and told in f"{verdict.detail}; {verdict.advice}"


async def test_where_udp_is_blocked_it_is_joined_over_https_and_the_advice_is_to_let_udp_out(
    tmp_path: Path,
) -> None:
    verdict = await doctor(tmp_path, Network(https="20.0.0.9:5678"))._join()
    assert verdict.found == YES and "over HTTPS, first 20.0.0.9:5678" in verdict.detail
    assert "allow outgoing UDP 0" in verdict.advice


async def test_who_knows_no_neighbour_is_told_to_name_one(tmp_path: Path) -> None:
    asked = doctor(tmp_path, Network())
    asked.config = config(tmp_path)
    verdict = await asked._join()
    assert verdict.found == NO and "--neighbours" in verdict.advice


async def test_with_lan_neighbours_are_those_that_announce_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the flags of a node that finds its mesh by --lan, it said that no neighbour is known."""
    lan = pytest.importorskip("privox_dht.lan")
    monkeypatch.setattr(lan, "Lan", functools.partial(lan.Lan, host=HOST))
    async with node_at(tmp_path / "first") as first:
        said = lan.properties(first.dht.mesh)
        async with lan.announced(lan.SERVICE, "privox-test", first.dht.port, HOST, said):
            _, found = await examined(config(tmp_path / "d", lan=True))
    assert found["join"].found == YES, found


async def test_a_probe_that_fails_is_a_verdict_and_not_the_end() -> None:
    async def failing() -> Verdict:
        raise NotJoined("no neighbour answers")

    verdict = await _bounded("records", 1.0, failing)
    assert (verdict.found, verdict.detail) == (NO, "no neighbour answers")


async def test_a_round_trip_goes_through_a_farm_and_why_it_failed_is_said(tmp_path: Path) -> None:
    asked = doctor(tmp_path, Network())
    assert (await asked._round_trip()).detail == "no farm to go through"
    with socket.socket() as nobody:
        nobody.bind((HOST, 0))
        asked.farm = FarmAddress(asked.identity.public, HOST, nobody.getsockname()[1])
        asked._member = None
        verdict = await asked._round_trip()
    assert verdict.found == NO and "try another" in verdict.advice and verdict.detail


@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_tells_each_verdict_and_ends_with_1_where_the_machine_cannot_lend(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], as_json: bool
) -> None:
    flags = ["--port", "0", "--host", HOST, "--state-dir", str(tmp_path)]
    ran = CliRunner().invoke(main, ["doctor", *flags, *(["--json"] if as_json else [])])
    told = (capfd.readouterr().out + ran.output).splitlines()
    assert ran.exit_code == 1, told
    if as_json:
        verdicts = [json.loads(line) for line in told]
        assert [verdict["probe"] for verdict in verdicts][-1] == "join"
        assert verdicts[-1]["found"] == NO and "--neighbours" in verdicts[-1]["advice"]
    else:
        assert told[-1] == "this machine cannot lend as it is"
        assert any(line.strip().startswith("-> give --neighbours") for line in told)


async def test_a_probe_that_takes_too_long_is_late() -> None:
    async def never() -> Verdict:
        return await asyncio.Future()

    verdict = await _bounded("join", 0.01, never)
    assert (verdict.probe, verdict.found) == ("join", LATE)
