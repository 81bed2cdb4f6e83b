"""How many files a job enters on its way: it may become fewer."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = {"echo": 73, "pocketsphinx": 77}  # files; whoever adds one has a reason for it


@pytest.mark.parametrize("engine", MOST)
def test_a_recording_enters_no_more_files_than_before(engine: str) -> None:
    if engine != "echo" and importlib.util.find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    command = [sys.executable, "-m", "bench.journey", "--json", "--service", f"stt/cpu/{engine}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    files = json.loads(ran.stdout)["files"]
    ends = {"client/cli.py", "privox_dht/dispatch/attempts.py", "nodes/producer.py"}
    assert ends <= set(files), "it has seen the whole way"
    folders = Counter(str(Path(file).parent) for file in files)
    assert len(files) <= MOST[engine], (dict(folders), files)
