"""The line on a terminal, and what is said once."""

import io
from pathlib import Path

import pytest

from client.display import ERASE, TEXT, Notes, Progress
from privox_dht.dispatch.job_events import NotScattered, Scattered
from privox_dht.speech import Segment


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_scattered_recording_shows_how_far_how_fast_by_how_many_and_how_long_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    progress = Progress(terminal)
    progress.show(Scattered(600.0, 3600.0, 8, 50.0))
    progress.show(Segment("its own line goes to stdout", 1.0, 2.0))
    said = "10:00 of 1:00:00, 50.0 times as fast as it was spoken, 8 producers, 1:00 left"
    assert terminal.getvalue() == ERASE + said


def test_what_an_earlier_run_heard_is_shown_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    progress = Progress(terminal)
    for seconds in (10.0, 277.0):  # at once, one after the other
        progress.show(Scattered(seconds, 600.0, 3, 0.0, resumed=seconds))
    assert terminal.getvalue().endswith(ERASE + "4:37 of 10:00 were done before, 3 producers")


def test_strangers_are_spoken_of_once_and_not_where_they_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    Notes(state, named=True).take(Scattered(0.0, 100.0, 5, 0.0))
    assert capsys.readouterr().err == ""
    for said in (1, 0):
        notes = Notes(state, named=False)
        notes.take(Scattered(0.0, 100.0, 5, 0.0))
        notes.take(Scattered(10.0, 100.0, 5, 1.0))
        assert capsys.readouterr().err.count("each of 5 strangers may hear a part") == said


def test_where_nobody_is_there_no_strangers_are_spoken_of_and_they_are_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for producers, said in ((0, ""), (1, "a stranger may read all of this text; with --only")):
        Notes(tmp_path, named=False, what=TEXT).take(Scattered(0.0, 100.0, producers, 0.0))
        assert capsys.readouterr().err.startswith(f"privox-client: {said}" if said else "")
        assert (tmp_path / "scattering-was-explained-of-text").exists() == bool(said)


def test_who_goes_on_is_told_from_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes(tmp_path, named=True)
    notes.take(Scattered(277.0, 600.0, 0, 0.0, resumed=277.0))
    assert capsys.readouterr().err == "", "not all of that may have been found yet"
    for heard in (300.0, 310.0):
        notes.take(Scattered(heard, 600.0, 2, 9.0, resumed=277.0))
    said = "privox-client: 4:37 were done before; going on from there\n"
    assert capsys.readouterr().err == said


def test_a_long_recording_that_is_not_scattered_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Notes(tmp_path, named=False).take(NotScattered("PyAV is missing"))
    assert "goes to one producer (PyAV is missing)" in capsys.readouterr().err
