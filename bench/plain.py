"""The peer of bench/jobs.py: what a job would cost without a mesh.

A plain aiohttp server that takes the same upload, decodes it with the same decoder and gives it to
the same engine.
    python -m bench.plain      prints its port, serves until its stdin ends
"""

import asyncio
import io
import sys
from typing import cast

from aiohttp import web

from nodes.engines import make_engines
from privox_dht.audio import decode
from privox_dht.speech import Transcriber, TranscriptionRequest


async def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else "echo"
    engine = cast(Transcriber, make_engines("stt", "cpu", name)[0])
    await engine.start()

    async def transcribe(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        upload = io.BytesIO(file.file.read())
        pcm = await asyncio.to_thread(decode, upload, engine.rate)
        said = [s.text async for s in engine.transcribe(pcm, TranscriptionRequest())]
        return web.json_response({"text": " ".join(said)})

    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/audio/transcriptions", transcribe)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
