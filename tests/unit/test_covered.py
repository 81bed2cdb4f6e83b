"""What `make coverage` makes of the lines that were not run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import covered
from covered import Module


@pytest.mark.parametrize(
    ("numbers", "said"),
    [((), ""), ((3,), "3"), ((3, 4), "3-4"), ((3, 4, 5, 9), "3-5, 9"), ((1, 3, 5), "1, 3, 5")],
)
def test_lines_that_follow_one_another_are_said_as_one_span(
    numbers: tuple[int, ...], said: str
) -> None:
    assert covered.spans(numbers) == said


def test_a_module_has_the_share_of_its_lines_that_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Module("a.py", 8, (2, 3)).share == 75.0
    assert Module("empty.py", 0, ()).share == 100.0
    assert Module("a.py", 8, ()).floor == covered.FLOOR
    monkeypatch.setitem(covered.LOWER, "a.py", (50.0, "the rest needs a GPU"))
    assert Module("a.py", 8, ()).floor == 50.0
