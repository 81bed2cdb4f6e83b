"""What is made of pip-audit's answer about the packages that are installed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import audit

PROGRAM = Path(audit.__file__)


def package(name: str, *holes: tuple[str, list[str]]) -> dict[str, Any]:
    vulns = [{"id": hole, "fix_versions": versions} for hole, versions in holes]
    return {"name": name, "version": "1.0", "vulns": vulns}


UNKNOWN = {"name": "other", "skip_reason": "Dependency not found on PyPI"}


def told(*packages: dict[str, Any]) -> tuple[bool, str]:
    good, lines = audit.verdict({"dependencies": list(packages)})
    return good, "\n".join(lines)


def test_a_hole_that_a_newer_version_mends_fails() -> None:
    good, said = told(package("aiohttp", ("CVE-1", ["1.1"])), UNKNOWN)
    assert not good
    assert "aiohttp 1.0 has the hole CVE-1, mended in 1.1" in said
    assert "1 packages asked about, 1 unknown" in said


def test_a_hole_that_nothing_mends_is_named_and_fails_nothing() -> None:
    good, said = told(package("aiohttp", ("CVE-1", [])))
    assert good and "CVE-1, mended in no version yet" in said


@pytest.mark.parametrize("name", sorted(audit.WITH_PYTHON))
def test_what_comes_with_python_is_not_judged(name: str) -> None:
    assert told(package(name, ("CVE-1", ["1.1"])), package("aiohttp"))[0]


def test_an_index_that_knows_nothing_is_not_taken_for_a_clean_one() -> None:
    good, said = told(UNKNOWN)
    assert good and "cannot be had here" in said and "nothing was checked" in said


def test_without_a_network_it_says_that_nothing_was_checked() -> None:
    nowhere = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    ran = subprocess.run(
        [sys.executable, PROGRAM],
        env={**os.environ, **nowhere}, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "cannot be had here" in ran.stdout and "nothing was checked" in ran.stdout
