"""What the tests of the relay share: a real farm, a real aiohttp producer, a client with a pin."""

from __future__ import annotations

import asyncio
import io
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
from aiohttp import web
from kit import HOST, until

from bench.relay_parts import Pin
from privox_dht.identity import Identity
from privox_dht.relay import Farm, FarmAddress, FarmPool, Timeouts, messages

# As `Timeouts` has it, but in the time a test has.
HURRY = Timeouts(
    head=1.0, ping=0.2, silence=1.0, first_byte=0.5, handshake=0.7, stall=0.7, linger=0.5
)


@dataclass
class Served:
    """A producer's HTTP server, and what it has seen."""

    identity: Identity
    context: ssl.SSLContext
    server: Callable[[], asyncio.BaseProtocol]
    port: int  # of the direct route
    bodies: list[int] = field(default_factory=list)  # bytes of each request, when it was read
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client went away in mid-job
    read: asyncio.Event = field(default_factory=asyncio.Event)  # an unread body may be read now
    began: asyncio.Event = field(default_factory=asyncio.Event)  # a job that takes for ever began


SERVED = web.AppKey("served", list)


@asynccontextmanager
async def serving(identity: Identity | None = None) -> AsyncIterator[Served]:
    """A producer's HTTP server, direct and ready to be relayed."""
    identity = identity or Identity.generate()
    app = web.Application()
    runner = web.AppRunner(
        app, auto_decompress=False, keepalive_timeout=10, handler_cancellation=True
    )
    seen: list[Served] = []  # filled once the server stands
    app[SERVED] = seen
    app.router.add_post("/count", _count)
    app.router.add_post("/slowly", _slowly)
    app.router.add_post("/unread", _unread)
    app.router.add_get("/zeros/{bytes}", _zeros)
    app.router.add_get("/forever", _forever)
    await runner.setup()
    context = identity.server_context()
    site = web.TCPSite(runner, HOST, 0, ssl_context=context)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
    assert runner.server is not None
    served = Served(identity, context, runner.server, port)
    seen.append(served)
    try:
        yield served
    finally:
        await runner.cleanup()


async def _count(request: web.Request) -> web.Response:
    served: Served = request.app[SERVED][0]
    got = 0
    async for piece in request.content.iter_any():
        got += len(piece)
    served.bodies.append(got)
    return web.json_response({"bytes": got, "key": served.identity.peer_id})


async def _unread(request: web.Request) -> web.Response:
    served: Served = request.app[SERVED][0]
    await served.read.wait()
    return web.Response()


async def _slowly(request: web.Request) -> web.Response:
    """Two million bytes at a time, with a pause after each."""
    got = taken = 0
    async for piece in request.content.iter_any():
        got, taken = got + len(piece), taken + len(piece)
        if taken > 2_000_000:
            await asyncio.sleep(0.02)
            taken = 0
    return web.json_response({"bytes": got})


