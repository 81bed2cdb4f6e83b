"""How a scattered recording ends, other than well; and what says which extra is missing."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from privox_dht.errors import (
    AllProducersFailed,
    ConfigError,
    JobError,
    NoProducer,
    RequestRejected,
)
from privox_dht.extras import needed_by
from privox_dht.scatter.cut import RATE, Piece
from privox_dht.scatter.scattered_recording import recording_error


def source(decode_error: RequestRejected | None = None) -> Any:
    return SimpleNamespace(seconds=725.0, decode_error=decode_error)


def piece(number: int) -> Piece:
    """Half a minute of it."""
    return Piece(number, number * 30 * RATE, np.zeros(30 * RATE, np.int16))


WHY: JobError = NoProducer("nobody was there")


def test_nothing_is_wrong_when_all_is_there() -> None:
    assert recording_error(source(), [], []) is None


def test_where_a_file_breaks_off_is_told_and_the_input_is_at_fault() -> None:
    broken = RequestRejected("no more sound", status=422, code="bad_audio")
    fault = recording_error(source(broken), [(piece(1), WHY)], [])
    assert isinstance(fault, RequestRejected)
    assert (fault.status, fault.code) == (422, "bad_audio")
    assert "breaks off at 12:05" in fault.message and "no more sound" in fault.message


def test_what_nobody_could_do_is_named_in_order() -> None:
    fault = recording_error(source(), [(piece(4), WHY), (piece(1), WHY)], [])
    assert isinstance(fault, AllProducersFailed)
    told = "no producer could transcribe 0:30 to 1:00, 2:00 to 2:30: nobody was there"
    assert str(fault) == told and fault.attempts == ()


def test_a_missing_package_is_told_with_the_extra_that_brings_it() -> None:
    told = r"a film needs the package no_such_thing: pip install 'privox-dht\[audio\]'"
    with pytest.raises(ConfigError, match=told), needed_by("a film", "audio"):
        import no_such_thing  # type: ignore[import-not-found]  # noqa: F401
