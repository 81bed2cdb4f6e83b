"""Several sounds as one file."""

import itertools
from array import array
from pathlib import Path

import pytest

from privox_dht.audio import decode, wav
from privox_dht.audio.joined_sound import JoinedSound
from privox_dht.audio.wav_header import parse_header
from privox_dht.errors import RequestRejected

RATE = 16_000


def loud(seconds: float, rate: int = RATE) -> bytes:
    """As loud at its ends as anywhere: it would click."""
    return wav(array("h", [12_000] * round(seconds * rate)).tobytes(), rate)


def joined(format: str, *files: bytes) -> bytes:
    sound = JoinedSound(format)
    forms = [parse_header(file) for file in files]
    parts = [sound.add(file, form) for file, form in zip(files, forms, strict=True) if form]
    return b"".join([*parts, sound.finish()])


def test_there_is_no_step_where_they_meet_and_not_a_sample_more_or_less() -> None:
    samples = array("h", joined("pcm", loud(0.5), loud(0.25), loud(0.3)))
    assert len(samples) == round(1.05 * RATE)
    steps = [abs(a - b) for a, b in itertools.pairwise(samples)]
    assert max(steps) < 500
    assert samples[RATE // 4] == 12_000


def test_the_first_ones_rate_is_that_of_all() -> None:
    file = joined("wav", loud(0.5), loud(0.5, 22_050))
    form = parse_header(file)
    assert form is not None
    assert form.rate == RATE
    assert (len(file) - form.begins) / 2 == pytest.approx(RATE, rel=0.01)


@pytest.mark.parametrize("format", ["mp3", "flac", "opus", "aac", "m4a"])
def test_it_is_one_file_in_any_format(tmp_path: Path, format: str) -> None:
    file = tmp_path / "sound"
    file.write_bytes(joined(format, loud(1.0), loud(1.0)))
    with file.open("rb") as opened:
        assert len(decode(opened, RATE)) / RATE == pytest.approx(2.0, abs=0.2)


def test_a_format_that_cannot_be_written_is_refused_before_there_is_any_sound() -> None:
    with pytest.raises(RequestRejected, match="no audio format 'wax'"):
        JoinedSound("wax")


@pytest.mark.parametrize("samples", range(9))
def test_a_sound_may_be_shorter_than_a_fade(samples: int) -> None:
    tiny = wav(array("h", [100] * samples).tobytes(), RATE)
    assert len(joined("pcm", tiny)) == 2 * samples
