"""A live node under a flood of nearly right messages, while it goes on doing its work.

Four of five datagrams are proper requests of a stranger who has proven its address and holds a
valid token, with a few bytes of the body changed; the rest is noise. The HTTP requests are proper
ones, a little wrong, over proper TLS.
"""

import asyncio
import random
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from dht_kit import Stranger, record_of
from kit import HOST
from running import Lab
from test_api_fuzz import good_ones, mutated

from privox_dht import Mesh, limits
from privox_dht.addresses import pack_address
from privox_dht.audio import wav
from privox_dht.dht import wire
from privox_dht.identity import Identity, public_of
from privox_dht.records import network_tag, service_key
from privox_dht.speech_api.client import Endpoint

MESH = network_tag("privox")
STRANGERS = 40  # sockets: each is a source of its own, so that few datagrams fall to the rate limit
GROWTH = 64 * 2**20  # bytes that the node may grow after warming up
SECOND = wav(bytes(32_000), 16_000)
SENT_AHEAD = 64 * 2**20  # bytes of requests whose answers nobody reads
STALLED = 3.0  # seconds without taking a byte: the node waits for its reader
PAUSE = 0.002  # seconds after each volley: slower than the socket's buffer fills


@pytest.mark.timeout(180)
async def test_a_live_node_goes_on_working_under_a_flood(tmp_path: Path) -> None:
    await survive(tmp_path, datagrams=5_000, requests=200)


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_a_live_node_goes_on_working_under_a_long_flood(tmp_path: Path) -> None:
    await survive(tmp_path, datagrams=50_000, requests=2_000)


