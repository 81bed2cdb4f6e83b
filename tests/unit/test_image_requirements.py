"""What the image installs is pinned, has hashes, and is what setup.cfg asks for."""

import importlib.util
import re
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SHA256 = re.compile(r"--hash=sha256:[0-9a-f]{64}")
MACHINES = ("x86_64", "aarch64")


def load() -> ModuleType:
    """deploy/lock.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("lock", ROOT / "deploy/lock.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lock = load()


def pins(choice: str) -> dict[str, str]:
    """Package to version; every line is a pin with its hashes."""
    found = {}
    text = (lock.FOLDER / f"{choice}.txt").read_text().replace("\\\n", "")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        pin, *hashes = line.split()
        name, version = pin.split("==")
        assert hashes and all(SHA256.fullmatch(one) for one in hashes), pin
        found[str(canonicalize_name(name))] = version
    return found


def environment(machine: str) -> dict[str, str]:
    """The image, as markers of requirements see it."""
    version = lock.image_python()
    return {
        "python_version": version, "python_full_version": f"{version}.0", "sys_platform": "linux",
        "platform_system": "Linux", "os_name": "posix", "platform_machine": machine,
        "implementation_name": "cpython", "platform_python_implementation": "CPython",
    }  # fmt: skip


def needed(requirements: list[str], machine: str) -> list[Requirement]:
    parsed = [Requirement(line) for line in requirements]
    where = {**environment(machine), "extra": ""}
    return [one for one in parsed if one.marker is None or one.marker.evaluate(where)]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("choice", lock.CHOICES)
def test_every_bound_of_setup_cfg_is_kept(choice: str, machine: str) -> None:
    pinned = pins(choice)
    for one in needed(lock.wanted(choice), machine):
        version = pinned.get(canonicalize_name(one.name))
        assert version is not None, f"{one.name} is missing: make lock"
        assert one.specifier.contains(version), f"{one} is pinned to {version}: make lock"


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("choice", lock.CHOICES)
def test_what_a_pinned_package_needs_is_pinned_too(choice: str, machine: str) -> None:
    """As far as the same version is installed here; pip itself refuses what lacks a pin."""
    pinned = pins(choice)
    for name, version in pinned.items():
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if here.version != version:
            continue
        for one in needed(here.requires or [], machine):
            assert canonicalize_name(one.name) in pinned, f"{name} needs {one}: make lock"


def test_a_smaller_choice_pins_the_same_versions_as_a_larger_one() -> None:
    everything = pins("all").items()
    for choice in (lock.NONE, "embedded"):
        assert pins(choice).items() <= everything


def test_nothing_is_installed_into_the_image_but_what_is_pinned() -> None:
    (default,) = re.findall(r"^ARG EXTRAS=(\S+)$", DOCKERFILE, re.M)
    assert default in lock.CHOICES
    for named in re.findall(r"EXTRAS=(\w+)", DOCKERFILE + (ROOT / "NOTICE").read_text()):
        assert named in lock.CHOICES
    joined = DOCKERFILE.replace("\\\n", "")
    installs = re.findall(r"pip (?:install|wheel) (.*?)(?:&&|$)", joined, re.M)
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes" in line or {"--no-index", "--no-deps"} <= set(line.split())


def test_the_source_distribution_holds_them() -> None:
    assert "graft deploy" in (ROOT / "MANIFEST.in").read_text().splitlines()
