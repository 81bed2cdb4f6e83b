"""Attacks with connections on a live node: headers without an end, and connections held politely.

Each prints what it measured; docs/weaknesses.md has the figures.
"""

import asyncio
import dataclasses
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import psutil
from api_kit import Counting, Raw, clip, field, form, head
from kit import HOST, until
from running import Lab

from privox_dht import limits
from privox_dht.identity import Identity
from privox_dht.speech_api.speech_server import RequestLimits, SpeechServer

MOST_GROWTH = 64 << 20  # bytes by which a node may grow, whatever strangers do


async def test_headers_without_an_end_cost_a_node_no_memory(tmp_path: Path) -> None:
    """A megabyte of unfinished headers on each of many connections: 2.3 MB each were kept."""
    with Lab(tmp_path) as lab:
        producer = lab.producer("producer", "stt/cpu/echo")
        port = producer.events["listening"]["job_port"]
        process = psutil.Process(producer.process.pid)
        before = process.memory_info().rss
        most, cut_off = before, 0

        async def attack() -> None:
            nonlocal most, cut_off
            reader, writer = await asyncio.open_connection(HOST, port, ssl=anonymous_tls())
            try:
                writer.write(b"POST /v1/audio/transcriptions HTTP/1.1\r\n")
                for n in range(60):
                    writer.write(b"X-%d: " % n + b"a" * 15_000 + b"\r\n")
                    await writer.drain()
                    most = max(most, process.memory_info().rss)
                await asyncio.wait_for(reader.read(), 5)
                cut_off += 1
            except (ConnectionError, ssl.SSLError):
                cut_off += 1
            except TimeoutError:
                most = max(most, process.memory_info().rss)
            writer.transport.abort()

        for _ in range(3):
            await asyncio.gather(*(attack() for _ in range(50)))
        print(f"the node grew by {(most - before) / 2**20:.1f} MB")
        assert cut_off == 150
        assert most - before < MOST_GROWTH
        assert lab.client("list").returncode == 0


def anonymous_tls() -> ssl.SSLContext:
    """TLS of a caller who does not care whom it talks to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@asynccontextmanager
async def served(tls: ssl.SSLContext | None = None, **bounds: float) -> AsyncIterator[SpeechServer]:
    few = dataclasses.replace(RequestLimits(), **bounds)  # type: ignore[arg-type]
    server = SpeechServer(Counting(), host=HOST, tls=tls, bounds=few)
    async with server:
        yield server


async def test_an_idle_tls_connection_ends_although_its_client_does_not_answer() -> None:
    """asyncio waits 30 s for the other side to end TLS: 10 s became 40."""
    async with served(Identity.generate().server_context(), keepalive=0.2, goodbye=0.2) as server:
        _, writer = await asyncio.open_connection(HOST, server.port, ssl=anonymous_tls())
        await until(lambda: server.connections == 1)
        cast(asyncio.Transport, writer.transport).pause_reading()  # so it never sees the end of TLS
        began = time.monotonic()
        await until(lambda: not server.connections)
        print(f"it stood for {time.monotonic() - began:.2f} s")
        writer.transport.abort()
    assert limits.KEEPALIVE + limits.TLS_SHUTDOWN_TIMEOUT < 15


async def test_a_connection_on_which_no_job_begins_ends_whatever_else_it_asks() -> None:
    """64 lines held by a HEAD every 8 s left none for 154 callers."""
    async with served(jobless=0.4) as server, Raw.to(server.port) as raw:
        began = time.monotonic()
        while await _asks_once_more(raw):
            assert time.monotonic() - began < 5
        print(f"it stood for {time.monotonic() - began:.2f} s")


async def _asks_once_more(raw: Raw) -> bool:
    try:
        raw.writer.write(b"HEAD /v1/status HTTP/1.1\r\nHost: privox\r\n\r\n")
        await raw.writer.drain()
        if not (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200"):
            return False
    except (ConnectionError, asyncio.IncompleteReadError):
        return False
    await asyncio.sleep(0.02)  # the pace of the attack
    return True


async def test_a_job_may_take_longer_than_a_connection_without_one() -> None:
    body = form(field("model", "counter"), field("file", clip(), "a.wav"))
    provider = Counting()
    provider.gate.clear()
    server = SpeechServer(
        provider, host=HOST, tls=None, bounds=dataclasses.replace(RequestLimits(), jobless=0.2)
    )
    async with server, Raw.to(server.port) as raw:
        for _ in range(2):  # and it may be followed by another
            provider.gate.clear()
            await raw.send(head("/v1/audio/transcriptions", len(body)) + body)
            await provider.working.wait()
            asyncio.get_running_loop().call_later(0.5, provider.gate.set)
            assert (await raw.answer()).status == 200
