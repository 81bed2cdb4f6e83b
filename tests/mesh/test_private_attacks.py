"""A stranger who holds everything but the secret: keys, addresses, the name, recorded traffic.

Each test is a program that wants one thing from a private mesh, gets nothing, and is counted by its
reason. Whoever has another secret, or the secret under another name, is a stranger too.
"""

import asyncio
import contextlib
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from dht_kit import record_of
from kit import HOST
from private_kit import (
    DEAF,
    LENDS,
    NAME,
    Recorder,
    hear_tcp,
    hear_udp,
    member_of,
    node,
    secret_in,
    wiretap,
)
from relay_kit import OneFarm

from nodes.node import Node
from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.dht import DhtNode, request_codec, wire
from privox_dht.errors import JobError, NotJoined, ProducerLost
from privox_dht.http.member_dial import call_head
from privox_dht.http.pinned_tls import Endpoint
from privox_dht.identity import Identity
from privox_dht.membership import farm_line
from privox_dht.membership.members import Membership, to_address, to_node
from privox_dht.membership.tls import HELLO, MemberClientContext, server_context
from privox_dht.records import network_tag
from privox_dht.relay import FarmAddress, messages
from privox_dht.speech import TranscriptionRequest
from privox_dht.speech_api.client import SpeechClient

pytestmark = pytest.mark.asyncio(loop_scope="module")
CLIP = wav(bytes(2 * 16_000), 16_000)
HOUR = 3600.0


@dataclass
class Village:
    """A private mesh, and what a stranger has of it."""

    farm: Node
    direct: Node
    behind: Node
    secret: Path
    strangers: dict[str, Membership | None]  # what he may pretend to be
    wire: list[tuple[bytes, tuple[str, int]]]  # every datagram that anybody sends
    udp: list[tuple[bytes, tuple[str, int]]]  # those of the mesh from its beginning, recorded
    tcp: list[tuple[int, bytes]]  # by port, all that callers said on one connection
    before: Counter[str] = field(default_factory=Counter)

    @property
    def relay(self) -> int:
        assert self.farm.relaying.farm is not None
        return self.farm.relaying.farm.port

    @property
    def nodes(self) -> tuple[Node, ...]:
        return self.farm, self.direct, self.behind

    @property
    def members(self) -> list[Membership]:
        return [running.member for running in self.nodes if running.member is not None]

    def counted(self) -> Counter[str]:
        """Everybody who was turned away in this test, by reason, at all nodes."""
        return self.all_counts() - self.before

    def all_counts(self) -> Counter[str]:
        """The same since they were started."""
        told: Counter[str] = Counter()
        for running in self.nodes:
            stats = running.dht.stats()
            for kind, by_reason in (
                ("udp", stats["dropped"]),
                ("", stats["turned_away"]),
                ("relay", running.relaying.farm.dropped if running.relaying.farm else {}),
            ):
                for reason, count in by_reason.items():
                    told[f"{kind} {reason}".strip()] += count
        return told


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def all_day(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Village]:
    """A farm, a producer, one behind the farm; all they said from the first datagram on, and all
    that a member said who had something transcribed both ways."""
    folder = tmp_path_factory.mktemp("village")
    secret = secret_in(folder)
    told: dict[str, Any] = {"network": NAME, "secret_file": secret}
    async with contextlib.AsyncExitStack() as stack:
        udp = stack.enter_context(wiretap())
        farm, direct, behind = [
            await stack.enter_async_context(begun) for begun in await _three(folder, told, stack)
        ]
        village = Village(farm, direct, behind, secret, {
            "nobody": None,
            "another secret": member_of(secret_in(folder, "another")),
            "another name": member_of(secret, "family"),
        }, udp, [], [])  # fmt: skip
        await _record(village, told)
        yield village


@pytest.fixture
def village(all_day: Village) -> Village:
    """The same for all tests, with its counts from now on."""
    all_day.before = all_day.all_counts()
    return all_day


async def _three(folder: Path, told: dict[str, Any], stack: contextlib.AsyncExitStack) -> list[Any]:
    farm = await stack.enter_async_context(node(folder / "farm", farm=True, relay_port=0, **told))
    return [
        contextlib.nullcontext(farm),
        node(folder / "direct", *LENDS, neighbour=farm, **told),
        node(folder / "behind", *LENDS, neighbour=farm, reachable="no", **told),
    ]


