"""A transcript that is written while it is recognised: real pipes, terminals and files."""

import json
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.display import Progress
from client.files import STDIO
from client.live_transcript import LiveTranscript
from client.targets import Target
from privox_dht.caption_layout import CaptionLayout
from privox_dht.dispatch.job_events import Dialing, Scattered
from privox_dht.speech import AudioInfo, Segment
from privox_dht.transcript import gather

ONE, TWO = Segment(" one", 0, 1), Segment("two", 1, 2)
WHOLE = gather([ONE, TWO], 3.0)
BEGUN = (Dialing(None, "direct"), AudioInfo(3.0))
ROOM = 1 << 16  # bytes; a pipe or a terminal holds less


class Reader:
    """What reads our stdout."""

    def __init__(self, read: int, write: int, monkeypatch: pytest.MonkeyPatch) -> None:
        os.set_blocking(read, False)
        self._read = read
        self.stdout = os.fdopen(write, "w")
        self._monkeypatch = monkeypatch

    def take_over(self) -> None:
        """From now on, in a test's body: pytest sets stdout anew after its fixtures."""
        self._monkeypatch.setattr(sys, "stdout", self.stdout)

    def read(self) -> str:
        """What came since the last time."""
        try:
            return os.read(self._read, ROOM).decode().replace("\r\n", "\n")
        except BlockingIOError:
            return ""

    def close(self) -> None:
        os.close(self._read)


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    reader = Reader(*os.pipe(), monkeypatch)
    yield reader
    reader.stdout.close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    reader = Reader(*pty.openpty(), monkeypatch)
    yield reader
    reader.stdout.close()


def live(output: str | Reader, format: str) -> LiveTranscript:
    if isinstance(output, Reader):
        output.take_over()
        output = STDIO
    target = Target("talk.ogg", output, format)
    made = LiveTranscript(target, CaptionLayout(40, 2), Progress(), words=False)
    for event in BEGUN:
        made.take(event)
    return made


def test_in_a_pipe_text_comes_as_it_is_recognised_and_is_one_line(pipe: Reader) -> None:
    text = live(pipe, "text")
    text.take(ONE)
    assert pipe.read() == "one"
    text.take(TWO)
    assert pipe.read() == " two"
    text.finish(WHOLE)
    assert pipe.read() == "\n"


def test_on_a_terminal_each_segment_is_a_line(terminal: Reader) -> None:
    text = live(terminal, "text")
    text.take(ONE)
    assert terminal.read() == "one\n"
    text.take(TWO)
    text.finish(WHOLE)
    assert terminal.read() == "two\n"


def test_captions_come_one_by_one(pipe: Reader) -> None:
    captions = live(pipe, "srt")
    captions.take(ONE)
    first = pipe.read()
    assert first == "1\n00:00:00,000 --> 00:00:01,000\none\n"
    captions.take(TWO)
    captions.finish(WHOLE)
    assert pipe.read() == "\n2\n00:00:01,000 --> 00:00:02,000\ntwo\n"


def test_json_comes_at_the_end(pipe: Reader) -> None:
    document = live(pipe, "json")
    document.take(ONE)
    assert pipe.read() == ""
    document.finish(WHOLE)
    assert json.loads(pipe.read())["text"] == "one two"


def test_a_reader_that_does_not_read_holds_nothing_up_and_loses_nothing(pipe: Reader) -> None:
    """A pipe holds 64 KiB. To wait for its reader would make the job look dead to us."""
    text = live(pipe, "text")
    long = Segment("x" * 50_000, 0, 1)
    for _ in range(4):
        text.take(long)
    said = pipe.read() + pipe.read()
    while said.count("x") < 200_000:
        text.take(Segment("y", 1, 2))
        more = pipe.read()
        assert more
        said += more
    assert said.replace(" y", "").strip() == " ".join(4 * ["x" * 50_000])


