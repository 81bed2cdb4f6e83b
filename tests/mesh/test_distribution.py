"""What would be uploaded to a package index, installed where nothing of the checkout is seen.

`build` makes the source distribution from the repository's files, and the wheel from that. Each is
installed into an environment of its own and run in an empty folder. Needs a package index.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import outside

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("privox_dht", "nodes", "client")
ONLY_IN_THE_REPOSITORY = (".ci/", ".gitignore")
MADE_BY_SETUPTOOLS = ("PKG-INFO", "privox_dht.egg-info/")
SPOKEN = "good morning everybody"

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path, cwd: Path, within: float = 240) -> subprocess.CompletedProcess[str]:
    """A command without this environment's packages and settings."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PRIVOX_", "PYTHON", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, env=outside(kept), capture_output=True,
        text=True, timeout=within, check=False,
    )  # fmt: skip


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("cannot be had here: git, or a clone")
    return {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution and the wheel."""
    clone, made = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("dist")
    for name in tracked():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    ran = run(sys.executable, "-m", "build", "--outdir", made, clone, cwd=made)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return made


def sdist(built: Path) -> Path:
    (file,) = built.glob("*.tar.gz")
    return file


def wheel(built: Path) -> Path:
    (file,) = built.glob("*.whl")
    return file


def test_the_source_distribution_holds_what_the_repository_holds(built: Path) -> None:
    with tarfile.open(sdist(built)) as archive:
        names = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    held = {name for name in names if not name.startswith(MADE_BY_SETUPTOOLS)}
    assert held == {name for name in tracked() if not name.startswith(ONLY_IN_THE_REPOSITORY)}


def test_the_wheel_holds_the_packages_and_the_licences_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(wheel(built)) as archive:
        names = set(archive.namelist())
    ours = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    assert ours == {name for name in tracked() if name.startswith(tuple(f"{p}/" for p in PACKAGES))}
    licences = {name.rpartition("/")[2] for name in names if "/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


@pytest.fixture(scope="module")
def installed(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """Install something into a new environment; the folder of its programs."""

    def install(what: str) -> Path:
        venv = tmp_path_factory.mktemp("venv")
        python = venv / "bin/python"
        made = run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=venv)
        assert made.returncode == 0, made.stderr
        for words in (("install", "--quiet", "--prefer-binary", "--no-compile", what), ("check",)):
            ran = run(sys.executable, "-m", "pip", "--python", python, *words, cwd=venv)
            assert ran.returncode == 0, ran.stdout + ran.stderr
        return venv / "bin"

    return install


def test_the_wheel_alone_gives_both_programs(
    built: Path, installed: Callable[[str], Path], tmp_path: Path
) -> None:
    programs = installed(str(wheel(built)))
    for program in ("privox-node", "privox-client"):
        ran = run(programs / program, "--help", cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.startswith(f"Usage: {program}")
    ran = run(programs / "privox-node", "--services", "stt/cpu", "doctor", cwd=tmp_path)
    assert "pip install 'privox-dht[embedded]'" in ran.stdout + ran.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.soak
def test_the_source_distribution_with_engines_speaks_and_hears(
    built: Path, installed: Callable[[str], Path], tmp_path: Path
) -> None:
    programs = installed(f"privox-dht[embedded] @ {sdist(built).as_uri()}")
    ran = run(programs / "python", "-m", "nodes.demo", SPOKEN, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "it works" in ran.stdout
    assert not list(tmp_path.iterdir())
