"""Every bench runs as a file and as a module: what its own help says may be typed."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
MARKS = ("\nfrom bench.", "\ndef main(")  # of a bench that needs others of its folder
TEXTS = {path.stem: path.read_text() for path in BENCH.glob("*.py")}
RUN = sorted(name for name, text in TEXTS.items() if all(mark in text for mark in MARKS))


@pytest.mark.parametrize("name", RUN)
def test_a_bench_can_be_run_as_a_file_from_anywhere(name: str, tmp_path: Path) -> None:
    file = str(BENCH / f"{name}.py")
    asked = subprocess.run(
        [sys.executable, file, "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert asked.returncode == 0, asked.stderr
    assert "usage" in asked.stdout.lower()
