"""Nodes and clients whose UDP goes nowhere: real sockets, the neighbour's UDP port is deaf.

A `Gap` stands where the neighbour is said to be: its TCP port carries to the real one, on its UDP
port nobody answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yarl
from dht_kit import NamedNode, mesh_of, next_sequence, node_of, page_of, record_of
from kit import HOST, until
from node_kit import node_at, running

from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.doctor import Doctor
from nodes.verdict import Verdict
from privox_dht import Mesh, limits
from privox_dht.audio import wav
from privox_dht.dht import DhtNode, dht_limits
from privox_dht.dht.contact_file import ContactFile
from privox_dht.dht.record_lookup import RecordLookups
from privox_dht.directory.failover import Directory
from privox_dht.directory.https_answer import Answer
from privox_dht.directory.https_client import DirectoryClient
from privox_dht.directory.https_neighbours import ObservedAddress
from privox_dht.directory.https_server import directory_pages
from privox_dht.errors import EngineFailed, NotJoined, ProducerBusy, ProducerLost, RequestRejected
from privox_dht.identity import Identity
from privox_dht.records import Record, network_tag, service_key, sign
from privox_dht.speech_api.speech_server import SpeechServer

from nodes.producer import Producer  # isort: skip

SECOND = wav(bytes(32_000), 16_000)
MESH = network_tag("privox")
STT = service_key(MESH, "stt", "cpu")


class Gap:
    """Where a neighbour is said to be: TCP passes, UDP does not."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lines: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Gap:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._deaf.bind((HOST, self.port))
        except OSError:  # somebody has that number for UDP: another one
            await self.close()
            return await self.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    async def close(self) -> None:
        """Nothing passes any more."""
        self._deaf.close()
        self._server.close()
        for line in list(self._lines):
            line.transport.abort()
        await asyncio.sleep(0)

    def hear(self) -> None:
        """Somebody else may have the UDP port now."""
        self._deaf.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._to)
        self._lines |= {writer, back}
        with contextlib.suppress(OSError):
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
        self._lines -= {writer, back}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def gaps_before(count: int) -> AsyncIterator[tuple[list[NamedNode], list[Gap]]]:
    """A mesh, and a gap before the page of each of its nodes."""
    async with AsyncExitStack() as stack:
        nodes = await stack.enter_async_context(mesh_of(count))
        gaps = []
        for node in nodes:
            server = await stack.enter_async_context(page_of(node))
            gaps.append(await stack.enter_async_context(Gap(server.port)))
        yield nodes, gaps


def blocked(**options: Any) -> Directory:
    """Somebody who waits for UDP as long as a test has patience."""
    return Directory(Identity.generate(), host=HOST, guest=True, udp_wait=0.1, **options)


async def test_a_record_left_over_https_is_found_by_udp_and_the_other_way_round() -> None:
    async with gaps_before(3) as (nodes, gaps), blocked() as lender:
        assert await lender.join([gaps[0].address]) == 1
        assert lender.https_neighbour == f"https://{HOST}:{gaps[0].port}"
        mine = record_of(Identity.generate(), MESH)
        assert await lender.publish(mine) == 3
        assert [r.encoded for r in await nodes[2].find("stt", "cpu")] == [mine.encoded]

        theirs = record_of(Identity.generate(), MESH, kind="tts")
        await nodes[1].publish(theirs)
        assert [r.encoded for r in await lender.find("tts", "cpu")] == [theirs.encoded]


async def test_a_farm_is_found_by_its_key_over_https() -> None:
    async with gaps_before(2) as (nodes, gaps), blocked() as client:
        await client.join([gaps[0].address])
        farm = Identity.generate()
        record = record_of(farm, MESH, kind="farm", engine="", slots=0, idle=0)
        await nodes[1].publish(record)
        found = await client.find_farm(farm.public)
        assert found is not None and found.encoded == record.encoded