def test_a_reader_that_has_gone_ends_the_job(pipe: Reader) -> None:
    text = live(pipe, "text")
    pipe.close()
    with pytest.raises(BrokenPipeError):
        text.take(ONE)


@pytest.mark.parametrize("format", ["text", "json", "vtt"])
def test_a_file_grows_and_is_whole_at_any_time(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("client.live_transcript.SAVE_EVERY", 0.0)
    output = tmp_path / "talk"
    growing = live(str(output), format)
    assert not output.exists()
    growing.take(ONE)
    assert "one" in (so_far := output.read_text())
    assert "two" not in so_far
    growing.take(TWO)
    assert "two" in output.read_text()
    growing.finish(WHOLE)
    assert "two" in output.read_text()
    assert os.listdir(tmp_path) == ["talk"]


def test_a_file_is_not_written_anew_for_each_of_many_segments(tmp_path: Path) -> None:
    output = tmp_path / "talk.txt"
    growing = live(str(output), "text")
    growing.take(ONE)
    growing.take(TWO)
    assert output.read_text() == "one\n"


def test_a_named_pipe_gets_the_whole_once(tmp_path: Path) -> None:
    output = tmp_path / "fifo"
    os.mkfifo(output)
    reader = os.open(output, os.O_RDONLY | os.O_NONBLOCK)
    growing = live(str(output), "text")
    growing.take(ONE)
    growing.take(TWO)
    growing.finish(WHOLE)
    assert os.read(reader, ROOM) == b"one two\n"
    os.close(reader)


def test_what_was_heard_is_kept_and_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "talk.txt"
    growing = live(str(output), "text")
    for event in (ONE, TWO):
        growing.take(event)
    part = growing.save_partial("de")
    assert part is not None
    assert part.as_json()["transcript"]["text"] == "one two"
    assert part.transcript.language == "de"
    assert output.read_text() == "one two\n"
    said = f"privox-client: the transcript so far, 0:02 of 0:03, is in {output}\n"
    assert capfd.readouterr().err == said


def test_what_was_heard_of_a_scattered_recording_is_said_beside_all_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """How long it is comes from its file there, and not from a producer."""
    output = tmp_path / "talk.txt"
    layout = CaptionLayout(40, 2)
    growing = LiveTranscript(
        Target("talk.ogg", str(output), "text"), layout, Progress(), words=False
    )
    for event in (Scattered(0.0, 600.0, 3, 0.0), ONE, TWO):
        growing.take(event)
    growing.save_partial("en")
    said = f"privox-client: the transcript so far, 0:02 of 10:00, is in {output}\n"
    assert capfd.readouterr().err == said


def test_what_was_heard_is_kept_in_a_pipe_with_its_line_ended(
    capfd: pytest.CaptureFixture[str], pipe: Reader
) -> None:
    text = live(pipe, "text")
    text.take(ONE)
    assert text.save_partial("") is not None
    assert pipe.read() == "one\n"
    assert "0:01 of 0:03, was printed" in capfd.readouterr().err


def test_where_nothing_was_heard_no_file_is_touched(tmp_path: Path) -> None:
    output = tmp_path / "talk.txt"
    output.write_text("older")
    assert live(str(output), "text").save_partial("") is None
    assert output.read_text() == "older"


def test_after_a_death_in_mid_job_a_pipe_goes_on_and_a_file_has_the_whole(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], pipe: Reader
) -> None:
    output = tmp_path / "talk.txt"
    both = [live(pipe, "text"), live(str(output), "text")]
    for one in both:
        for event in (ONE, *BEGUN, Segment("One,", 0, 1), TWO):
            one.take(event)
        one.finish(gather([Segment("One,", 0, 1), TWO], 3.0))
    assert pipe.read() == "one two\n"
    assert capfd.readouterr().err == "privox-client: lost at 0:01, going on from there\n"
    assert output.read_text() == "One, two\n"
