"""A script that never closes its mesh leaves it, without a traceback, on every Python."""

import subprocess
import sys

SCRIPT = """
import asyncio
from contextlib import asynccontextmanager

from privox_dht.sync import SyncMesh


@asynccontextmanager
async def joining():
    await asyncio.to_thread(int)  # as a job does with a long recording
    try:
        yield None
    finally:
        print("left", flush=True)


SyncMesh(joining)
"""


def test_a_script_that_used_a_thread_and_never_closes_the_mesh_leaves_it_in_silence() -> None:
    """Python 3.12 starts no thread while it ends, and asyncio wants one to end its executor: the
    script left a traceback behind."""
    script = [sys.executable, "-c", SCRIPT]
    ended = subprocess.run(script, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"left\n", b"")
