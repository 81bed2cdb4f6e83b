"""A long sound on its way to its output."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from client import growing_sound
from client.files import STDIO
from client.growing_sound import GrowingSound
from privox_dht.audio import wav
from privox_dht.errors import ConfigError

STREAMED = wav(b"", 16_000)  # its header says that there is nothing


async def test_a_file_grows_piece_by_piece_and_its_length_is_right_in_the_end(
    tmp_path: Path,
) -> None:
    file = tmp_path / "long.wav"
    sound = GrowingSound(str(file), "wav")
    assert not file.exists(), "nothing is touched before there is some"
    for number, piece in enumerate((STREAMED, bytes(3_200), bytes(3_200))):
        await sound.add(piece)
        assert file.stat().st_size == len(STREAMED) + number * 3_200
    sound.end()
    with wave.open(io.BytesIO(file.read_bytes())) as heard:
        assert heard.getnframes() == 3_200
    assert sound.size == len(STREAMED) + 6_400
    assert str(sound).endswith(f"of wav in {file}")


async def test_what_is_no_wav_is_left_as_it_was_spoken(tmp_path: Path) -> None:
    file = tmp_path / "long.pcm"
    sound = GrowingSound(str(file), "pcm")
    await sound.add(b"RIFF, or whatever samples look like")
    sound.end()
    assert file.read_bytes() == b"RIFF, or whatever samples look like"


async def test_where_nothing_was_spoken_nothing_is_written(tmp_path: Path) -> None:
    GrowingSound(str(tmp_path / "none.wav"), "wav").end()
    assert list(tmp_path.iterdir()) == []


async def test_a_device_that_keeps_nothing_takes_all_of_it() -> None:
    """Its length was put right where nothing was: a traceback, after all was spoken."""
    sound = GrowingSound("/dev/null", "wav")
    await sound.add(STREAMED)
    sound.end()
    assert sound.size == len(STREAMED)


async def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    sound = GrowingSound(str(tmp_path / "none" / "a.wav"), "wav")
    with pytest.raises(ConfigError, match=r"cannot write .*a\.wav: No such file or directory"):
        await sound.add(STREAMED)


async def test_a_disk_that_is_full_is_said(
    tmp_path: Path, small_files: Callable[[], AbstractContextManager[None]]
) -> None:
    sound = GrowingSound(str(tmp_path / "a.wav"), "wav")
    with small_files(), pytest.raises(ConfigError, match=r"cannot write .*a\.wav"):
        await sound.add(STREAMED)
    assert sound._file is not None
    sound._file.close()


async def test_stdout_takes_it_as_fast_as_its_reader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bytes] = []

    def write_within(data: bytes, seconds: float) -> bytes:
        taken.append(data[:4])
        return data[4:]

    monkeypatch.setattr(growing_sound, "write_within", write_within)
    sound = GrowingSound(STDIO, "pcm")
    await sound.add(b"0123456789")
    sound.end()
    assert taken == [b"0123", b"4567", b"89"] and str(sound) == "10 bytes of pcm on stdout"
