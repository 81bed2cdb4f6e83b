"""The tree of errors: what its docstring draws is what there is."""

import inspect
import re

import pytest

from privox_dht import errors
from privox_dht.errors import PrivoxError

OUTCOMES = {"done", "refused", "failed", "cancelled", "lost"}


def drawn() -> dict[str, str]:
    """Class -> parent, as the docstring's indentation has it."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^((?:  )+)([A-Z]\w+)(?:  |$)", line):
            depth = len(match[1]) // 2 - 2
            path = [*path[:depth], match[2]]
            parents[match[2]] = path[-2] if depth else "Exception"
    return parents


def there() -> dict[str, str]:
    """Class -> parent, as the module has it."""
    classes = inspect.getmembers(errors, inspect.isclass)
    mine = [kind for _, kind in classes if kind.__module__ == errors.__name__]
    return {kind.__name__: kind.__bases__[0].__name__ for kind in mine}


def test_the_drawn_tree_is_the_real_tree() -> None:
    assert drawn() == there()


def test_every_job_error_has_one_of_the_five_outcomes() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    jobs: list[type[errors.JobError]] = [k for k in classes if issubclass(k, errors.JobError)]
    assert len(jobs) > 5
    assert {kind.outcome for kind in jobs} <= OUTCOMES


def test_an_engine_that_is_missing_says_what_mends_it() -> None:
    error = errors.EngineUnavailable("piper is not installed", "pip install 'privox-dht[piper]'")
    assert str(error) == "piper is not installed; to fix it: pip install 'privox-dht[piper]'"
    assert str(errors.EngineUnavailable("no GPU")) == "no GPU"


@pytest.mark.parametrize("kind", [errors.BadRecord, errors.BadMessage])
def test_what_is_dropped_names_its_counter(kind: type[errors.BadRecord]) -> None:
    assert kind("size").reason == "size"
    assert str(kind("field", "q")) == "field: q"


def test_a_refusal_carries_what_an_http_answer_needs() -> None:
    error = errors.RequestRejected("no voice x", status=404, code="voice_not_found", param="voice")
    said = (error.message, error.status, error.code, error.param)
    assert said == ("no voice x", 404, "voice_not_found", "voice")
    assert errors.RequestRejected("bad").status == 400


def test_busy_is_not_lost_and_says_when_to_ask_again() -> None:
    assert errors.ProducerBusy(retry_after=3.0).retry_after == 3.0
    assert not issubclass(errors.ProducerBusy, errors.ProducerLost)


def test_a_failed_search_keeps_what_was_tried() -> None:
    assert errors.AllProducersFailed("three failed", ["one", "two"]).attempts == ("one", "two")


def test_everything_is_caught_by_the_root_and_nothing_else_is() -> None:
    assert issubclass(errors.PeerKeyMismatch, PrivoxError)
    assert not issubclass(PrivoxError, OSError)
