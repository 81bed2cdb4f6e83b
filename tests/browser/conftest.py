"""What tests of the page share: the browser, installed once, and the kits of the mesh's tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "mesh")]
PACKAGES = Path(sys.prefix) / "browser" / "python"
PACKAGES.mkdir(parents=True, exist_ok=True)  # Python forgets a folder that is not there yet
sys.path.append(str(PACKAGES))  # last: it brings what we have, too


@pytest.fixture(scope="session")
def browser_tools() -> Path:
    """The folder with what `install.sh` fetched."""
    folder = Path(sys.prefix) / "browser"
    script = ("sh", str(HERE / "install.sh"), str(folder), sys.executable)
    subprocess.run(script, check=False, timeout=280)
    there = {
        "chromium": shutil.which("chromium"),
        "chromium-driver": shutil.which("chromedriver"),
        "selenium": (folder / "python" / "selenium").is_dir(),
        "axe-core": (folder / "node_modules" / "axe-core").is_dir(),
    }
    if lacking := [name for name, is_there in there.items() if not is_there]:
        pytest.skip(f"cannot be had here: {', '.join(lacking)} (see install.sh)")
    return folder
