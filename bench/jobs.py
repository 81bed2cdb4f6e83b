"""One job through the mesh, against the same job without a mesh.

small, warm      1 s of WAV to the echo engine (which decodes it): a joined mesh against a plain
                 aiohttp POST on a kept connection
small, cold      joining, finding and the handshake included, against a POST on a new connection
small, 100 ms    the warm job over a link with a round trip of 100 ms (a delaying TCP proxy)
60 s of audio    speech through the mesh to pocketsphinx, against the engine in this process
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import cast

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.measure import Row, medians, options, show, timed
from bench.spoken import spoken
from nodes.demo import RunningNode
from nodes.engines import make_engines
from privox_dht import Mesh
from privox_dht.audio import decode, wav
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.speech import Transcriber, TranscriptionRequest

HOST, FAR = "127.0.0.1", "127.0.0.2"
ONE_WAY = 0.05  # seconds; the link's round trip is twice that
SENTENCES = "The quick brown fox jumps over the lazy dog. Please open the window before you go. "


async def main() -> None:
    given = options(__doc__ or "", rounds=100, long=3)
    with tempfile.TemporaryDirectory(prefix="privox-bench-") as folder, contextlib.ExitStack() as s:
        first, echo, sphinx = _nodes(Path(folder), s)
        neighbour = f"{HOST}:{first.wait_for('listening')['port']}"
        echo.wait_for("published")
        job_port: int = echo.events["listening"]["job_port"]
        sphinx.wait_for("published")
        async with plain_server() as port, link(FAR, job_port, HOST), link(FAR, port, HOST):
            rows = await _small(given.rounds, neighbour, port, echo)
            rows.append(await _long(given.long, neighbour))
    show("jobs", rows, given.json)


def _nodes(folder: Path, stack: contextlib.ExitStack) -> list[RunningNode]:
    """A first node, an echo producer that is also to be found behind the link, pocketsphinx."""
    nodes: list[RunningNode] = []
    for name, arguments in (
        ("first", []),
        ("echo", ["--services", "stt/cpu/echo", "--slots", "4", "--advertise", f"{HOST},{FAR}"]),
        ("sphinx", ["--services", "stt/cpu/pocketsphinx"]),
    ):
        join = ["--neighbours", f"{HOST}:{nodes[0].events['listening']['port']}"] if nodes else []
        nodes.append(RunningNode(name, [*join, *arguments], folder / name))
        stack.callback(nodes[-1].stop)
        nodes[-1].wait_for("listening")
    return nodes


async def _small(rounds: int, neighbour: str, port: int, echo: RunningNode) -> list[Row]:
    body = wav(bytes(2 * 16_000), 16_000)
    async with Mesh.join([neighbour]) as mesh, aiohttp.ClientSession() as session:
        mesh.dispatcher = Dispatcher(mesh.dht, allow=lambda host: host == HOST)
        far = Mesh(mesh.dht, mesh.client, Dispatcher(mesh.dht, allow=lambda host: host == FAR))

        async def ours() -> None:
            assert await mesh.transcribe(body, model="echo") == "1.00 seconds of sound"

        async def over_the_link() -> None:
            assert await far.transcribe(body, model="echo") == "1.00 seconds of sound"

        async def plain(host: str = HOST, kept: aiohttp.ClientSession = session) -> None:
            form = aiohttp.FormData({"model": "echo"})
            form.add_field("file", body, filename="a.wav")
            url = f"http://{host}:{port}/v1/audio/transcriptions"
            async with kept.post(url, data=form) as response:
                assert (await response.json())["text"] == "1.00 seconds of sound"

        warm, peer = await medians(rounds, ours, plain)
        far_ours, far_peer = await medians(10, over_the_link, lambda: plain(FAR))
    cold, cold_peer = [], []
    for _ in range(max(5, rounds // 10)):
        cold.append(await timed(lambda: _cold(neighbour, body)))
        async with aiohttp.ClientSession() as fresh:
            cold_peer.append(await timed(partial(plain, HOST, fresh)))
    return [
        Row("small job, warm", warm * 1e3, peer * 1e3, "ms", 1.5),
        Row("small job, cold", statistics.median(cold) * 1e3,
            statistics.median(cold_peer) * 1e3, "ms"),
        Row("small job, 100 ms link", far_ours * 1e3, far_peer * 1e3, "ms", 1.5),
    ]  # fmt: skip


async def _cold(neighbour: str, body: bytes) -> None:
    async with Mesh.join([neighbour]) as mesh:
        assert await mesh.transcribe(body, model="echo") == "1.00 seconds of sound"


async def _long(rounds: int, neighbour: str) -> Row:
    """60 s of speech through the mesh, against the engine called in this process."""
    body = await _minute_of_speech()
    engine = cast(Transcriber, make_engines("stt", "cpu", "pocketsphinx")[0])
    await engine.start()
    try:
        async with Mesh.join([neighbour]) as mesh:

            async def ours() -> None:
                assert await mesh.transcribe(body, model="pocketsphinx")

            async def in_process() -> None:
                pcm = await asyncio.to_thread(decode, body, engine.rate)
                assert [s async for s in engine.transcribe(pcm, TranscriptionRequest())]

            through, direct = await medians(rounds, ours, in_process, warm=1)
    finally:
        await engine.close()
    return Row("60 s of audio", through, direct, "s", 1.1)


async def _minute_of_speech() -> bytes:
    pcm, rate = await spoken(SENTENCES * 10)
    return wav((pcm * 4)[: 60 * rate * 2], rate)


@contextlib.asynccontextmanager
async def plain_server() -> AsyncIterator[int]:
    """bench.plain as a process; its port."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.plain",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


@contextlib.asynccontextmanager
async def link(host: str, port: int, to: str) -> AsyncIterator[None]:
    """`host:port` leads to the same port of `to`, ONE_WAY later in each direction."""
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                loop.call_later(ONE_WAY, writer.write, data)
        loop.call_later(ONE_WAY, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * ONE_WAY)  # the TCP handshake's round trip
        far_reader, far_writer = await asyncio.open_connection(to, port)
        pairs = ((reader, far_writer), (far_reader, writer))
        tasks.update(asyncio.create_task(carry(*pair)) for pair in pairs)

    server = await asyncio.start_server(connected, host, port)
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())
