"""How long a recording can be at most."""

import io
from pathlib import Path

import pytest

from privox_dht.audio import wav
from privox_dht.dispatch.work import SPARSEST, longest

TEN_SECONDS = wav(bytes(20_000), 1_000)


def test_a_wav_file_is_as_long_as_its_samples_take(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(TEN_SECONDS)
    for recording in (TEN_SECONDS, file, io.BytesIO(TEN_SECONDS)):
        assert longest(recording) == pytest.approx(10.0, abs=0.1)


def test_a_compressed_one_has_so_many_bytes_a_second_at_least() -> None:
    assert longest(b"OggS" + bytes(10 * SPARSEST - 4)) == 10.0


def test_one_that_cannot_be_read_may_have_any_length(tmp_path: Path) -> None:
    """The job then says why it cannot."""
    assert longest(tmp_path / "none.wav") == float("inf")
