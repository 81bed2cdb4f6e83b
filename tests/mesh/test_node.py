"""A node from its beginning to its end, over real sockets, in this process."""

import asyncio
import contextlib
import logging
import socket
import time
from pathlib import Path

import pytest
from kit import HOST, until
from node_kit import farm_in, node_at

from nodes import node as node_module
from nodes import stats_log
from nodes.gateway.config import GatewayConfig, HttpsConfig, WyomingConfig
from nodes.node import Node
from nodes.reachability import ReachabilityMonitor
from nodes.reachability_rules import NEW_ADDRESS_CHECKS
from privox_dht import Mesh
from privox_dht.dht import Reachability
from privox_dht.dht.wire import FAMILY_4
from privox_dht.directory.failover import Directory
from privox_dht.errors import ConfigError
from privox_dht.http import listener
from privox_dht.offer import Offer
from privox_dht.records import FARM, Relayed


async def test_a_farm_that_also_serves_says_each_of_its_routes_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with node_at(tmp_path, "tts/cpu/echo", farm=True, relay_port=0) as node:
        await until(lambda: node.reachability.ready_to_publish)
        for _ in range(3):
            await node.announcer.announce()
    said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("published")]
    assert len(said) == 2, said


async def test_any_free_port_is_one_that_is_free_for_both_udp_and_tcp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its TCP port once had another number then, and who came over HTTPS did not find it."""
    with contextlib.ExitStack() as others:
        taken, really = list[int](), listener.bind

        def bind(host: str, port: int) -> list[socket.socket]:
            bound = really(host, port)
            if len(taken) < 3:  # another program has that number for UDP
                other = others.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                other.bind((HOST, bound[0].getsockname()[1]))
                taken.append(other.getsockname()[1])
            return bound

        monkeypatch.setattr(node_module, "bind", bind)
        async with node_at(tmp_path, "tts/cpu/echo") as node:
            assert node.dht.port == node.server.port
            assert len(taken) == 3 and node.dht.port not in taken
            for number in taken:  # nothing is kept of what was tried
                with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
                    free.bind((HOST, number))


async def test_a_farm_that_nobody_can_reach_says_so_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with node_at(tmp_path / "first") as first:
        farm = node_at(
            tmp_path / "farm", neighbour=first.dht.port, farm=True, relay_port=0, reachable="no"
        )
        async with farm as node:
            await node.reachability.joined.wait()
            await until(lambda: "NOBODY CAN REACH THIS FARM" in caplog.text)


async def test_a_node_logs_its_directory_and_what_it_dropped_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(stats_log, "FIRST", 0.05)
    monkeypatch.setattr(stats_log, "EVERY", 0.05)
    async with (
        node_at(tmp_path / "first") as first,
        node_at(tmp_path / "second", "tts/cpu/echo", neighbour=first.dht.port),
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"nothing that a mesh would say", (HOST, first.dht.port))
        await until(lambda: "directory: 1 contacts" in caplog.text)
        await until(lambda: "1 records held" in caplog.text)
        await until(lambda: "dropped: version 1" in caplog.text)
    line = next(r for r in caplog.records if "directory: 1 contacts" in r.getMessage())
    fields = vars(line)["fields"]
    assert fields["event"] == "directory" and fields["contacts"] == 1


async def test_a_node_that_stops_is_withdrawn_before_its_lines_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else callers would go on finding a producer whose farm has no line to it any more."""
    async with node_at(tmp_path / "farm", farm=True, relay_port=0) as farm:
        await farm.announcer.announce()
        nat = node_at(tmp_path / "a", "tts/cpu/echo", neighbour=farm.dht.port, reachable="no")
        async with nat as producer:
            await until(
                lambda: (
                    producer.own_records()
                    and isinstance(producer.own_records()[0].routes[0], Relayed)
                )
            )
            await producer.announcer.announce()
            parked: list[int] = []
            withdraw = producer.announcer.withdraw

            async def watched() -> None:
                parked.append(len(producer.farm_pool.parked_at))
                await withdraw()

            monkeypatch.setattr(producer.announcer, "withdraw", watched)
        assert parked == [1]
        assert not [r for r in await farm.dht.find("tts", "cpu", fresh=True) if r.kind != FARM]


