"""What was heard of a long recording, kept until all of it is."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.scatter.cut import RATE, Piece
from privox_dht.scatter.resume_file import ResumeFile
from privox_dht.speech import Segment, Word

HOW = TranscriptionOptions(model="small", words=True)
PIECE = Piece(3, 40 * RATE, np.arange(RATE, dtype=np.int16))
MORNING = (Word("good", 40.1, 40.4, 0.9), Word("morning", 40.5, 40.9))
HEARD = (
    Segment("good morning", 40.1, 40.9, MORNING, "en"),
    Segment("\u05e9\u05dc\u05d5\u05dd", 41.0, 41.0 + 1 / 3),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in which one piece was kept."""
    path = tmp_path / "meeting.srt.part"
    ResumeFile(path, HOW).add(PIECE, HEARD)
    return path


def test_what_was_heard_is_found_again_as_it_was(file: Path) -> None:
    again = ResumeFile(file, HOW)
    assert again.find(PIECE) == HEARD
    again.add(replace(PIECE, number=4, first=0), ())
    assert ResumeFile(file, HOW).find(replace(PIECE, first=0)) == (), "heard, and nothing said"
    assert file.stat().st_mode & 0o077 == 0, "what was said is nobody else's business"
    again.remove()
    assert not file.exists() and ResumeFile(file, HOW).find(PIECE) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(PIECE, first=41 * RATE),
        replace(PIECE, samples=PIECE.samples + np.int16(1)),
        replace(PIECE, joint_after=40.5),
    ],
)
def test_another_sound_or_the_same_at_another_place_was_not_heard(file: Path, other: Piece) -> None:
    assert ResumeFile(file, HOW).find(other) is None


@pytest.mark.parametrize(
    "change", [{"model": "large"}, {"language": "de"}, {"translate": True}, {"prompt": "Hello"}]
)
def test_what_was_asked_for_in_another_way_was_not_heard(
    file: Path, change: dict[str, object]
) -> None:
    assert ResumeFile(file, replace(HOW, **change)).find(PIECE) is None  # type: ignore[arg-type]
    assert ResumeFile(file, replace(HOW, jobs=2, wait=1.0)).find(PIECE) == HEARD


def test_a_line_that_was_broken_off_costs_that_line_alone(file: Path) -> None:
    whole = file.read_text()
    file.write_text(whole + whole[: len(whole) // 2])
    after = replace(PIECE, first=80 * RATE)
    ResumeFile(file, HOW).add(after, HEARD)
    again = ResumeFile(file, HOW)
    assert again.find(PIECE) == again.find(after) == HEARD


@pytest.mark.parametrize(
    "nonsense",
    ["[]", "{}", "1", '{"piece": 1, "segments": [[1]]}', '{"piece": "x", "segments": 7}'],
)
def test_what_makes_no_sense_is_none(file: Path, nonsense: str) -> None:
    file.write_text(f"{nonsense}\n{file.read_text()}")
    assert ResumeFile(file, HOW).find(PIECE) == HEARD


def test_where_nothing_can_be_written_the_job_goes_on(tmp_path: Path) -> None:
    kept = ResumeFile(tmp_path / "gone" / "x.part", HOW)
    kept.add(PIECE, HEARD)
    kept.add(replace(PIECE, first=0), HEARD)
    kept.remove()
    assert kept.find(PIECE) == HEARD


def test_what_others_made_in_a_folder_for_all_is_neither_believed_nor_written_to(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, theirs = tmp_path / "link.part", tmp_path / "theirs"
    theirs.write_text(file.read_text())
    link.symlink_to(theirs)
    kept = ResumeFile(link, HOW)
    assert kept.find(PIECE) is None
    kept.add(replace(PIECE, first=0), HEARD)
    assert theirs.read_text() == file.read_text()
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert ResumeFile(file, HOW).find(PIECE) is None
