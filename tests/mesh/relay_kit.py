"""What the tests of the relay share: a real farm, a real aiohttp producer, a client with a pin."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from privox_dht.identity import Identity, public_in
from privox_dht.relay import Farm, Parking, Patience

LOCAL = "127.0.0.1"
# As `Patience` has it, but in the time a test has.
HURRY = Patience(
    head=0.5, ping=0.1, silence=0.4, first_byte=0.4, handshake=0.5, stall=0.5, linger=0.5
)


class Pin(aiohttp.Fingerprint):
    """`ssl=` for aiohttp: the key in the peer's certificate must be this one."""

    def __init__(self, public: bytes) -> None:
        super().__init__(bytes(32))
        self.public = public

    def check(self, transport: asyncio.Transport) -> None:
        found = public_in(transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
        if found != self.public:
            raise aiohttp.ServerFingerprintMismatch(self.public, found or b"", "", 0)


@dataclass
class Served:
    """A producer's HTTP server, and what it has seen."""

    identity: Identity
    context: ssl.SSLContext
    server: Callable[[], asyncio.BaseProtocol]
    port: int  # of the direct route
    bodies: list[int] = field(default_factory=list)  # bytes of each request, when it was read
    left: asyncio.Event = field(default_factory=asyncio.Event)  # a client went away in mid-job
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
    app.router.add_get("/zeros/{bytes}", _zeros)
    app.router.add_get("/forever", _forever)
    await runner.setup()
    context = identity.server_context()
    site = web.TCPSite(runner, LOCAL, 0, ssl_context=context)
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
) -> AsyncIterator[Parking]:
    """`served`, parked at `farm` with all its idle lines."""
    parking = at(served, farm, farm_identity, **changes)
    async with parking:
        await parking.parked(5)
        await until(lambda: farm.stats()["parked"] >= farm.terms.idle_lines)
        yield parking


def at(served: Served, farm: Farm, farm_identity: Identity, **changes: Any) -> Parking:
    """A parking of `served` at `farm`, not entered yet."""
    changes.setdefault("on_change", lambda _: None)
    return Parking(
        served.identity,
        (LOCAL, farm.port),
        farm_identity.public,
        server_context=served.context,
        connection=served.server,
        **changes,
    )


def farm_of(identity: Identity, **changes: Any) -> Farm:
    """A farm on a free port of loopback, where everybody has one address."""
    changes.setdefault("private", True)
    changes.setdefault("host", LOCAL)
    return Farm(identity, port=0, **changes)


def relayed(farm: Farm, served: Served, path: str) -> dict[str, Any]:
    """Arguments for a request through `farm`."""
    return {
        "url": f"https://{served.identity.peer_id}.privox{path}",
        "proxy": f"http://{LOCAL}:{farm.port}",
        "ssl": Pin(served.identity.public),
    }


def direct(served: Served, path: str) -> dict[str, Any]:
    """Arguments for a request without a farm."""
    return {
        "url": f"https://{LOCAL}:{served.port}{path}",
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


async def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for the thing itself."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
