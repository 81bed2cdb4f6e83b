"""What tests of the page share: the browser, installed once, and the kits of the mesh's tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "mesh")]
sys.path.append(str(Path(sys.prefix) / "browser" / "python"))  # last: it brings what we have, too


@pytest.fixture(scope="session")
def browser_tools() -> Iterator[Path]:
    """The folder with what `install.sh` fetched."""
    folder = Path(sys.prefix) / "browser"
    script = ("sh", str(HERE / "install.sh"), str(folder), sys.executable)
    subprocess.run(script, check=False, timeout=280)
    if not (folder / "python" / "selenium").is_dir():
        pytest.skip("cannot be had here: selenium (see install.sh)")
    yield folder
