"""The line on a terminal, and what is said once."""

import io
from pathlib import Path

import pytest

from client.display import ERASE, TEXT, Notes, Progress
from privox_dht.dispatch.job_events import (
    Dialing,
    FileChunk,
    NotScattered,
    Scattered,
    Uploading,
    Waiting,
)
from privox_dht.speech import AudioInfo, Segment


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_line_says_what_happens_to_a_job_and_is_erased_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("client.display.REDRAW", 0.0)
    terminal = Terminal()
    with Progress(terminal, label="a.wav: ") as progress:
        for event in (
            Waiting(52.0), Dialing(None, "direct 20.0.0.1:5"), Uploading(42, 100), Uploading(0, 0),
            AudioInfo(60.0), Segment("hello", 0.0, 17.0), FileChunk(bytes(3_000)),
            FileChunk(bytes(3_000)),
        ):  # fmt: skip
            progress.show(event)
    lines = terminal.getvalue().split(ERASE)[1:]
    assert [line.removeprefix("a.wav: ") for line in lines] == [
        "all producers are busy or do not answer, asking again for 52 s",
        "calling direct 20.0.0.1:5", "sending 42 %", "sending 0 %", "transcribed 0:17 of 1:00",
        "receiving, 2 KiB so far", "receiving, 5 KiB so far", "",
    ]  # fmt: skip


def test_a_line_is_no_wider_than_the_terminal_and_holds_nothing_that_moves_its_cursor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    Progress(terminal).show(Dialing(None, "direct \x1b[2Jevil.example:5"))
    (line,) = terminal.getvalue().split(ERASE)[1:]
    assert len(line) == 19 and "\x1b" not in line


def test_in_a_pipe_there_is_no_line_and_that_all_are_busy_is_said_once() -> None:
    pipe = io.StringIO()
    with Progress(pipe) as progress:
        for event in (Waiting(52.0), Dialing(None, "direct x"), Waiting(51.0), Uploading(1, 2)):
            progress.show(event)
    busy = "privox-client: all producers are busy or do not answer, asking again for 52 s\n"
    assert pipe.getvalue() == busy


def test_a_scattered_recording_shows_how_far_how_fast_by_how_many_and_how_long_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    terminal = Terminal()
    progress = Progress(terminal)
    progress.show(Scattered(600.0, 3600.0, 8, 50.0))
    progress.show(Segment("its own line goes to stdout", 1.0, 2.0))
    said = "10:00 of 1:00:00, 50.0 times real time, 8 producers, 1:00 left"
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
        Notes(tmp_path, named=False).take(Scattered(0.0, 100.0, producers, 0.0))
        assert capsys.readouterr().err == "", "one hears all of a recording, scattered or not"
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


def test_a_state_folder_that_cannot_be_looked_into_ends_no_job(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another user's raised PermissionError in mid-job; this one raises for every user."""
    Notes(tmp_path / ("x" * 300), named=False).take(Scattered(0.0, 600.0, 3, 0.0))
    assert "each of 3 strangers may hear a part of this recording" in capfd.readouterr().err