async def _zeros(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    left = int(request.match_info["bytes"])
    while left > 0:
        piece = bytes(min(left, 65536))
        await response.write(piece)
        left -= len(piece)
    return response


async def _forever(request: web.Request) -> web.Response:
    served: Served = request.app[SERVED][0]
    served.began.set()
    try:
        await asyncio.Event().wait()
    finally:
        served.left.set()
    return web.Response()


@asynccontextmanager
async def parked(
    served: Served, farm: Farm, farm_identity: Identity, **changes: Any
) -> AsyncIterator[OneFarm]:
    """`served`, parked at `farm` with all its idle lines."""
    parking = at(served, farm, farm_identity, **changes)
    async with parking:
        await parking.parked(5)
        await until(lambda: cast(int, farm.stats()["parked"]) >= farm.terms.idle_lines)
        yield parking


class OneFarm(FarmPool):
    """A producer's parking at one farm, and how it is there."""

    def __init__(self, identity: Identity, farm: FarmAddress, **options: Any) -> None:
        async def known() -> list[FarmAddress]:
            return [farm]

        options.setdefault("on_change", lambda _: None)
        super().__init__(identity, known, want=1, **options)

    @property
    def state(self) -> str:
        """One word: dialling, parked, or how the last session ended."""
        if self._in_use or self.last_end is None:
            return "parked" if self.parked_at else "dialling"
        return self.last_end.state

    @property
    def why(self) -> str:
        """What ended the last session; empty before."""
        return self.last_end.why if self.last_end else ""


def at(served: Served, farm: Farm, farm_identity: Identity, **changes: Any) -> OneFarm:
    """A parking of `served` at `farm`, not entered yet."""
    where = FarmAddress(farm_identity.public, changes.pop("host", HOST), farm.port)
    return OneFarm(
        served.identity, where, server_context=served.context, connection=served.server, **changes
    )


def farm_of(identity: Identity, **changes: Any) -> Farm:
    """A farm on a free port of loopback, where everybody has one address."""
    changes.setdefault("private", True)
    changes.setdefault("host", HOST)
    return Farm(identity, port=0, **changes)


def relayed(farm: Farm, served: Served, path: str) -> dict[str, Any]:
    """Arguments for a request through `farm`."""
    return {
        "url": f"https://{served.identity.peer_id}.privox{path}",
        "proxy": f"http://{HOST}:{farm.port}",
        "ssl": Pin(served.identity.public),
    }


def direct(served: Served, path: str) -> dict[str, Any]:
    """Arguments for a request without a farm."""
    return {
        "url": f"https://{HOST}:{served.port}{path}",
        "ssl": Pin(served.identity.public),
    }


async def post(call: dict[str, Any], data: bytes = b"word") -> dict[str, Any]:
    """What the producer answers to `data`, over a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(**call, data=io.BytesIO(data)) as answer,
    ):
        got: dict[str, Any] = await answer.json()
        return got


async def get(call: dict[str, Any]) -> bytes:
    """What the producer answers, over a connection of its own."""
    async with aiohttp.ClientSession() as session, session.get(**call) as answer:
        return await answer.read()


FARM_PROGRAM = """
import asyncio, sys
from privox_dht.identity import Identity
from privox_dht.relay import Farm, Timeouts

async def main():
    timeouts = Timeouts(ping=float(sys.argv[2]), silence=float(sys.argv[3]))
    async with Farm(Identity(bytes.fromhex(sys.argv[1])), host="127.0.0.1",
                    port=0, private=True, timeouts=timeouts) as farm:
        print(farm.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def farm_process(
    seed: bytes, timeouts: Timeouts
) -> AsyncIterator[tuple[asyncio.subprocess.Process, FarmAddress]]:
    """A farm that can be frozen and killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        FARM_PROGRAM,
        seed.hex(),
        str(timeouts.ping),
        str(timeouts.silence),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            port = int(await process.stdout.readline())
        yield process, FarmAddress(Identity(seed).public, HOST, port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def parkings(
    served: Served, known: list[FarmAddress], **changes: Any
) -> AsyncIterator[FarmPool]:
    """`served`, parked at two of the `known` farms, which the test may change."""

    async def farms() -> list[FarmAddress]:
        return list(known)

    changes.setdefault("on_change", lambda _: None)
    async with FarmPool(
        served.identity,
        farms,
        server_context=served.context,
        connection=served.server,
        **changes,
    ) as some:
        await some.parked(5, farms=min(2, len(known)))
        yield some


async def connect(farm: Farm, address: str = HOST) -> Raw:
    """A bare connection to `farm`, from `address`."""
    reader, writer = await asyncio.open_connection(HOST, farm.port, local_addr=(address, 0))
    return Raw(reader, writer)


@dataclass
class Raw:
    """A connection of somebody who may not mean well."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def line(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readline()

    async def head(self) -> bytes:
        """Up to the end of an HTTP head; empty when the farm hangs up."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as exc:
                return exc.partial
            except ConnectionError:
                return b""

    async def over(self, seconds: float = 5.0) -> bytes:
        """What still comes, until the farm hangs up."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.transport.abort()


def call_to(producer: Identity) -> bytes:
    """A client's first words."""
    return f"CONNECT {producer.peer_id}.privox:443 HTTP/1.1\r\n\r\n".encode()


def call_for(served: Served) -> bytes:
    """A client's first words."""
    return call_to(served.identity)


async def bare_producer(
    farm: Farm, key: Identity, me: Identity, lines: int = 1
) -> tuple[Raw, list[Raw]]:
    """A producer made by hand: its control line, and parked lines that the test holds."""
    nonce = bytes(messages.NONCE)
    control = await connect(farm)
    control.say(messages.control(nonce))
    theirs = bytes.fromhex((await control.line()).split()[1].decode())
    control.say(
        messages.encode(messages.prove(me, key.public, theirs, nonce, bytes(messages.INSTANCE)))
    )
    assert (await control.line()).startswith(b"granted")
    held = []
    for _ in range(lines):
        line = await connect(farm)
        line.say(messages.park((await control.line()).split()[1].decode()))
        held.append(line)
    await until(lambda: farm.stats()["parked"] == lines)
    return control, held
