"""A node of this version and a client of the one before, and the other way round.

The older one is taken from the commit of its release and runs with this environment's libraries.
"""

import io
import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from api_kit import clip
from kit import HOST

ROOT = Path(__file__).parents[2]
NOW = Path()  # this tree

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the newest release. A clone may lack its tag, and seldom lacks its commit."""
    release = subprocess.run(
        ["git", "log", "-1", "--format=%H", "--extended-regexp", r"--grep=^release [0-9]+\.[0-9]+"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    if not release:
        pytest.skip("cannot be had here: an older version (this is no clone, or a shallow one)")
    archive = subprocess.run(["git", "archive", release], cwd=ROOT, capture_output=True, check=True)
    folder = tmp_path_factory.mktemp(release)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def command(tree: Path, module: str, *words: str) -> subprocess.Popen[str]:
    """A program of that tree."""
    where = tree if tree != NOW else ROOT
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PRIVOX_")}
    return subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=where,
        env={**kept, "PYTHONPATH": str(where)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@contextmanager
def lent_by(tree: Path, folder: Path) -> Iterator[str]:
    """A node of that tree that lends the echo; where it is."""
    node = command(
        tree, "nodes.cli", "--json-logs", "--port", "0", "--host", HOST, "--state-dir",
        str(folder), "--services", "stt/cpu/echo",
    )  # fmt: skip
    assert node.stderr is not None
    try:
        for line in node.stderr:
            if (told := re.search(r'"port": (\d+)', line)) and json.loads(line).get("job_port"):
                break
        else:
            pytest.fail("the node ended")
        yield f"{HOST}:{told[1]}"
    finally:
        node.terminate()
        node.communicate()


@pytest.mark.parametrize("lender_is_older", [True, False])
def test_a_release_and_what_comes_next_work_together(
    older: Path, tmp_path: Path, lender_is_older: bool
) -> None:
    lender, borrower = (older, NOW) if lender_is_older else (NOW, older)
    recording = tmp_path / "a.wav"
    recording.write_bytes(clip(1.5))
    with lent_by(lender, tmp_path / "node") as where:
        client = command(
            borrower, "client.cli", "--neighbours", where, "--state-dir", str(tmp_path / "client"),
            "--service", "stt", "--model", "echo", "--file", str(recording),
        )  # fmt: skip
        text, told = client.communicate(timeout=60)
    assert (client.returncode, text) == (0, "1.50 seconds of sound\n"), told
