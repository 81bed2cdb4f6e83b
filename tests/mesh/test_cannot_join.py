"""A name nobody knows, a wrong --network and a silent host are three things to whoever joins."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kit import HOST

from nodes.config import NodeConfig
from nodes.node import Node
from privox_dht import Mesh, join_failure
from privox_dht.errors import NotJoined


async def refusal(*neighbours: str, timeout: float = 1.0) -> str:
    """What is said to a client that cannot join through any of these."""
    try:
        async with Mesh.join(neighbours, timeout=timeout):
            raise AssertionError("it joined")
    except NotJoined as exc:
        return str(exc)


@asynccontextmanager
async def other_mesh(folder: Path) -> AsyncIterator[str]:
    async with Node(NodeConfig(folder, port=0, host=HOST, network="theirs")) as node:
        yield f"{HOST}:{node.dht.port}"


async def test_a_name_that_nobody_knows_is_said_at_once() -> None:
    began = time.monotonic()
    said = await refusal("no-such-host.invalid:5678", timeout=30.0)
    assert f"no-such-host.invalid:5678: {join_failure.NO_NAME}" in said
    assert time.monotonic() - began < 15.0  # a name server may be slow, and 30 s were given


async def test_a_node_of_another_mesh_is_told_from_a_silent_one(tmp_path: Path) -> None:
    async with other_mesh(tmp_path) as there:
        began = time.monotonic()
        said = await refusal(there, timeout=30.0)
        assert f"{there}: {join_failure.OTHER_MESH}" in said and "--network" in said
        assert time.monotonic() - began < 15.0  # it answered: nothing more is waited for


async def test_a_neighbour_given_by_name_is_told_of_by_its_name(tmp_path: Path) -> None:
    async with other_mesh(tmp_path) as there:
        by_name = there.replace(HOST, "localhost")
        assert f"{by_name}: {join_failure.OTHER_MESH}" in await refusal(by_name, timeout=30.0)


async def test_a_host_that_says_nothing_is_silent() -> None:
    with socket.create_server((HOST, 0)) as deaf:
        there = f"{HOST}:{deaf.getsockname()[1]}"
        assert f"{there}: {join_failure.SILENT} within 1 s" in await refusal(there)


async def test_a_port_where_nothing_listens_is_told_from_a_silent_host() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind((HOST, 0))  # bound, and not listening: the system refuses
        there = f"{HOST}:{taken.getsockname()[1]}"
        assert f"{there}: {join_failure.REFUSED}" in await refusal(there)


async def test_something_else_than_a_node_is_told() -> None:
    def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ready\r\n")
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        there = f"{HOST}:{server.sockets[0].getsockname()[1]}"
        assert f"{there}: {join_failure.NO_NODE}" in await refusal(there)


async def test_each_of_several_neighbours_has_its_own_reason(tmp_path: Path) -> None:
    async with other_mesh(tmp_path) as there:
        with socket.create_server((HOST, 0)) as deaf:
            silent = f"{HOST}:{deaf.getsockname()[1]}"
            said = await refusal(there, silent, "no-such-host.invalid:1", timeout=2.0)
    for neighbour, reason in ((there, join_failure.OTHER_MESH), (silent, join_failure.SILENT),
                              ("no-such-host.invalid:1", join_failure.NO_NAME)):  # fmt: skip
        assert f"{neighbour}: {reason}" in said
