"""Many small jobs at once, against a plain aiohttp handler with the same engine.

1, 8, 32, 128 at once    1 s of WAV each to the echo engine (which decodes it), from one joined
                         client; milliseconds for each job, all of them together

The client of the mesh is one process, as the peer's is; the producer has a slot for each job.
"""

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.jobs import HOST, plain_server
from bench.measure import Row, medians, options, show
from nodes.demo import RunningNode
from privox_dht import Mesh
from privox_dht.audio import wav

AT_ONCE = (1, 8, 32, 128)
HEARD = "1.00 seconds of sound"


async def main() -> None:
    given = options(__doc__ or "", rounds=9)
    with tempfile.TemporaryDirectory(prefix="privox-bench-") as folder, contextlib.ExitStack() as s:
        node = RunningNode(
            "echo",
            ["--services", "stt/cpu/echo", "--slots", str(max(AT_ONCE))],
            Path(folder) / "echo",
        )
        s.callback(node.stop)
        neighbour = f"{HOST}:{node.wait_for('listening')['port']}"
        node.wait_for("published")
        body = wav(bytes(2 * 16_000), 16_000)
        async with (
            plain_server() as port,
            Mesh.join([neighbour]) as mesh,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        ):
            url = f"http://{HOST}:{port}/v1/audio/transcriptions"

            async def ours() -> None:
                assert await mesh.transcribe(body, model="echo") == HEARD

            async def plain() -> None:
                form = aiohttp.FormData({"model": "echo"})
                form.add_field("file", body, filename="a.wav")
                async with session.post(url, data=form) as response:
                    assert (await response.json())["text"] == HEARD

            rows = []
            for number in AT_ONCE:

                async def all_ours(number: int = number) -> None:
                    await asyncio.gather(*(ours() for _ in range(number)))

                async def all_plain(number: int = number) -> None:
                    await asyncio.gather(*(plain() for _ in range(number)))

                mine, peer = await medians(given.rounds, all_ours, all_plain)
                each = 1e3 / number
                rows.append(Row(f"{number} at once", mine * each, peer * each, "ms", 1.0))
    show("jobs at once, for each job", rows, given.json)


if __name__ == "__main__":
    asyncio.run(main())