async def _record(village: Village, told: dict[str, Any]) -> None:
    """What goes over the wires while members do a job both ways, park, and ask over HTTPS."""
    relay, jobs = village.relay, village.direct.server.port
    async with Recorder(jobs) as to_jobs, Recorder(relay) as to_farm:
        farm_member, jobs_member = village.farm.member, village.direct.member
        assert farm_member and jobs_member
        farm_member.own.ports.add(to_farm.port)  # the one in between sits where the farm is called
        async with SpeechClient(allow=lambda ip: True, member=member_of(village.secret)) as client:
            behind = village.behind.identity
            for endpoint in (
                Endpoint(f"https://{HOST}:{to_jobs.port}", village.direct.identity.public),
                Endpoint(
                    f"https://{behind.peer_id}.privox", behind.public,
                    proxy=f"http://{HOST}:{to_farm.port}",
                ),
            ):  # fmt: skip
                await client.status(endpoint)
                request = TranscriptionRequest(model="echo")
                heard = [e async for e in client.transcribe(endpoint, CLIP, request)]
                assert heard
        identity = Identity.generate()
        async with OneFarm(
            identity, FarmAddress(village.farm.identity.public, HOST, to_farm.port),
            server_context=server_context(identity, member_of(village.secret)),
            connection=village.direct.server.connection, member=member_of(village.secret),
        ) as parking:  # fmt: skip
            await parking.parked(5)
        async with Mesh.join([(HOST, village.farm.dht.port)], **told) as mesh:
            await mesh.producers()
        assert len(to_jobs.said) >= 1 and len(to_farm.said) >= 3
        village.tcp += [(jobs, said) for said in to_jobs.said]
        village.tcp += [(relay, said) for said in to_farm.said]
    village.udp += village.wire
    assert len(village.udp) > 20


# -- with everything but the secret ----------------------------------------------------------------


async def test_a_stranger_cannot_list(village: Village) -> None:
    nodes = [(HOST, running.dht.port) for running in village.nodes]

    async def by_udp(stranger: Membership | None) -> None:
        async with DhtNode(
            Identity.generate(), network=NAME, host=HOST, guest=True, member=stranger
        ) as guest:
            with pytest.raises(NotJoined):
                await guest.join(nodes, 1.5)
            assert guest.stats()["received"] == 0
            assert await guest.find("stt") == []

    async def by_either(hidden: bool) -> None:
        with pytest.raises(NotJoined):
            async with Mesh.join(nodes, network=NAME, timeout=1.5, hidden=hidden):
                pass

    await asyncio.gather(
        *map(by_udp, village.strangers.values()), by_either(hidden=False), by_either(hidden=True)
    )
    counted = village.counted()
    assert counted["udp stranger"] >= 3 and counted["tcp stranger"] >= 3


async def test_a_stranger_cannot_submit(village: Village) -> None:
    identity, behind = village.direct.identity, village.behind.identity
    for stranger in village.strangers.values():
        async with SpeechClient(allow=lambda ip: True, member=stranger) as client:
            for endpoint in (
                Endpoint(f"https://{HOST}:{village.direct.server.port}", identity.public),
                Endpoint(
                    f"https://{behind.peer_id}.privox", behind.public,
                    proxy=f"http://{HOST}:{village.relay}",
                ),
            ):  # fmt: skip
                with pytest.raises(ProducerLost):
                    async for _ in client.transcribe(endpoint, CLIP, TranscriptionRequest()):
                        pass
                with pytest.raises(JobError):
                    await client.status(endpoint)
    counted = village.counted()
    assert counted["tcp stranger"] >= 6 and counted["relay stranger"] >= 6
    for running in (village.direct, village.behind):
        assert running.server.jobs.status()["done"] <= 1  # the member's
    calls: int = village.farm.relaying.farm.stats()["calls_total"]  # type: ignore[union-attr,assignment]
    assert calls <= 2


async def test_a_stranger_cannot_publish(village: Village) -> None:
    """Neither in words of his own mesh, nor in those of a public one, nor over HTTPS."""
    before = [running.dht.stats()["records"] for running in village.nodes]
    said = []
    for stranger in village.strangers.values():
        liar = Identity.generate()
        tag = stranger.tag if stranger else network_tag(NAME)
        for mesh in (tag, village.farm.dht.mesh):
            record = record_of(liar, mesh)
            body = request_codec.request_body(
                "store", liar.dht_id, wire.FAMILY_4, bytes(8),
                [bytes(20), 0, 0, [record.encoded]], 0,
            )  # fmt: skip
            said.append(wire.frame(mesh, wire.REQUEST, b"message!", body))
        async with DhtNode(liar, network=NAME, host=HOST, member=stranger) as lying:
            with pytest.raises(NotJoined):
                await lying.join([(HOST, village.farm.dht.port)], 0.5)
            assert await lying.publish(record_of(liar, lying.mesh)) <= 1  # at itself
            assert lying.stats()["received"] == 0
    ports = [running.dht.port for running in village.nodes]
    assert await hear_udp(*((data, (HOST, port)) for data in said for port in ports)) == []
    for port in ports:
        post = b"POST /v1/records HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n" + bytes(200)
        assert await hear_tcp(port, post) == b""
    assert [running.dht.stats()["records"] for running in village.nodes] == before
    assert village.counted()["udp stranger"] >= len(said) * len(ports)