async def test_a_producer_is_found_as_soon_as_it_has_joined(tmp_path: Path) -> None:
    """It spoke before anybody could hear it, and then had to be quiet for two seconds."""
    async with (
        node_at(tmp_path / "first") as first,
        node_at(tmp_path / "a", "tts/cpu/echo", neighbour=first.dht.port) as node,
    ):
        await node.reachability.joined.wait()
        await until(lambda: node.announcer.holders, 1.9)
        assert await first.dht.find("tts", "cpu", fresh=True)


async def test_a_lone_node_that_remembers_only_the_dead_serves_all_the_same(tmp_path: Path) -> None:
    async with (
        node_at(tmp_path / "first") as first,
        node_at(tmp_path / "a", neighbour=first.dht.port) as node,
    ):
        await node.reachability.joined.wait()
    async with node_at(tmp_path / "a", "tts/cpu/echo", join_timeout=0.2) as node:
        await until(lambda: node.announcer.holders)
        async with Mesh.join([f"{HOST}:{node.dht.port}"]) as mesh:
            assert await mesh.speak("x", model="echo")


async def test_busy_and_idle_again_reach_the_mesh_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privox_dht.limits.ANNOUNCE_AT_MOST_EVERY", 0.05)
    async with node_at(tmp_path, "stt/cpu/echo") as node:
        await until(lambda: node.announcer.holders)
        async with node.speech.producer.admit("stt", Offer()):
            await until(lambda: _idle(node) == 0)
        await until(lambda: _idle(node) == 1)


def _idle(node: Node) -> int:
    return min(record.idle for record in node.announcer._published.values())


async def test_a_check_that_fails_does_not_end_the_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nodes.reachability_rules.UNKNOWN_BACKOFF", (0.01, 0.01))
    checks: list[int] = []

    async def check(self: ReachabilityMonitor) -> None:
        checks.append(1)
        if len(checks) == 1:
            raise OSError("the network is gone")

    monkeypatch.setattr(ReachabilityMonitor, "check", check)
    async with node_at(tmp_path):
        await until(lambda: len(checks) > 2)
    assert "reachability check failed" in caplog.text


async def test_who_could_be_called_is_dialled_once_more_before_it_is_believed_to_be_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One lost datagram, just when a router had another address, and the node said that "nobody
    could try to call" until the next check."""

    async def idle(self: ReachabilityMonitor) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(ReachabilityMonitor, "run", idle)  # checks are made here only
    reached = Reachability(FAMILY_4, udp=True, tcp=True, addresses=((HOST, 1),), witnesses=1)
    answers = [[reached], [Reachability(FAMILY_4)], [reached]]

    async def dial_back(port: int) -> list[Reachability]:
        return answers.pop(0)

    async with node_at(tmp_path / "first") as first, node_at(tmp_path / "second") as second:
        await second.dht.join([(HOST, first.dht.port)])
        monkeypatch.setattr(second.dht, "dial_back", dial_back)
        await second.reachability.check()
        await second.reachability.check()
        assert second.reachability.network_state.confirmed == (HOST,) and not answers