async def survive(folder: Path, datagrams: int, requests: int) -> None:
    with Lab(folder) as lab:
        node = await asyncio.to_thread(lab.producer, "target", "stt/cpu/echo", "--slots", "9")
        said = node.events["listening"]
        neighbours = [f"{HOST}:{lab.port}"]
        async with Mesh.join(neighbours) as mesh:
            assert await mesh.transcribe(SECOND, model="echo") == "1.00 seconds of sound"
            await flood(said, datagrams // 10, requests // 10, seed=1)  # to warm up
            process = psutil.Process(node.process.pid)
            before = process.memory_info().rss
            flooding = asyncio.create_task(flood(said, datagrams, requests, seed=2))
            jobs = 0
            while not flooding.done():
                assert await mesh.transcribe(SECOND, model="echo") == "1.00 seconds of sound"
                found = await mesh.dht.find("stt", "cpu", want=limits.LIST_WANT, fresh=True)
                assert said["peer"] in [record.peer_id for record in found]
                jobs += 1
                await asyncio.wait({flooding}, timeout=0.1)
            await flooding
            assert jobs >= 3
            assert await mesh.transcribe(SECOND, model="echo") == "1.00 seconds of sound"
            assert process.memory_info().rss - before < GROWTH
            endpoint = Endpoint(f"https://{HOST}:{said['job_port']}", public_of(said["peer"]))
            dropped = (await mesh.client.status(endpoint))["dht"]["dropped"]
        assert node.process.poll() is None
        bad = [at for at, line in enumerate(node.lines) if "Traceback" in line or '"error"' in line]
        assert not bad, "\n".join(node.lines[max(0, bad[0] - 2) : bad[0] + 40])
        expected = {"shape", "argument", "method", "version", "mesh", "kind", "short"}
        assert expected <= {reason for reason, count in dropped.items() if count}, dropped
        assert sum(dropped.values()) > datagrams / 10
        assert "internal" not in dropped


async def flood(said: dict[str, Any], datagrams: int, requests: int, seed: int) -> None:
    """Both kinds at once."""
    await asyncio.gather(
        datagram_flood(said["port"], datagrams, random.Random(seed)),
        http_flood(said["job_port"], requests, random.Random(seed)),
    )


async def datagram_flood(port: int, count: int, rng: random.Random) -> None:
    loop = asyncio.get_running_loop()
    strangers: list[Stranger] = []
    for _ in range(STRANGERS):
        _, stranger = await loop.create_datagram_endpoint(
            lambda: Stranger(MESH), local_addr=(HOST, 0)
        )
        strangers.append(stranger)
    try:
        good = [(s, await proper(s, port)) for s in strangers]
        for at in range(count):
            stranger, requests = rng.choice(good)
            if rng.random() < 0.8:
                stranger.transport.sendto(nearly(rng.choice(requests), rng), (HOST, port))
            else:
                stranger.transport.sendto(noise(rng.choice(requests), rng), (HOST, port))
            if at % 20 == 0:
                await asyncio.sleep(PAUSE)
    finally:
        for stranger in strangers:
            stranger.transport.close()
        await asyncio.sleep(0)


async def proper(stranger: Stranger, port: int) -> list[bytes]:
    """Requests that the node would answer."""
    token = await stranger.token(port)
    key = service_key(MESH, "stt", "cpu")
    record = record_of(stranger.identity, MESH, engine=f"e{rand(stranger)}", idle=0)
    here = pack_address(HOST, stranger.port)
    return [
        stranger.request("ping", [bytes(16), pack_address(HOST, port)]),
        stranger.request("find", [key, 8, -1], token=token),
        stranger.request("find", [Identity.generate().dht_id, 0, -1], token=token, size=600),
        stranger.request("store", [key, 0, 0, [record.encoded]], token=token),
        stranger.request("dial", [here, 9, bytes(16)], token=token),
        stranger.request("probe", [bytes(16)], token=token),
    ]


def rand(stranger: Stranger) -> str:
    return stranger.identity.peer_id[:6]


def nearly(request: bytes, rng: random.Random) -> bytes:
    """`request` with its header as it was and one to three bytes of its body changed."""
    wrong = bytearray(request)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(wire.HEADER, len(wrong))
        match rng.randrange(3):
            case 0:
                wrong[at] ^= 1 << rng.randrange(8)
            case 1:
                wrong[at : at + rng.randint(1, 8)] = rng.randbytes(rng.randint(0, 8))
            case _:
                wrong[at] = rng.choice((0x00, 0x7F, 0x80, 0x90, 0xC0, 0xC1, 0xCF, 0xDF, 0xFF))
        if len(wrong) <= wire.HEADER:
            break
    return bytes(wrong)


def noise(request: bytes, rng: random.Random) -> bytes:
    """Not even nearly: other versions, meshes, kinds, lengths, or just bytes."""
    match rng.randrange(5):
        case 0:
            return rng.randbytes(rng.randrange(1400))
        case 1:
            return b"\x09" + request[1:]
        case 2:
            return request[:1] + rng.randbytes(8) + request[9:]
        case 3:
            return request[:9] + b"\x07" + request[10:]
    return request[: rng.randrange(wire.HEADER)]


async def http_flood(port: int, count: int, rng: random.Random) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    good, room = good_ones(), asyncio.Semaphore(8)

    async def one(request: bytes) -> None:
        async with room:
            try:
                reader, writer = await asyncio.open_connection(HOST, port, ssl=context)
            except OSError:
                return
            try:
                async with asyncio.timeout(3):
                    writer.write(request)
                    await reader.read(4096)
            except (OSError, TimeoutError):
                pass
            finally:
                writer.transport.abort()
                await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    began = time.monotonic()
    await asyncio.gather(*(one(mutated(rng.choice(good), rng)) for _ in range(count)))
    assert time.monotonic() - began < 3 * count


@pytest.mark.timeout(180)
async def test_requests_sent_ahead_of_their_answers_do_not_pile_up(tmp_path: Path) -> None:
    """aiohttp before 3.14.1 reads on and on: 64 MB of requests from one stranger cost 1.2 GB."""
    with Lab(tmp_path) as lab:
        said = lab.first.events["listening"]
        process = psutil.Process(lab.first.process.pid)
        before = process.memory_info().rss
        taken = await asyncio.to_thread(send_ahead, said["job_port"], SENT_AHEAD)
        grown = process.memory_info().rss - before
        assert grown < GROWTH, f"{grown >> 20} MB for {taken >> 20} MB of requests"


def send_ahead(port: int, most: int) -> int:
    """Proper requests one after the other, no answer read; how many bytes the node took until it
    took no more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = b"GET /v1/status HTTP/1.1\r\nHost: target\r\n\r\n" * 400
    taken = 0
    with (
        socket.create_connection((HOST, port), timeout=STALLED) as line,
        context.wrap_socket(line) as tls,
    ):
        try:
            while taken < most:
                taken += tls.send(request)
        except OSError:  # it takes no more, or has hung up
            pass
    return taken
