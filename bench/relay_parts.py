"""A farm, and a producer, in processes of their own: to be measured, frozen and killed.

    python -m bench.relay_parts farm [--idle-lines N] [--ping S] [--silence S] [--port P]
    python -m bench.relay_parts producer --farm PORT --farm-key HEX [--port P]

Each prints `<port> <public key in hex>` once it serves, and serves until it is ended. The
producer's work is to count what it is sent (`POST /count`) and to send zeros (`GET /zeros/N`),
over TLS on its port, relayed, and without TLS on the port after that which it printed third.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from aiohttp import web

from privox_dht.identity import Identity, public_in
from privox_dht.relay import Farm, FarmAddress, FarmLimits, FarmPool, Timeouts

HOST = "127.0.0.1"
START = 20.0  # seconds for a process to serve


@dataclass
class Part:
    """A process that serves."""

    process: asyncio.subprocess.Process
    public: bytes
    port: int
    plain: int  # a producer's port without TLS

    @property
    def memory(self) -> int:
        """Bytes of its resident memory."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    @property
    def processor(self) -> float:
        """Seconds of processor time it has used."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)


class Pin(aiohttp.Fingerprint):
    """`ssl=` for aiohttp: the key in the peer's certificate must be this one."""

    def __init__(self, public: bytes) -> None:
        super().__init__(bytes(32))
        self.public = public

    def check(self, transport: asyncio.Transport) -> None:
        found = public_in(transport.get_extra_info("ssl_object").getpeercert(binary_form=True))
        if found != self.public:
            raise aiohttp.ServerFingerprintMismatch(self.public, found or b"", "", 0)


@asynccontextmanager
async def part(role: str, *options: str) -> AsyncIterator[Part]:
    """A farm or a producer in its own process; it is gone when this is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__)), role, *options, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START):
            port, public, plain = (await process.stdout.readline()).decode().split()
        yield Part(process, bytes.fromhex(public), int(port), int(plain))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def farm(options: argparse.Namespace) -> None:
    """Serve as a farm until ended."""
    identity = Identity.generate()
    serving = Farm(
        identity,
        host=HOST,
        port=options.port,
        private=True,
        terms=FarmLimits(idle_lines=options.idle_lines),
        timeouts=Timeouts(ping=options.ping, silence=options.silence),
    )
    async with serving:
        print(serving.port, identity.public.hex(), 0, flush=True)
        await asyncio.Event().wait()


async def producer(options: argparse.Namespace) -> None:
    """Serve as a producer until ended."""
    identity = Identity.generate()
    app = web.Application(client_max_size=2**40)
    app.router.add_post("/count", _count)
    app.router.add_get("/zeros/{bytes}", _zeros)
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    assert runner.server is not None
    context = identity.server_context()
    await web.TCPSite(runner, HOST, options.port, ssl_context=context).start()
    await web.TCPSite(runner, HOST, 0).start()
    farm = FarmAddress(bytes.fromhex(options.farm_key), HOST, options.farm)

    async def known() -> list[FarmAddress]:
        return [farm]

    parking = FarmPool(
        identity,
        known,
        server_context=context,
        connection=runner.server,
        on_change=lambda _: None,
        want=1,
    )
    async with parking:
        await parking.parked(START)
        port, plain = (address[1] for address in runner.addresses)
        print(port, identity.public.hex(), plain, flush=True)
        await asyncio.Event().wait()


async def _count(request: web.Request) -> web.Response:
    got = 0
    async for piece in request.content.iter_any():
        got += len(piece)
    return web.json_response({"bytes": got})


async def _zeros(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    left = int(request.match_info["bytes"])
    while left > 0:
        await response.write(bytes(min(left, 65536)))
        left -= 65536
    return response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("farm", "producer"))
    parser.add_argument("--idle-lines", type=int, default=FarmLimits().idle_lines)
    parser.add_argument("--ping", type=float, default=Timeouts().ping)
    parser.add_argument("--silence", type=float, default=Timeouts().silence)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--farm", type=int, default=0)
    parser.add_argument("--farm-key", default="")
    options = parser.parse_args()
    asyncio.run(farm(options) if options.role == "farm" else producer(options))


if __name__ == "__main__":
    main()