async def test_a_second_find_is_answered_from_memory() -> None:
    async with gaps_before(2) as (nodes, gaps), blocked() as client:
        await client.join([gaps[0].address])
        await nodes[1].publish(record_of(Identity.generate(), MESH))
        first = await client.find("stt", "cpu")
        await gaps[0].close()
        assert (
            [r.encoded for r in await client.find("stt", "cpu")] == [r.encoded for r in first] != []
        )


async def test_a_record_that_was_renewed_since_the_neighbour_last_looked_is_found() -> None:
    """The neighbour keeps its answer for others. What it was given to store since then made one
    of the records in it old: whoever asked got the others only, until the answer was renewed."""
    async with gaps_before(2) as (nodes, gaps), blocked() as client:
        await client.join([gaps[0].address])
        one, other = Identity.generate(), Identity.generate()
        await nodes[1].publish(record_of(one, MESH))
        await nodes[1].publish(record_of(other, MESH, slots=1, idle=1))
        assert [r.idle for r in await client.find("stt", "cpu")] == [1, 1]
        await nodes[1].publish(record_of(other, MESH, slots=1, idle=0))
        assert [r.idle for r in await client.find("stt", "cpu", fresh=True)] == [1, 0]


async def test_an_old_answer_is_not_given_to_somebody_who_asks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For itself a node takes an answer that holds and renews it behind: the next look is better.
    A client that comes for one job does not look twice."""
    async with gaps_before(2) as (nodes, gaps), blocked() as client:
        await client.join([gaps[0].address])
        await nodes[1].publish(record_of(Identity.generate(), MESH))
        assert len(await nodes[0].find("stt", "cpu")) == 1
        await nodes[1].publish(record_of(Identity.generate(), MESH))
        monkeypatch.setattr("privox_dht.dht.dht_limits.CACHE_FRESH", 0.0)
        assert len(await client.find("stt", "cpu")) == 2


async def test_what_is_known_of_oneself_over_https() -> None:
    async with gaps_before(1) as (_, gaps), blocked() as node:
        assert node.private is None and not node.allows(HOST)
        await node.join([gaps[0].address])
        private: bool | None = node.private
        assert private is True and node.allows(HOST) and node.allows("192.168.1.7")
        assert node.contacts() == [gaps[0].address]
        assert node.seen_by_any() == [HOST]
        assert abs(node.clock_offset() or 9) < 1
        assert [reach.udp for reach in await node.dial_back(80)] == [False]
        assert node.stats()["through"] == node.https_neighbour
        assert repr(node).startswith(f"<Directory by https://{HOST}:{gaps[0].port}")


async def test_over_https_too_a_mesh_is_public_when_its_neighbours_are() -> None:
    async with blocked() as node:
        node._joined_over_https({("93.184.216.34", 5678): ObservedAddress("203.0.113.5", 0.0)})
        assert node.private is False
        assert node.allows("93.184.216.35")
        assert not any(map(node.allows, ("192.168.1.7", HOST, "198.18.0.1", "169.254.169.254")))


async def test_where_udp_answers_nobody_is_asked_over_https() -> None:
    async with gaps_before(2) as (nodes, _), blocked() as node:
        await node.join([(HOST, nodes[0].port)])
        assert node.https_neighbour == "" and node.stats()["through"] == "udp"
        assert nodes[0].stats()["contacts"] >= 1


async def test_nobody_by_either_way_is_said_with_who_was_tried() -> None:
    async with blocked() as node:
        with pytest.raises(NotJoined, match=f"{HOST}:9: connection refused"):
            await node.join([(HOST, 9)], timeout=0.4)


async def test_neighbours_met_over_https_are_remembered_beside_others(tmp_path: Path) -> None:
    async with gaps_before(1) as (_, gaps):
        kept = ContactFile(tmp_path, "privox", (gaps[0].address,))
        kept.save([((HOST, 9), time.time() - 100)], time.time() - 100)
        async with blocked(state=tmp_path) as node:
            await node.join([gaps[0].address])
        async with blocked(state=tmp_path) as again:
            assert again.remembered() == [gaps[0].address, (HOST, 9)]
            assert await again.join([]) == 1
            assert str(gaps[0].port) in again.https_neighbour


async def test_another_neighbour_is_asked_when_the_first_is_gone() -> None:
    async with gaps_before(2) as (_, gaps), blocked() as node:
        await node.join([gap.address for gap in gaps])
        first = next(gap for gap in gaps if str(gap.port) in node.https_neighbour)
        await first.close()
        record = record_of(Identity.generate(), MESH)
        assert await node.publish(record) == 2
        assert str(first.port) not in node.https_neighbour
        assert [r.encoded for r in await node.find("stt", "cpu")] == [record.encoded]
        assert first.address not in node.contacts()


async def test_with_every_neighbour_gone_nothing_is_found_and_nobody_is_a_contact() -> None:
    async with gaps_before(1) as (_, gaps), blocked() as node:
        await node.join([gaps[0].address])
        await gaps[0].close()
        assert await node.find("stt", "cpu") == []
        assert await node.publish(record_of(Identity.generate(), MESH)) == 0
        assert node.contacts() == []


@pytest.mark.parametrize(
    ("first", "options"),
    [(limits.UDP_RETRY_FIRST, {"udp_retry_max": 0.1}), (0.2, {})],
    ids=["ever after", "soon at first: it may only have been loss"],
)
async def test_udp_is_used_again_when_it_answers(
    monkeypatch: pytest.MonkeyPatch, first: float, options: dict[str, float]
) -> None:
    monkeypatch.setattr(limits, "UDP_RETRY_FIRST", first)
    async with gaps_before(2) as (nodes, gaps), blocked(**options) as node:
        await node.join([gaps[0].address])
        assert node.https_neighbour
        gaps[0].hear()
        async with node_of(port=gaps[0].port) as heard:
            await heard.join([(HOST, nodes[0].port)])
            await until(lambda: not node.https_neighbour)
            assert (HOST, gaps[0].port) in node.contacts()
            record = record_of(Identity.generate(), MESH)
            assert await node.publish(record) >= 1
            assert [r.encoded for r in await nodes[1].find("stt", "cpu")] == [record.encoded]


async def test_https_is_used_when_udp_that_worked_falls_silent() -> None:
    async with gaps_before(2) as (nodes, gaps), blocked(udp_silence=0.4) as node:
        gaps[0].hear()
        heard = node_of(port=gaps[0].port)
        async with heard:
            await heard.join([(HOST, nodes[0].port)])
            await node.join([gaps[0].address])
            assert not node.https_neighbour
            for udp in node._network.protocols.values():  # from now on nothing of UDP gets in
                udp.datagram_received = lambda data, addr: None  # type: ignore[method-assign]
            record = record_of(Identity.generate(), MESH)
            await node.publish(record)
            await until(lambda: node.https_neighbour, 10)
            assert await node.publish(record) >= 1
            assert [r.encoded for r in await nodes[1].find("stt", "cpu")] == [record.encoded]


async def test_where_udp_has_fallen_silent_our_own_network_is_there_if_https_is() -> None:
    """The contacts met by UDP were asked: with none of them answering, no producer that was lost
    counted as lost."""
    async with gaps_before(1) as (_, gaps), blocked(udp_silence=0.4) as node:
        gaps[0].hear()
        async with node_of(port=gaps[0].port):
            await node.join([gaps[0].address])
        await node.publish(record_of(Identity.generate(), MESH))
        await until(lambda: node.https_neighbour, 10)
        assert node._network.size == 1
        assert await node.hears_anybody(3.0)
        await gaps[0].close()
        assert not await node.hears_anybody(0.5)


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_neighbour_that_moved_is_found_by_its_name(
    monkeypatch: pytest.MonkeyPatch, hidden: bool
) -> None:
    """It was asked at its old address as long as the program ran."""
    monkeypatch.setattr(limits, "UDP_RETRY_FIRST", 0.1)
    where, known = HOST, socket.getaddrinfo

    def look_up(host: str, *more: Any, **options: Any) -> Any:
        return known(where if host == "moving.example" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    async with gaps_before(1) as (nodes, gaps), blocked(hidden=hidden) as node:
        await node.join([("moving.example", gaps[0].port)])
        await nodes[0].publish(record_of(Identity.generate(), MESH))
        await gaps[0].close()
        assert await node.find("stt", "cpu") == [] == node.contacts()
        there = asyncio.start_server(gaps[0]._accept, "127.0.0.2", gaps[0].port)
        where = "127.0.0.2"
        async with await there:
            await until(node.contacts, 20)
            assert len(await node.find("stt", "cpu")) == 1


async def test_a_neighbour_that_rejects_a_record_is_still_one() -> None:
    """With a clock that is wrong each record was: then no neighbour was left, and none to tell how
    wrong it is."""
    async with gaps_before(1) as (_, gaps), blocked() as node:
        await node.join([gaps[0].address])
        ahead = int(time.time()) + 60
        early = record_of(Identity.generate(), MESH, issued=ahead, expires=ahead + 120)
        assert await node.publish(early) == 0
        assert node.contacts() == [gaps[0].address] and node.clock_offset() is not None


# -- neighbours that lie ---------------------------------------------------------------------------


class Liar:
    """A page that says what a test wants."""

    def __init__(self, mesh: bytes = MESH, wires: list[bytes] | None = None) -> None:
        self.mesh, self.wires = mesh, wires or []
        self.taken: list[bytes] = []

    def now(self) -> float:
        return time.time()

    def hello(self, client: str) -> None:
        pass

    async def look_up(self, client: str, key: bytes, want: int) -> list[bytes]:
        return self.wires

    async def publish_for(self, client: str, wire: bytes) -> int:
        self.taken.append(wire)
        return 20


@asynccontextmanager
async def lied_to(liar: Liar) -> AsyncIterator[tuple[Directory, Gap]]:
    server = SpeechServer(
        Producer([], 1, Codecs(1)), host=HOST, tls=Identity.generate().server_context(),
        more=directory_pages(liar),
    )  # fmt: skip
    async with server, Gap(server.port) as gap, blocked() as node:
        yield node, gap


def flipped(wire: bytes) -> bytes:
    return wire[:10] + bytes([wire[10] ^ 1]) + wire[11:]


async def test_a_neighbour_can_hide_records_and_cannot_make_any() -> None:
    somebody = Identity.generate()
    old, new = record_of(somebody, MESH), record_of(somebody, MESH)
    gone = record_of(Identity.generate(), MESH, withdrawn=True, idle=0)
    other = record_of(Identity.generate(), network_tag("other"))
    past = sign(
        somebody,
        Record(somebody.public, MESH, "stt", sequence=1, issued=1, expires=100),
    )
    misplaced = record_of(Identity.generate(), MESH, kind="tts")
    lies = [
        flipped(new.encoded),
        gone.encoded,
        other.encoded,
        past.encoded,
        misplaced.encoded,
        b"x" * 300,
        b"",
    ]
    liar = Liar(wires=[new.encoded, old.encoded, *lies])
    async with lied_to(liar) as (node, gap):
        await node.join([gap.address])
        assert [r.encoded for r in await node.find("stt", "cpu")] == [new.encoded]
        liar.wires = [old.encoded]  # a replay of what has a successor
        assert await node.find("stt", "cpu", fresh=True) == []
        dropped = node.stats()["dropped"]
        for reason in ("signature", "mesh", "expired", "wrong_key", "size", "superseded"):
            assert dropped[f"record {reason}"] >= 1, reason


async def test_a_record_that_a_neighbour_repeats_is_one_record() -> None:
    record = record_of(Identity.generate(), MESH)
    async with lied_to(Liar(wires=[record.encoded] * 5)) as (node, gap):
        await node.join([gap.address])
        assert [r.encoded for r in await node.find("stt", "cpu")] == [record.encoded]


async def test_a_neighbour_in_another_mesh_is_no_neighbour() -> None:
    async with lied_to(Liar(network_tag("other"))) as (node, gap):
        with pytest.raises(NotJoined):
            await node.join([gap.address], timeout=0.6)


async def test_one_neighbour_that_hides_everything_is_not_believed_alone() -> None:
    async with gaps_before(2) as (nodes, gaps), lied_to(Liar()) as (node, gap):
        record = record_of(Identity.generate(), MESH)
        await nodes[0].publish(record)
        await node.join([gap.address, gaps[0].address])
        await until(lambda: len(node.contacts()) == 2)
        assert [r.encoded for r in await node.find("stt", "cpu")] == [record.encoded]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\nContent-Length: 1\r\n\r\n\xc1",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/msgpack\r\n\r\n" + b"\x90" * 300_000,
        b"HTTP/1.1 999 What\r\n\r\n",
        b"no HTTP at all\r\n\r\n",
        b"",
    ],
    ids=[
        "nonsense",
        "a web page",
        "elsewhere",
        "endless",
        "a strange status",
        "no HTTP",
        "nothing",
    ],
)
async def test_whatever_answers_where_a_neighbour_should_ends_as_an_error(said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            await writer.drain()
        writer.close()

    tls = Identity.generate().server_context()
    server = await asyncio.start_server(answer, HOST, 0, ssl=tls)
    async with server, DirectoryClient() as client:
        with pytest.raises((EngineFailed, ProducerLost, RequestRejected)):
            await client.hello(server.sockets[0].getsockname())


# -- the page --------------------------------------------------------------------------------------


@asynccontextmanager
async def asking(count: int = 2) -> AsyncIterator[tuple[DhtNode, DirectoryClient, tuple[str, int]]]:
    async with (
        mesh_of(count) as nodes,
        page_of(nodes[0]) as server,
        DirectoryClient() as client,
    ):
        yield nodes[0], client, (HOST, server.port)


async def test_the_page_says_the_time_the_mesh_and_the_askers_address() -> None:
    async with asking() as (_, client, page):
        answer = await client.hello(page)
        assert (answer.mesh, answer.seen, answer.records) == (MESH, HOST, ())
        assert abs(answer.time - time.time()) < 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (flipped, "signature"),
        (lambda wire: wire[:-1], "shape"),
        (lambda wire: b"", "size"),
        (lambda wire: b"x" * limits.MAX_RECORD, "shape"),
        (lambda wire: record_of(Identity.generate(), network_tag("other")).encoded, "mesh"),
    ],
    ids=["forged", "cut", "empty", "noise", "another mesh"],
)
async def test_what_is_no_record_is_not_taken(
    change: Callable[[bytes], bytes], reason: str
) -> None:
    async with asking() as (node, client, page):
        wire = change(record_of(Identity.generate(), MESH).encoded)
        with pytest.raises(RequestRejected, match=reason) as refused:
            await client.store(page, wire)
        assert (refused.value.status, refused.value.code) == (400, "bad_record")
        assert node.stats()["dropped"][f"record {reason}"] == 1
        assert await node.find("stt", "cpu") == []


async def test_a_record_with_a_successor_or_one_withdrawn_is_not_taken_again() -> None:
    async with asking() as (node, client, page):
        somebody = Identity.generate()
        old = record_of(somebody, MESH)
        last = record_of(somebody, MESH, withdrawn=True, idle=0, sequence=next_sequence())
        await client.store(page, old.encoded)
        assert len(await node.find("stt", "cpu")) == 1
        await client.store(page, last.encoded)
        with pytest.raises(RequestRejected, match="superseded"):
            await client.store(page, old.encoded)
        assert await node.find("stt", "cpu") == []


async def test_more_than_a_record_is_refused_before_it_is_read() -> None:
    async with asking() as (_, client, page):
        with pytest.raises(RequestRejected) as refused:
            await client.store(page, bytes(limits.MAX_RECORD + 1))
        assert (refused.value.status, refused.value.code) == (413, "too_large")


async def test_a_node_that_is_not_in_the_mesh_itself_does_nothing_for_others() -> None:
    """Or two blocked nodes could ask one another for ever."""
    async with gaps_before(1) as (_, gaps), blocked() as node:
        await node.join([gaps[0].address])
        async with page_of(node) as server, DirectoryClient() as client:
            with pytest.raises(EngineFailed, match="not joined the mesh"):
                await client.records((HOST, server.port), STT, 1)


async def test_whoever_is_busy_is_asked_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privox_dht.limits.HTTPS_BUSY", 0.01)
    async with gaps_before(1) as (nodes, gaps), blocked() as node:
        await node.join([gaps[0].address])
        record = record_of(Identity.generate(), MESH)
        refused: list[str] = []
        take = nodes[0].resolver.publish_for

        async def busy_once(client: str, wire: bytes) -> int:
            if not refused:
                refused.append(client)
                raise ProducerBusy("not now")
            return await take(client, wire)

        monkeypatch.setattr(nodes[0].resolver, "publish_for", busy_once)
        assert await node.publish(record) == 1
        assert refused == [HOST]
        assert node.contacts() == [gaps[0].address], "busy is not dead"


# -- whole programs --------------------------------------------------------------------------------


async def test_a_producer_without_udp_lends_through_a_farm_to_a_client_without_udp(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path / "first", farm=True, relay_port=0, reachable="yes") as first:
        await first.announcer.announce()
        gap = await first._stack.enter_async_context(Gap(first.server.port))
        async with node_at(
            tmp_path / "p", "stt/cpu/echo", "tts/cpu/echo", neighbours=(gap.address,), relay_port=0
        ) as producer:
            await producer.reachability.joined.wait()
            assert producer.dht.https_neighbour == f"https://{HOST}:{gap.port}"
            assert "UDP IS BLOCKED HERE" in caplog.text and gap.address[0] in caplog.text
            await until(lambda: producer.reachability.farms, 10)
            assert not producer.reachability.network_state.reachable and producer.dht.guest
            await producer.announcer.announce()
            async with Mesh.join([f"{HOST}:{gap.port}"]) as mesh:
                assert mesh.dht is not None and mesh.dht.https_neighbour
                listed = await mesh.producers()
                assert {record.kind for record in listed} == {"stt", "tts", "farm"}
                spoken = await mesh.speech("Good day", model="echo")
                assert spoken.route.startswith("relayed")
                assert await mesh.transcribe(SECOND, model="echo") == "1.00 seconds of sound"
        assert await first.dht.find("stt", "cpu", fresh=True) == [], "it took back what it said"


async def test_the_doctor_says_that_udp_is_blocked_and_that_it_works_all_the_same(
    tmp_path: Path,
) -> None:
    async with running(tmp_path / "first", farm=True, relay_port=0, reachable="yes") as first:
        await first.announcer.announce()
        gap = await first._stack.enter_async_context(Gap(first.server.port))
        told: list[Verdict] = []
        config = NodeConfig(tmp_path / "d", port=0, host=HOST, neighbours=(gap.address,))
        assert await Doctor(config).examine(told.append)
        found = {verdict.probe: verdict for verdict in told}
        assert "UDP is blocked" in found["join"].detail and str(gap.port) in found["join"].detail
        assert found["udp, tcp"].found == "NO" and found["round trip"].found == "yes"


def test_an_answer_is_read_as_it_was_packed() -> None:
    answer = Answer(MESH, 1234.5, "2001:db8::7", (b"a", b"b"), 7)
    assert Answer.decode(answer.encode()) == answer


# -- what strangers can make a node do -------------------------------------------------------------

STRANGER, ANOTHER = "203.0.113.5", "198.51.100.9"


async def test_one_address_has_so_many_requests_and_others_go_on() -> None:
    async with mesh_of(2) as nodes:
        resolver = nodes[0].resolver
        answered = 0
        with pytest.raises(ProducerBusy, match="one address"):
            for _ in range(int(dht_limits.RESOLVER_BURST) + 5):
                resolver.hello(STRANGER)
                answered += 1
        assert answered == dht_limits.RESOLVER_BURST
        resolver.hello(ANOTHER)
        resolver.hello(HOST)  # our own machine


async def test_many_addresses_together_have_so_many_requests() -> None:
    async with mesh_of(1) as nodes:
        answered = 0
        with pytest.raises(ProducerBusy, match="just now"):
            for last in range(250):
                nodes[0].resolver.hello(f"203.0.113.{last}")
                answered += 1
        assert dht_limits.RESOLVER_BURST_IN_ALL <= answered <= dht_limits.RESOLVER_BURST_IN_ALL + 5


async def test_so_many_lookups_run_for_others_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with mesh_of(1) as nodes:
        go_on = asyncio.Event()

        async def slow(self: RecordLookups, key: bytes, want: int, **_: Any) -> list[Record]:
            await go_on.wait()
            return []

        monkeypatch.setattr(RecordLookups, "find", slow)
        resolver = nodes[0].resolver
        some = [
            asyncio.create_task(resolver.look_up(f"203.0.113.{n}", STT, 1))
            for n in range(dht_limits.RESOLVER_LOOKUPS_AT_ONCE)
        ]
        await until(lambda: f"{dht_limits.RESOLVER_LOOKUPS_AT_ONCE} requests" in repr(resolver))
        with pytest.raises(ProducerBusy):
            await resolver.look_up(ANOTHER, STT, 1)
        some.pop().cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await asyncio.gather(*some) == [[]] * len(some)
        assert await resolver.look_up(ANOTHER, STT, 1) == []


async def test_one_address_places_so_many_records_and_renews_them() -> None:
    async with mesh_of(2) as nodes:
        resolver = nodes[0].resolver
        lenders = [Identity.generate() for _ in range(dht_limits.HOSTED_PER_ADDRESS)]
        for lender in lenders:
            assert await resolver.publish_for(STRANGER, record_of(lender, MESH).encoded) == 2
        with pytest.raises(ProducerBusy, match="too many records"):
            await resolver.publish_for(STRANGER, record_of(Identity.generate(), MESH).encoded)
        assert await resolver.publish_for(STRANGER, record_of(lenders[0], MESH).encoded) == 2
        assert (
            await resolver.publish_for(ANOTHER, record_of(Identity.generate(), MESH).encoded) == 2
        )


async def test_records_of_others_are_renewed_only_so_often() -> None:
    async with mesh_of(1) as nodes:
        lender, taken = Identity.generate(), 0
        with pytest.raises(ProducerBusy, match="one address"):
            for _ in range(int(dht_limits.HOSTED_BURST) + 5):
                await nodes[0].resolver.publish_for(STRANGER, record_of(lender, MESH).encoded)
                taken += 1
        assert dht_limits.HOSTED_BURST <= taken <= dht_limits.HOSTED_BURST + 2
        nodes[0].resolver.hello(STRANGER)  # looking up goes on


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "?key=12", b"", 400, "bad_key"),
        ("GET", f"?key={STT.hex()}&want=1000", b"", 400, "bad_want"),
        ("GET", f"?key={STT.hex()}&key={STT.hex()}", b"", 400, "bad_query"),
        ("GET", "?key=%ff%00", b"", 400, "bad_key"),
        ("GET", "?nonsense", b"", 400, "bad_query"),
        ("POST", "", b"", 400, "bad_record"),
        ("POST", "", bytes(limits.MAX_RECORD), 400, "bad_record"),
        ("POST", "", bytes(limits.MAX_RECORD + 1), 413, "too_large"),
        ("PUT", "", b"x", 405, "method_not_allowed"),
        ("DELETE", "", b"", 405, "method_not_allowed"),
    ],
)
async def test_what_is_said_to_bad_input(
    method: str, path: str, body: bytes, status: int, code: str
) -> None:
    async with mesh_of(1) as nodes, page_of(nodes[0]) as server:
        url = f"https://{HOST}:{server.port}/v1/records{path}"
        async with aiohttp.ClientSession() as session:
            sent = session.request(method, yarl.URL(url, encoded=True), data=body, ssl=False)
            async with sent as response:
                assert response.status == status
                assert (await response.json())["error"]["code"] == code
        assert nodes[0].stats()["lookups"] == 0