async def test_a_node_that_joins_is_dialled_back_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its neighbour saw it, which was news, before it had asked to be dialled back, which was the
    answer: so it asked twice."""
    checks, dialled = [], Directory.dial_back

    async def dial_back(self: Directory, port: int | None) -> list[Reachability]:
        checks.append(self)
        return await dialled(self, port)

    async with node_at(tmp_path / "first", farm=False) as first:
        monkeypatch.setattr(Directory, "dial_back", dial_back)
        async with node_at(tmp_path / "second", neighbour=first.dht.port, farm=False) as second:
            await until(lambda: second.reachability.network_state.confirmed)
            await until(lambda: not second.reachability._change.is_set())
            await second.announcer.announce()
            assert checks.count(second.dht) == 1


async def test_a_stranger_who_sees_a_node_elsewhere_each_time_does_not_keep_it_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes that dial back do so seldom for one address: after a second of this nobody did, and
    the direct route was taken back."""
    checks = []

    async def check(self: ReachabilityMonitor) -> None:
        checks.append(1)

    monkeypatch.setattr(ReachabilityMonitor, "check", check)
    async with node_at(tmp_path) as node:
        await until(lambda: len(checks) > 0)
        for n in range(200):
            node.dht._state.record_observation(("9.9.9.9", 1), (f"7.7.7.{n}", 5678), 0.0)
            await asyncio.sleep(0)
        await until(lambda: len(checks) > 2)
        assert len(checks) <= 1 + NEW_ADDRESS_CHECKS + 1, "the first, and one that was due"


