"""The order in which files are handed to the workers of `make test`."""

from __future__ import annotations

import pytest

LONGEST = (  # begun first, so that no worker is left with one of them when the others are done
    "test_documented_commands.py",
    "test_processes.py",
    "test_streamed_jobs.py",
    "test_attack_directory.py",
    "test_distribution.py",
    "test_sentences.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; whatever is not of this folder keeps its place among the rest."""
    items.sort(key=lambda item: LONGEST.index(name) if (name := item.path.name) in LONGEST else 99)
