"""Farms that meddle with what they pass on: the job is done through the next one, in time.

A real producer parked at two real farms, and the real client; in front of the farm that is tried
first stands a meddler. What was measured is printed; docs/weaknesses.md has the figures.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from api_kit import Counting, clip
from kit import HOST, until
from relay_kit import farm_of

from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.identity import Identity
from privox_dht.mesh import Mesh
from privox_dht.records import FARM, Direct, Record, Relayed
from privox_dht.relay import FarmAddress, FarmPool
from privox_dht.speech_api.client import SpeechClient
from privox_dht.speech_api.speech_server import SpeechServer

CHUNK = 65_536  # bytes
RECORDING = clip(60.0)  # two million bytes
HANDSHAKE = 6_000  # bytes, in either direction, by which a connection stands
Carry = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Every byte a second later, none of them lost."""
    loop = asyncio.get_running_loop()
    while data := await reader.read(CHUNK):
        loop.call_later(1.0, writer.write, data)
    loop.call_later(1.0, writer.close)


def dripping(passed: int) -> Carry:
    """So many bytes as they come, and then one each second."""

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = passed
        while data := await reader.read(min(left, CHUNK) or 1):
            writer.write(data)
            await writer.drain()
            left -= min(left, len(data))
            if not left:
                await asyncio.sleep(1.0)  # the pace of the attack

    return carry


async def losing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte in a million is missing."""
    seen = 0
    while data := await reader.read(CHUNK):
        gone = 1_000_000 - 1 - seen % 1_000_000
        seen += len(data)
        writer.write(data[:gone] + data[gone + 1 :])
        await writer.drain()
    writer.write_eof()


class Meddler:
    """What callers take for a farm."""

    def __init__(self, farm: int, carry: Carry | None, says: bytes = b"") -> None:
        self._farm, self._carry, self._says = farm, carry, says
        self.calls = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        try:
            if self._carry is None:
                await self._answer(reader, writer)
            else:
                await self._meddle(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self._says)
        if self._says.startswith(b"HTTP/1.1 200"):
            await writer.start_tls(Identity.generate().server_context())
        assert not await reader.read(CHUNK), "not a byte of a job"

    async def _meddle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self._farm)
        assert self._carry is not None
        ways = [self._carry(reader, back), self._carry(there, writer)]
        try:
            await asyncio.gather(*ways)
        finally:
            back.transport.abort()


class Found:
    """A directory that is a list."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    async def find(self, kind: str, backend: str = "", *narrower: str, **how: Any) -> list[Record]:
        return [r for r in self.records if (r.kind, r.backend) == (kind, backend)]

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
        return next(r for r in self.records if r.kind == FARM and r.publisher == public)


@asynccontextmanager
async def behind(
    carry: Carry | None, says: bytes = b""
) -> AsyncIterator[tuple[Mesh, Meddler, Counting]]:
    """A mesh whose only producer is called through a meddler, or through an honest farm."""
    me, keys = Identity.generate(), [Identity.generate(), Identity.generate()]
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        provider = Counting(slots=2)
        server = await enter(SpeechServer(provider, host=HOST, tls=me.server_context()))
        farms = [await enter(farm_of(key)) for key in keys]
        known = [FarmAddress(k.public, HOST, f.port) for k, f in zip(keys, farms, strict=True)]

        async def where() -> list[FarmAddress]:
            return known

        parked = await enter(FarmPool(
            me, where, server_context=me.server_context(), connection=server.connection,
            on_change=lambda _: None,
        ))  # fmt: skip
        await parked.parked(5, farms=2)
        meddler = Meddler(farms[0].port, carry, says)
        door = await enter(await asyncio.start_server(meddler.accept, HOST, 0))
        ports = (door.sockets[0].getsockname()[1], farms[1].port)
        doors = [
            Record(publisher=key.public, mesh=b"m" * 8, kind=FARM, routes=(Direct(HOST, port),))
            for key, port in zip(keys, ports, strict=True)
        ]
        producer = Record(
            publisher=me.public, mesh=b"m" * 8, kind="stt", engine="counter", slots=2, idle=2,
            routes=tuple(Relayed(key.public) for key in keys), speed=20.0,
        )  # fmt: skip
        found = Found([producer, *doors])
        client = await enter(SpeechClient(allow=lambda host: True))
        caller = Dispatcher(
            found, allow=lambda host: True, probe=client.status, rng=random.Random(3)
        )
        yield Mesh(found, client, caller), meddler, provider  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("carry", "within"),
    [(late, 8.0), (dripping(0), 8.0), (dripping(HANDSHAKE), 20.0), (losing, 5.0)],
    ids=["a second late", "a byte a second", "a byte a second, later", "one byte in a million"],
)
async def test_a_job_that_a_farm_spoils_is_done_through_the_next(
    carry: Carry, within: float
) -> None:
    async with behind(carry) as (mesh, meddler, provider):
        began = time.monotonic()
        done = await mesh.transcript(RECORDING)
        took = time.monotonic() - began
        print(f"{took:.1f} s; {[(a.route, a.outcome) for a in done.attempts]}")
        assert done.value.text.count("16000 samples") == 60
        assert meddler.calls and done.attempts[0].outcome == "lost"
        assert took < within
        await until(lambda: provider.held == 0)


@pytest.mark.parametrize(
    "says",
    [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 503 No\r\n\r\n", b"HTTP/1.1 407 No\r\n\r\n",
     b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", b"SSH-2.0-x\r\n"],
    ids=["its own TLS", "503", "407", "a redirect", "no HTTP"],
)  # fmt: skip
async def test_a_farm_that_answers_calls_itself_hears_nothing_of_a_job(says: bytes) -> None:
    async with behind(None, says) as (mesh, meddler, _):
        began = time.monotonic()
        done = await mesh.transcript(RECORDING)
        print(f"{time.monotonic() - began:.1f} s")
        assert done.value.text.count("16000 samples") == 60
        assert meddler.calls
        assert time.monotonic() - began < 5