async def test_that_a_producer_has_no_farm_any_more_is_told_only_if_it_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop that woke up was parked again at once, and for two seconds clients were told that
    nobody lends."""

    async def idle(self: ReachabilityMonitor) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(ReachabilityMonitor, "run", idle)  # nothing else is told here
    monkeypatch.setattr("nodes.reachability.REPARK_GRACE", 0.05)
    one, other, told = (b"a" * 32,), (b"b" * 32,), list[tuple[bytes, ...]]()
    async with node_at(tmp_path) as node:
        reachability = node.reachability
        monkeypatch.setattr(reachability, "_on_change", lambda: told.append(reachability.farms))
        for farms in (one, (), other):
            reachability.parked_at(farms)
        assert told == [one, other]
        reachability.parked_at(())
        assert reachability.farms == other
        await until(lambda: told[-1] == ())
        assert told == [one, other, ()]


async def test_a_node_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    async with node_at(tmp_path / "first", port=0) as first:
        for wrong in ({"port": first.dht.port}, {"farm": True, "relay_port": first.server.port}):
            with pytest.raises(ConfigError, match="another program"):
                async with node_at(tmp_path / "second", "tts/cpu/echo", **wrong):
                    pass
            async with node_at(tmp_path / "second"):  # the folder is free again
                pass


async def test_two_nodes_on_one_machine_are_told_of_all_their_clashes_at_once(
    tmp_path: Path,
) -> None:
    async with node_at(tmp_path, port=0, farm=True, relay_port=0) as first:
        port, relay_port = first.dht.port, farm_in(first).port
        same = {"port": port, "farm": True, "relay_port": relay_port}
        with pytest.raises(ConfigError) as clash:
            async with node_at(tmp_path, "tts/cpu/echo", **same):
                pass
        said = str(clash.value)
        for what in (f"the state folder {tmp_path}", f"UDP port {port}", f"TCP port {port}",
                     f"the farm's TCP port {relay_port}"):  # fmt: skip
            assert what in said
        assert said.endswith(f"to run beside it: --state-dir {tmp_path}-2 --port 0 --relay-port 0")
        other = {"port": 0, "farm": True, "relay_port": 0}
        async with node_at(Path(f"{tmp_path}-2"), **other):  # as it is told
            pass


async def test_a_gateway_whose_port_is_taken_says_with_which_flag_it_gets_another(
    tmp_path: Path,
) -> None:
    with contextlib.ExitStack() as others:
        taken = [
            others.enter_context(socket.create_server((HOST, 0))).getsockname()[1] for _ in range(4)
        ]
        plain, https, wyoming, privox = taken
        gateway = GatewayConfig(
            port=plain, https=HttpsConfig(tmp_path, port=https),
            wyoming=WyomingConfig(port=wyoming, announce=False), privox_ports=(0, privox),
        )  # fmt: skip
        with pytest.raises(ConfigError) as clash:
            async with node_at(tmp_path, gateway=gateway):
                pass
    said = str(clash.value)
    for port in taken:
        assert f"the gateway's TCP port {port}" in said
    assert f"--gateway {HOST}:{plain + 1} --gateway-https {HOST}:{https + 1}" in said
    assert f"--wyoming {HOST}:{wyoming + 1} --privox-ports 2,{privox + 2}" in said


async def test_what_is_not_in_the_way_is_not_told(tmp_path: Path) -> None:
    async with node_at(tmp_path / "first", port=0) as first:
        with pytest.raises(ConfigError) as clash:
            async with node_at(tmp_path / "second", port=first.dht.port):
                pass
    assert "state folder" not in str(clash.value) and "relay" not in str(clash.value)


async def test_another_mistake_is_no_clash(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen"):
        async with node_at(tmp_path, host="192.0.2.1"):
            pass


async def test_a_node_that_is_cancelled_while_it_starts_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    for rounds in (0, 1, 2, 5, 10, 20, 50):
        entering = asyncio.create_task(_enter(tmp_path))
        for _ in range(rounds):
            await asyncio.sleep(0)
        entering.cancel()
        await asyncio.gather(entering, return_exceptions=True)
    async with node_at(tmp_path, "tts/cpu/echo"):
        pass
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def _enter(folder: Path) -> None:
    async with node_at(folder, "tts/cpu/echo", farm=True, relay_port=0):
        await asyncio.Event().wait()


async def test_ipv6_alone_is_enough(tmp_path: Path) -> None:
    async with node_at(tmp_path, "tts/cpu/echo", host="::1") as node:
        await until(lambda: node.announcer.holders)
        async with Mesh.join([f"[::1]:{node.dht.port}"]) as mesh:
            done = await mesh.speech("x", model="echo")
    assert done.route == f"direct [::1]:{node.server.port}"


async def test_stopping_is_quick(tmp_path: Path) -> None:
    async with node_at(tmp_path / "first") as first:
        async with node_at(tmp_path / "a", "tts/cpu/echo", neighbour=first.dht.port) as node:
            await until(lambda: node.announcer.holders)
            began = time.monotonic()
        assert time.monotonic() - began < 1.5


async def test_a_first_node_says_how_others_join_it_and_they_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with node_at(tmp_path / "first", network="home") as first:
        await until(lambda: "this is a first node" in caplog.text)
        said = f"--neighbours {HOST}:{first.dht.port} --network home"
        assert said in caplog.text
        caplog.clear()
        async with node_at(tmp_path / "late", neighbour=first.dht.port, network="home") as late:
            await until(late.reachability.joined.is_set)
    assert "first node" not in caplog.text


async def test_a_producer_that_parks_at_a_farm_is_not_told_that_nobody_can_reach_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with node_at(tmp_path / "first", farm=True, reachable="yes") as first:
        await first.announcer.announce()
        port = first.dht.port
        async with node_at(tmp_path / "p", "tts/cpu/echo", neighbour=port, reachable="no") as node:
            await until(lambda: node.reachability.farms, 20)
            await node.reachability.check()
            assert not node.reachability.report.wrong
    assert "NOBODY CAN REACH" not in caplog.text


async def test_a_producer_that_nobody_can_reach_is_told_so_once_it_had_time_to_park(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nodes.reachability_report.PARKING_GRACE", 0.3)
    async with node_at(tmp_path / "first") as first:
        port = first.dht.port
        async with node_at(tmp_path / "p", "tts/cpu/echo", neighbour=port, reachable="no") as node:
            await until(lambda: node.reachability.report._routes_timer is not None)
            assert "NOBODY CAN REACH" not in caplog.text
            await until(lambda: "NOBODY CAN REACH THIS NODE" in caplog.text)
            (wrong,) = node.owner_status()["wrong"]
            assert "there is no farm to relay for it" in wrong
