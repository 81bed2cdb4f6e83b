"""Named neighbours confine: two meshes of one name on one machine, and nobody leaves the one that
was named, by UDP or over HTTPS, whatever was remembered before."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from dht_kit import NamedNode, mesh_of, node_of, record_of
from kit import HOST
from running import Lab
from test_directory import blocked, gaps_before

from privox_dht import Mesh
from privox_dht.errors import NotJoined
from privox_dht.identity import Identity


def dead() -> tuple[str, int]:
    """An address where nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        return HOST, int(free.getsockname()[1])


def first(nodes: list[NamedNode]) -> tuple[str, int]:
    return HOST, nodes[0].port


@asynccontextmanager
async def two_meshes() -> AsyncIterator[tuple[list[NamedNode], list[NamedNode]]]:
    async with mesh_of(3) as these, mesh_of(3) as those:
        yield these, those


def ports(nodes: list[NamedNode]) -> set[int]:
    return {node.port for node in nodes}


async def test_a_node_with_old_contacts_does_not_merge_two_meshes(tmp_path: Path) -> None:
    async with two_meshes() as (these, those):
        async with node_of(state=tmp_path) as node:
            await node.join([first(these)])
        async with node_of(state=tmp_path) as node:
            await node.join([first(those)])
            assert {port for _, port in node.contacts()} == ports(those)
            record = record_of(Identity.generate(), node.mesh)
            await node.publish(record)
            assert await those[1].find("stt", "cpu") == [record]
            assert await these[1].find("stt", "cpu") == []


async def test_a_dead_neighbour_is_not_replaced_by_nodes_of_another_mesh(tmp_path: Path) -> None:
    nobody = dead()
    async with mesh_of(2) as nodes:
        async with node_of(state=tmp_path) as node:
            await node.join([first(nodes)])
        async with node_of(state=tmp_path) as node:
            with pytest.raises(NotJoined, match=str(nobody[1])):
                await node.join([nobody], timeout=0.3)
            assert node.contacts() == []


async def test_a_mesh_outlives_the_neighbour_it_was_joined_through(tmp_path: Path) -> None:
    async with mesh_of(4) as nodes:
        named = [first(nodes)]
        async with node_of(state=tmp_path) as node:
            await node.join(named)
        await nodes[0].__aexit__(None, None, None)
        async with node_of(state=tmp_path) as node:
            assert await node.join(named) >= 1
        async with node_of(state=tmp_path) as node:
            assert await node.join([]) >= 1


async def test_without_neighbours_it_is_the_mesh_of_the_last_time_only(tmp_path: Path) -> None:
    async with two_meshes() as (these, those):
        for nodes in (these, those, these):
            async with node_of(state=tmp_path) as node:
                await node.join([first(nodes)])
        for _ in range(2):  # and what it meets now is kept where it belongs
            async with node_of(state=tmp_path) as node:
                await node.join([])
                assert {port for _, port in node.contacts()} == ports(these)
        async with node_of(state=tmp_path) as node:
            await node.join([first(those)])
            assert {port for _, port in node.contacts()} == ports(those)


async def test_another_program_that_joins_elsewhere_meanwhile_changes_nothing(
    tmp_path: Path,
) -> None:
    """Both keep what they met in one state folder; the one that named nobody saves last."""
    async with two_meshes() as (these, those):
        async with node_of(state=tmp_path) as node:
            await node.join([first(these)])
        async with node_of(state=tmp_path) as unnamed:
            await unnamed.join([])
            async with node_of(state=tmp_path) as named:
                await named.join([first(those)])
        async with node_of(state=tmp_path) as node:
            await node.join([first(those)])
            assert {port for _, port in node.contacts()} == ports(those)


async def test_a_first_node_knows_again_who_came_to_it(tmp_path: Path) -> None:
    async with node_of(state=tmp_path) as alone, node_of() as came:
        await came.join([(HOST, alone.port)])
        alone.save_contacts()
        there = (HOST, came.port)
        async with node_of(state=tmp_path) as again:
            assert again.remembered() == [there]


async def test_over_https_too_only_the_named_mesh_is_asked(tmp_path: Path) -> None:
    async with gaps_before(1) as (_, here), gaps_before(1) as (_, there):
        async with blocked(state=tmp_path) as node:
            await node.join([here[0].address])
            assert str(here[0].port) in node.https_neighbour
        async with blocked(state=tmp_path) as node:
            await node.join([there[0].address])
            assert node.contacts() == [there[0].address]
        async with blocked(state=tmp_path) as node:
            with pytest.raises(NotJoined):
                await node.join([dead()], timeout=1.0)
            assert node.contacts() == []


async def test_a_python_client_told_of_a_dead_neighbour_asks_nobody_else(tmp_path: Path) -> None:
    async with mesh_of(2) as nodes:
        async with Mesh.join([first(nodes)], state=tmp_path) as mesh:
            assert mesh.dht.contacts()
        with pytest.raises(NotJoined):
            async with Mesh.join([dead()], state=tmp_path, timeout=0.5):
                pass
        async with Mesh.join(state=tmp_path) as mesh:
            assert mesh.dht.contacts()


def test_a_client_that_used_one_mesh_is_served_by_the_one_it_names(tmp_path: Path) -> None:
    """The trial's own commands: texts named for mesh B were spoken in mesh A."""
    with Lab(tmp_path / "a", "--services", "tts/cpu/echo") as a, Lab(tmp_path / "b") as b:
        a.first.wait_for("published")
        state = ["--state-dir", str(tmp_path / "client")]
        assert len(a.listed()) == 1
        ran = a.client(*state, "list", "--json")
        assert ran.returncode == 0
        ran = b.client(*state, "list", "--json")
        assert ran.returncode == 0 and b'"found": 0' in ran.stdout
        ran = b.client(*state, "--service", "tts", "--text", "Good day", "--model", "echo",
                       "--output", str(tmp_path / "x.wav"))  # fmt: skip
        assert ran.returncode == 4, ran.stderr
        nobody = ":".join(map(str, dead()))
        ran = a.client(*state, "--neighbours", nobody, "--join-timeout", "1", "list")
        assert ran.returncode == 3 and ran.stdout == b"", ran.stderr