async def test_a_stranger_cannot_park(village: Village) -> None:
    farm = village.farm.relaying.farm
    assert farm is not None
    before = farm.stats()["producers"]

    async def park(stranger: Membership | None) -> None:
        identity = village.behind.identity if stranger else Identity.generate()
        async with OneFarm(
            identity, FarmAddress(village.farm.identity.public, HOST, village.relay),
            server_context=identity.server_context(), connection=village.direct.server.connection,
            member=stranger,
        ) as parking:  # fmt: skip
            with pytest.raises(ProducerLost):
                await parking.parked(1)

    await asyncio.gather(*map(park, village.strangers.values()))
    assert farm.stats()["producers"] == before
    heads = (messages.control(bytes(32)), messages.park("0" * 32))
    for head in heads:
        assert await hear_tcp(village.relay, head.ljust(farm_line.REQUEST, b"\0")) == b""
    assert village.counted()["relay stranger"] >= 4


async def test_a_stranger_cannot_call_through_the_farm(village: Village) -> None:
    behind = village.behind.identity
    head = call_head(f"{behind.peer_id}.privox")
    for stranger in village.strangers.values():
        for destination in (
            to_node(village.farm.identity.public),
            to_address((HOST, village.relay)),
        ):
            said = farm_line.request(stranger, destination, head) if stranger else head
            assert await hear_tcp(village.relay, said, bytes(farm_line.REQUEST)) == b""
    assert village.counted()["relay stranger"] >= 6


async def test_no_port_says_a_byte_to_whoever_calls(village: Village) -> None:
    said = (
        b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/status HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-OpenSSH_9.6\r\n", b"PRI * HTTP/2.0\r\n\r\n",
        b"CONNECT x.privox:443 HTTP/1.1\r\n\r\n",
    )  # fmt: skip
    ports = [*(running.server.port for running in village.nodes), village.relay]
    filled = [some.ljust(size, b"\0") for some in said for size in (0, 600)]
    tries = [(port, some) for port in ports for some in filled]
    heard = await asyncio.gather(*(hear_tcp(port, some) for port, some in tries))
    assert set(heard) == {b""}
    counted = village.counted()
    assert counted["tcp stranger"] >= 3 * len(said) and counted["relay stranger"] >= len(said)


async def test_no_certificate_is_shown_to_ordinary_tls(village: Village) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ports = [*(running.server.port for running in village.nodes), village.relay]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as app:

        async def visit(port: int) -> None:
            with pytest.raises(OSError):
                async with asyncio.timeout(2):
                    await asyncio.open_connection(HOST, port, ssl=context, server_hostname="x")
            for scheme in ("http", "https"):
                with pytest.raises((aiohttp.ClientError, TimeoutError)):
                    await app.get(f"{scheme}://{HOST}:{port}/v1/status", ssl=False)

        await asyncio.gather(*map(visit, ports))


async def test_noise_is_answered_by_silence(village: Village) -> None:
    rng = random.Random(1)
    said = [rng.randbytes(rng.choice((1, 17, 60, 200, 1232))) for _ in range(300)]
    ports = [running.dht.port for running in village.nodes]
    assert await hear_udp(*((data, (HOST, rng.choice(ports))) for data in said)) == []
    assert village.counted()["udp stranger"] >= 250


# -- with recorded traffic -------------------------------------------------------------------------


async def _replay_udp(village: Village) -> list[bytes]:
    """Every datagram that was ever sent, to everybody who has a port."""
    recorded = list(village.udp)
    ports = [running.dht.port for running in village.nodes]
    return await hear_udp(*((data, (HOST, port)) for data, _ in recorded for port in ports))


async def _replay_tcp(village: Village) -> list[bytes]:
    """All that members said by TCP, to every port, whole and in part."""
    ports = {*(running.server.port for running in village.nodes), village.relay}
    heard = []
    for _, said in village.tcp:
        for port in sorted(ports):
            for part in (said, said[: farm_line.REQUEST], said[:400]):
                heard.append(await hear_tcp(port, part, seconds=DEAF / 5))
    return heard


async def test_recorded_datagrams_are_heard_by_nobody(village: Village) -> None:
    assert await _replay_udp(village) == []
    counted = village.counted()
    assert counted["udp replay"] and counted["udp elsewhere"] and counted["udp unasked"]


