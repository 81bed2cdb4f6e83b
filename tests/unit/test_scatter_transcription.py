"""How a recording is transcribed: what keeps it from being scattered."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from privox_dht.audio import wav
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.errors import ConfigError, NoProducer, RequestRejected
from privox_dht.scatter import private, transcription


class Dispatcher:
    """Finds so many producers; None: it finds none, and says so."""

    def __init__(self, count: int | None) -> None:
        self.count = count

    async def candidates(self, needs: Any) -> list[int]:
        if self.count is None:
            raise NoProducer("nobody is online")
        return list(range(self.count))


@pytest.mark.parametrize(("found", "fitting"), [(None, 0), (0, 0), (3, 3)])
async def test_where_nobody_is_found_nobody_fits_and_the_one_job_says_why(
    found: int | None, fitting: int
) -> None:
    dispatcher: Any = Dispatcher(found)
    needs: Any = None
    assert await transcription._count_candidates(dispatcher, needs) == fitting


def test_a_file_that_cannot_be_read_counts_as_a_short_one(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(bytes(1_000))
    assert transcription._size(tmp_path / "a.wav") == transcription._size(bytes(1_000)) == 1_000
    assert transcription._size(io.BytesIO(bytes(1_000))) == 1_000
    assert transcription._size(tmp_path / "none.wav") == 0


@pytest.mark.parametrize(("hours", "too_long"), [(1.9, False), (2.1, True)])
def test_a_recording_that_says_it_takes_more_than_two_hours_is_too_long_for_one_job(
    tmp_path: Path, hours: float, too_long: bool
) -> None:
    size = int(hours * 3600) * 8_000 * 2
    file = tmp_path / "a.wav"
    with file.open("wb") as made:
        made.write(wav(b"", 8_000)[:40] + size.to_bytes(4, "little"))
        made.truncate(44 + size)
    assert transcription._is_too_long(file) == too_long
    assert not transcription._is_too_long(b"no sound") and not transcription._is_too_long(tmp_path)


async def test_without_pyav_nothing_is_transcribed_in_private_and_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The whole recording must not go to one producer instead."""

    def missing() -> None:
        raise RequestRejected("PyAV is not installed", status=501)

    monkeypatch.setattr(private, "check_for_pyav", missing)
    nothing: Any = None
    options = TranscriptionOptions(scatter="private")
    with pytest.raises(ConfigError, match="--scatter private: "):
        await private.transcribe_in_private(
            nothing, nothing, b"RIFF", nothing, options, lambda event: None
        )
