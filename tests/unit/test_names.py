"""One name, one thing: no two modules and no two classes of the product are called the same, and no
docstring promises an error that is called otherwise by now."""

from __future__ import annotations

import ast
import builtins
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("privox_dht", "nodes", "client")
ROLES = {  # modules that each program, or each part of one with options of its own, has one of
    "__init__", "cli", "config", "options",
}  # fmt: skip
RAISES = re.compile(r"Raises:\s+((?:[A-Z][\w.]+(?:, |(?=[:.])))+)[:.]")
OF_LIBRARIES = {"FFmpegError", "PortAudioError", "ServerFingerprintMismatch", "UsageError"}


def modules() -> list[Path]:
    return [file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py"))]


def shared(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def modules_by_name(files: list[Path]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file.stem not in ROLES:
            found[file.stem].append(str(file))
    return found


def classes_by_name(files: list[Path]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(f"{file}:{node.lineno}")
    return found


def test_no_two_modules_bear_one_name() -> None:
    assert shared(modules_by_name(modules())) == {}


def test_no_two_files_of_tests_bear_one_name() -> None:
    """Else pytest can collect one floor, but not all of them at once."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    assert shared(modules_by_name(tests)) == {}


def test_no_class_name_stands_for_two_things() -> None:
    assert shared(classes_by_name(modules())) == {}


@pytest.mark.parametrize("find", [modules_by_name, classes_by_name])
def test_a_name_that_is_given_twice_is_found(find: object, tmp_path: Path) -> None:
    files = [tmp_path / folder / "same.py" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text("class Same: ...\n")
    assert callable(find) and len(shared(find(files))) == 1


def promised_errors(file: Path) -> Iterator[str]:
    """The names of errors in the docstrings of a module."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for found in RAISES.finditer(ast.get_docstring(node) or ""):
                yield from (name.rpartition(".")[2] for name in found[1].strip(", .").split(", "))


def test_docstrings_promise_only_errors_that_there_are() -> None:
    known = {*classes_by_name(modules()), *dir(builtins), *OF_LIBRARIES}
    unknown = {(str(file), name) for file in modules() for name in promised_errors(file)}
    assert {(file, name) for file, name in unknown if name not in known} == set()


def test_an_error_that_has_another_name_by_now_is_found(tmp_path: Path) -> None:
    file = tmp_path / "old.py"
    file.write_text('def call():\n    """Raises:\n        Refused, OSError: it cannot be."""\n')
    assert list(promised_errors(file)) == ["Refused", "OSError"]