async def test_recorded_connections_get_nothing_from_anybody(village: Village) -> None:
    assert set(await _replay_tcp(village)) == {b""}
    counted = village.counted()
    assert counted["tcp replay"] and counted["tcp stranger"]
    assert counted["relay replay"] and counted["relay stranger"]


async def test_an_hour_of_recorded_traffic_is_too_old(village: Village) -> None:
    """The clock is moved, so that no memory is needed any more."""
    for member in village.members:
        member.clock = lambda: time.time() + HOUR
    try:
        assert await _replay_udp(village) == []
        assert set(await _replay_tcp(village)) == {b""}
    finally:
        for member in village.members:
            member.clock = time.time
    counted = village.counted()
    assert counted["udp stale"] and counted["tcp stale"] and counted["relay stale"]


async def test_a_member_that_restarts_hears_nothing_of_what_was_recorded_before(
    village: Village, tmp_path: Path
) -> None:
    """With the same key, at the same port; its memory is empty."""
    told: dict[str, Any] = {"network": NAME, "secret_file": village.secret}
    async with node(tmp_path, neighbour=village.farm, **told) as first:
        port = first.dht.port
        async with Mesh.join([(HOST, port)], **told) as mesh:
            await mesh.producers()
        async with (
            Recorder(port) as recorder,
            SpeechClient(allow=lambda ip: True, member=member_of(village.secret)) as client,
        ):
            url = f"https://{HOST}:{recorder.port}"
            await client.status(Endpoint(url, first.identity.public))
    to_it = [(data, to) for data, to in village.wire if to[1] == port]
    async with node(tmp_path, port=port, **told) as again:
        assert await hear_udp(*to_it) == []
        assert await hear_tcp(port, recorder.said[0]) == b""
        stats = again.dht.stats()
        assert stats["dropped"]["stale"] and not stats["dropped"]["replay"]
        assert stats["turned_away"]["tcp stale"] == 1


# -- in between ------------------------------------------------------------------------------------


async def test_who_carries_a_fresh_hello_cannot_go_on_in_its_place(village: Village) -> None:
    """He lets a member begin with him, passes its hello on, and speaks TLS of his own after it."""
    port, key = village.direct.server.port, village.direct.identity.public
    member = member_of(village.secret)
    hellos = asyncio.Queue[bytes]()

    async def between(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        hellos.put_nowait(await read.read(65536))
        write.close()

    server = await asyncio.start_server(between, HOST, 0)
    async with server:
        context = MemberClientContext.to(to_node(key), member)
        with pytest.raises(OSError):
            await asyncio.open_connection(
                HOST, server.sockets[0].getsockname()[1], ssl=context, server_hostname=""
            )
    fresh = await hellos.get()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLWantReadError):
        own.wrap_bio(incoming, outgoing).do_handshake()
    own_flight = outgoing.read().ljust(len(fresh) - HELLO, b"\0")
    assert await hear_tcp(port, fresh[:HELLO], own_flight) == b""
    assert village.counted()["tcp stranger"] >= 1


async def test_a_member_submits_nothing_to_somebody_outside(village: Village) -> None:
    """A record may live on when its publisher has lost the secret: same key, same address."""
    said = asyncio.Queue[bytes]()

    async def listen(read: asyncio.StreamReader, write: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            said.put_nowait(await read.read(65536))
        write.close()

    outside = Identity.generate()
    plain = await asyncio.start_server(listen, HOST, 0)
    tls = await asyncio.start_server(listen, HOST, 0, ssl=outside.server_context())
    async with (
        plain,
        tls,
        SpeechClient(allow=lambda ip: True, member=member_of(village.secret)) as client,
    ):
        for server in (plain, tls):
            endpoint = Endpoint(
                f"https://{HOST}:{server.sockets[0].getsockname()[1]}", outside.public
            )
            with pytest.raises(ProducerLost):
                async for _ in client.transcribe(endpoint, CLIP, TranscriptionRequest()):
                    pass
        heard = await said.get()
    assert CLIP[44:108] not in heard and b"HTTP" not in heard and b"/v1" not in heard


async def test_the_words_of_a_mesh_show_nothing_on_the_wire(village: Village) -> None:
    """Neither names, keys nor what is asked; a farm's own dialect neither."""
    words = [NAME.encode(), b"CONNECT", b"PARK ", b"CONTROL", b"HTTP/1", b"privox", b"store",
             village.farm.dht.mesh, network_tag(NAME)]  # fmt: skip
    words += [running.identity.public for running in village.nodes]
    words += [running.identity.peer_id.encode() for running in village.nodes]
    words += [running.identity.dht_id for running in village.nodes]
    everything = b"".join([data for data, _ in village.udp] + [said for _, said in village.tcp])
    assert [word for word in words if word in everything] == []
