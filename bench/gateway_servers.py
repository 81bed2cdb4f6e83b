"""What bench/gateway.py measures, each in a process of its own; all have the echo engine.

    python -m bench.gateway_servers gateway    the gateway: OpenAI's API and Wyoming
    python -m bench.gateway_servers http       aiohttp's own server, a bare handler
    python -m bench.gateway_servers wyoming    Wyoming's own server, a bare handler

Prints its ports, serves until its stdin ends.
"""

import asyncio
import sys
import wave
from contextlib import AsyncExitStack
from dataclasses import replace

import numpy as np
from aiohttp import web
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.event import Event
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from nodes.codecs import Codecs
from nodes.engines.echo import EchoTranscriber
from nodes.gateway.config import GatewayConfig, WyomingConfig
from nodes.gateway.gateway import Gateway
from nodes.gateway.own_engines import OwnEngines
from nodes.producer import Producer
from privox_dht.directory.failover import Directory
from privox_dht.identity import Identity
from privox_dht.speech import TranscriptionRequest

HOST = "127.0.0.1"
SLOTS = 64


async def gateway() -> None:
    identity, engine = Identity.generate(), EchoTranscriber()
    engine.info = replace(engine.info, only_named=False)  # Wyoming names no engine
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        directory = await enter(Directory(identity, network="bench", host=HOST, port=0))
        codecs = await enter(Codecs(2))
        await codecs.start()
        own = OwnEngines(Producer([engine], SLOTS, codecs), SLOTS, identity.peer_id)
        config = GatewayConfig(port=0, wyoming=WyomingConfig(HOST, 0, announce=False))
        served = await enter(Gateway(config, directory, own, None))
        print(served.port, served.wyoming.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def http() -> None:
    async def transcribe(request: web.Request) -> web.Response:
        form = await request.post()
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        with wave.open(upload.file, "rb") as file:
            pcm = file.readframes(file.getnframes())
        return web.json_response({"text": await echo(pcm)})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/audio/transcriptions", transcribe)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def echo(pcm: bytes) -> str:
    """What the engine hears in 16-bit sound."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float32) / np.float32(32768)
    heard = EchoTranscriber().transcribe(samples, TranscriptionRequest())
    return " ".join([segment.text async for segment in heard])


class EchoHandler(AsyncEventHandler):
    """One connection to Wyoming's own server."""

    async def handle_event(self, event: Event) -> bool:
        if AudioChunk.is_type(event.type):
            self._pcm = getattr(self, "_pcm", b"") + AudioChunk.from_event(event).audio
        if AudioStop.is_type(event.type):
            await self.write_event(Transcript(text=await echo(self._pcm)).event())
            return False
        return True


async def wyoming() -> None:
    server = AsyncTcpServer(HOST, 0)
    await server.start(EchoHandler)
    assert isinstance(server._server, asyncio.Server)
    print(server._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop()


if __name__ == "__main__":
    asyncio.run({"gateway": gateway, "http": http, "wyoming": wyoming}[sys.argv[1]]())
