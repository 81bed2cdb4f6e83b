"""The main of a worker, before it is in its sandbox: what cannot start says why, and ends."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nodes.engines.link import Link

PROGRAM = """
from nodes.engines import worker_main
from privox_dht.errors import EngineUnavailable

def load():
    raise {error}

worker_main.serve(load)
"""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            'EngineUnavailable("no model is here", "download one")',
            {"failed": "no model is here", "fix": "download one"},
        ),
        ('MemoryError("8 GB")', {"failed": "MemoryError: 8 GB"}),
        ('OSError(2, "No such file")', {"failed": "FileNotFoundError: [Errno 2] No such file"}),
    ],
)
def test_a_worker_that_cannot_load_its_engine_says_why_and_ends(
    error: str, said: dict[str, str]
) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(50)
        with theirs, subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(error=error)],
            stdin=theirs.fileno(), cwd=Path(__file__).parents[2],
        ) as worker:  # fmt: skip
            assert Link(ours).receive() == (said, b"")
            assert worker.wait(50) == 0, "it did not break"
