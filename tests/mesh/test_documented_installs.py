"""What the pages show for installing and building ends well, as it stands there. No mesh is needed.

`pip install` is a dry run, in a copy of the repository. `make lock`, which asks an index for every
platform, is run by the soak; otherwise make says what it would do.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import documented
import pytest
from documented import ROOT, Command
from kit import outside

pytestmark = pytest.mark.timeout(180)
COPIED = ("privox_dht", "nodes", "client", "docs", "setup.cfg", "pyproject.toml", "README.md",
          "LICENSE", "NOTICE")  # fmt: skip
HERE = [command for command in documented.to_run() if documented.installs(command)]
LONG = ("make lock",)
# Where what builds us is installed; `test_distribution` builds with what pyproject.toml names.
BUILDS = all(importlib.util.find_spec(name) for name in ("setuptools", "wheel"))
NO_ISOLATION = {"PIP_NO_BUILD_ISOLATION": "0"} if BUILDS else {}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of whoever types the commands, with a copy of the repository in `clone`."""
    home = tmp_path_factory.mktemp("installs")
    (home / "clone").mkdir()
    for name in COPIED:
        there = home / "clone" / name
        if (ROOT / name).is_dir():  # without what other tests' programs compile just now
            shutil.copytree(ROOT / name, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, there)
    return home


def run(text: str, home: Path) -> subprocess.CompletedProcess[str]:
    """One command to its end, with nothing of this machine's owner around it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PRIVOX_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", text], cwd=ROOT if text.startswith("make") else home / "clone",
        env=outside({**kept, **NO_ISOLATION, "PATH": path, "HOME": str(home)}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=pytest.mark.soak if c.said.startswith(LONG) else ()) for c in HERE],
    ids=str,
)
def test_a_command_that_installs_or_builds_ends_well(home: Path, command: Command) -> None:
    ran = run(command.text.replace("pip install", "pip install --dry-run"), home)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.mark.parametrize("text", LONG)
def test_make_knows_what_the_pages_have_it_make(home: Path, text: str) -> None:
    assert any(command.said.startswith(text) for command in HERE)
    ran = run(f"{text} --dry-run", home)
    assert ran.returncode == 0, ran.stderr
    assert "deploy/lock.py" in ran.stdout
