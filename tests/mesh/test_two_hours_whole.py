"""Two hours that were sent whole to every producer, by curl, and spoken commands beside them.

All are processes. The small form, with a producer in the test's own process, is in
`test_short_jobs`.
"""

import asyncio
import difflib
import json
import statistics
import time
from pathlib import Path
from typing import Any

import pytest
from kit import HOST
from running import Lab

from bench.spoken import resampled, spoken
from privox_dht import Mesh
from privox_dht.audio import wav

RATE = 16_000
SENTENCE = "The river is low in summer, and every morning seven people go to the country."
EVERY = 120.0  # seconds from one sentence to the next
COMMAND = 3.0  # seconds
PAUSE = 1.0  # seconds between two commands
QUIET_COMMANDS = 20
RIGHT = 0.9  # of the words, beside the sentence alone: the engine adapts to what it heard before


async def sent_whole(record: dict[str, Any], file: Path) -> str:
    """The text of a recording that curl sends to a producer."""
    [route, *_] = record["routes"]
    url = f"https://{route['host']}:{route['port']}/v1/audio/transcriptions"
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--fail-with-body", "--retry", "9", "--insecure",
        "--pinnedpubkey", record["pin"], url, "-F", f"file=@{file}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, problem = await process.communicate()
    assert process.returncode == 0, (process.returncode, out, problem)
    return str(json.loads(out)["text"])


@pytest.mark.soak
@pytest.mark.quiet
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("hours", [2.0])
async def test_commands_are_done_at_once_beside_two_hours_on_every_producer(
    tmp_path: Path, hours: float
) -> None:
    pcm = resampled(*await spoken(SENTENCE), RATE)
    minute = pcm + bytes(2 * int(EVERY * RATE) - len(pcm))
    times = int(hours * 3600 / EVERY)
    long = tmp_path / "long.wav"
    long.write_bytes(wav(minute * times, RATE))
    command = wav(pcm[: 2 * int(COMMAND * RATE)], RATE)
    with Lab(tmp_path) as lab:
        for name in ("one", "two"):
            await asyncio.to_thread(lab.producer, name, "stt/cpu/pocketsphinx", "--slots", "1")
        producers = [r for r in await asyncio.to_thread(lab.listed) if r["service"] == "stt"]
        async with Mesh.join([f"{HOST}:{lab.port}"]) as mesh:

            async def timed() -> float:
                began = time.monotonic()
                assert (await mesh.transcript(command)).value.seconds > 0
                return time.monotonic() - began

            alone = (await mesh.transcript(wav(pcm, RATE))).value.text.split()
            quiet = [await timed() for _ in range(QUIET_COMMANDS)]
            began = time.monotonic()
            jobs = [asyncio.create_task(sent_whole(record, long)) for record in producers]
            during = []
            while not all(job.done() for job in jobs):
                during.append(await timed())
                await asyncio.sleep(PAUSE)
            texts = await asyncio.gather(*jobs)
            took = time.monotonic() - began
    usual, middle = statistics.median(quiet), statistics.median(during)
    p95 = sorted(during)[int(0.95 * len(during))]
    rights = [
        difflib.SequenceMatcher(None, alone * times, text.split(), autojunk=False).ratio()
        for text in texts
    ]
    print(f"\n{len(during)} commands beside {hours} hours at two producers ({took:.0f} s):"
          f" {usual:.2f} s quiet, median {middle:.2f} s, p95 {p95:.2f} s;"
          f" words right: {min(rights):.3f}; worst {sorted(during)[-5:]}")  # fmt: skip
    assert len(texts) == 2 and min(rights) >= RIGHT
    assert p95 < 2 * usual
