"""The bounds of what is installed beside us: each has two ends, and what is here lies between."""

import configparser
import importlib.metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

SETUP = configparser.ConfigParser()
SETUP.read(Path(__file__).parents[2] / "setup.cfg")
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def requirements() -> list[Requirement]:
    extras = SETUP["options.extras_require"]
    lists = [SETUP["options"]["install_requires"], *(extras[name] for name in extras)]
    lines = [line for text in lists for line in text.split("\n") if line]
    return [Requirement(line) for line in lines if not line.startswith("privox-dht[")]


@pytest.mark.parametrize("wanted", requirements(), ids=str)
def test_every_dependency_has_a_lowest_and_a_highest_version(wanted: Requirement) -> None:
    operators = sorted(bound.operator for bound in wanted.specifier)
    assert operators in (["<", ">="], ["=="])


@pytest.mark.parametrize("wanted", requirements(), ids=str)
def test_what_is_installed_here_is_within_its_bounds(wanted: Requirement) -> None:
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return  # an extra that is not wanted here
    if wanted.marker is None or wanted.marker.evaluate():
        assert version in wanted.specifier


@pytest.mark.parametrize("name", sorted({r.name for r in requirements() if r.marker is not None}))
def test_a_dependency_with_bounds_by_python_has_one_line_for_each_at_most(name: str) -> None:
    lines = [r for r in requirements() if r.name == name]
    for python in PYTHONS:
        asked = [r for r in lines if r.marker and r.marker.evaluate({"python_version": python})]
        assert len(asked) <= 1, python
        assert asked or name in ("pocketsphinx", "py-nanotts"), f"no {name} for Python {python}"


def test_an_aiohttp_that_keeps_what_strangers_send_ahead_is_not_allowed() -> None:
    """tests/mesh/test_flood.py shows what it costs; 3.14.0 was the last."""
    (aiohttp,) = (r for r in requirements() if r.name == "aiohttp")
    assert "3.14.0" not in aiohttp.specifier
    assert "3.14.1" in aiohttp.specifier
