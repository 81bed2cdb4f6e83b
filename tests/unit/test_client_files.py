"""What the client reads and writes, over real files, pipes and devices."""

import io
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from client.files import (
    check_writable,
    open_recording,
    read_text,
    read_text_file,
    write,
    write_so_far,
)
from privox_dht import limits
from privox_dht.errors import ConfigError, RequestRejected


class Stdin:
    """A stdin that holds some bytes."""

    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)


def test_a_recording_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"sound")
    with open_recording(str(path)) as recording:
        assert (recording.name, recording.read()) == (str(path), b"sound")


def test_what_comes_through_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    """`--file <(command)`: the size of a pipe is 0, which is not the size of what comes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(b"sound" * 1000,), daemon=True).start()
    with open_recording(str(pipe)) as recording:
        for _ in range(2):
            recording.seek(0)
            assert recording.read() == b"sound" * 1000


def test_a_large_recording_on_stdin_is_kept_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(bytes(limits.SPOOL_IN_MEMORY + 1)))
    with open_recording("-") as recording:
        assert isinstance(recording.fileno(), int)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "stdin is empty"), (bytes(11), "more than 10 bytes")]
)
def test_stdin_is_bounded_and_not_empty(
    monkeypatch: pytest.MonkeyPatch, content: bytes, said: str
) -> None:
    monkeypatch.setattr(limits, "MAX_RECORDING", 10)
    monkeypatch.setattr(sys, "stdin", Stdin(content))
    with pytest.raises(RequestRejected, match=said):
        open_recording("-")


def test_a_file_in_its_place_may_be_larger_than_what_one_job_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("MAX_RECORDING", "MAX_UPLOAD"):
        monkeypatch.setattr(limits, name, 10)
    (tmp_path / "a.wav").write_bytes(bytes(11))
    with open_recording(str(tmp_path / "a.wav")) as recording:
        assert recording.read() == bytes(11)


def test_a_closed_stdin_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    for read in (read_text, open_recording):
        with pytest.raises(RequestRejected, match="stdin is closed"):
            read("-")


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(RequestRejected, match=r"cannot read .*directory"):
        open_recording(str(tmp_path))


def test_a_text_on_stdin_is_utf_8_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin("\ufeffgrüße\n".encode()))
    assert read_text("-") == "grüße\n"
    monkeypatch.setattr(sys, "stdin", Stdin(b"\xff\xfe"))
    with pytest.raises(RequestRejected, match="not UTF-8"):
        read_text("-")
    with pytest.raises(RequestRejected, match="not UTF-8"):
        read_text(os.fsdecode(b"caf\xe9"))


def test_a_text_can_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "text"
    file.write_bytes("\ufeffgrüße\n".encode())
    assert read_text_file(str(file)) == "grüße\n"
    monkeypatch.setattr(sys, "stdin", Stdin(b"from stdin"))
    assert read_text_file("-") == "from stdin"
    with pytest.raises(RequestRejected, match=r"cannot read .*none: No such file"):
        read_text_file(str(tmp_path / "none"))
    file.write_bytes(b"x" * (limits.MAX_BOOK + 1))
    with pytest.raises(RequestRejected, match="longer than 2,000,000"):
        read_text_file(str(file))


def test_the_longest_text_in_the_widest_characters_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    widest = "\U0001f600" * limits.MAX_BOOK
    monkeypatch.setattr(sys, "stdin", Stdin(widest.encode()))
    assert read_text("-") == widest
    monkeypatch.setattr(sys, "stdin", Stdin(widest.encode() + b"x"))
    with pytest.raises(RequestRejected, match="longer than 2,000,000"):
        read_text("-")


def test_a_result_replaces_a_file_whole_and_keeps_its_mode_and_its_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    write(str(link), b"new")
    assert link.is_symlink()
    assert (real.read_bytes(), stat.S_IMODE(real.stat().st_mode)) == (b"new", 0o640)


def test_a_new_file_is_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(str(tmp_path / "new"), b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_what_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, small_files: Callable[[], AbstractContextManager[None]]
) -> None:
    with small_files(), pytest.raises(ConfigError, match="File too large"):
        write(str(tmp_path / "out"), bytes(17))
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_finds_no_room_on_disk_says_where_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, small_files: Callable[[], AbstractContextManager[None]]
) -> None:
    monkeypatch.setattr(limits, "SPOOL_IN_MEMORY", 1)
    monkeypatch.setattr(sys, "stdin", Stdin(bytes(100)))
    with small_files(), pytest.raises(ConfigError, match=r"cannot keep stdin in /.*TMPDIR"):
        open_recording("-")


def test_a_device_is_written_in_place() -> None:
    write(os.devnull, b"x")
    with pytest.raises(ConfigError, match="No space left"):
        write("/dev/full", b"x" * 100_000)


@pytest.mark.parametrize(
    ("output", "said"),
    [(".", "is a folder"), ("none/out.wav", "no folder none"), ("-", ""), ("out.wav", "")],
)
def test_an_output_is_looked_at_before_the_work_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if not said:
        check_writable(output)
        return
    with pytest.raises(ConfigError, match=said):
        check_writable(output)


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot be had here: changing users needs root")
@pytest.mark.parametrize("output", ["speech.wav", "deeper/speech.wav", "deeper/"])
def test_a_folder_that_may_not_be_entered_is_said_before_the_work(output: str) -> None:
    """It was a traceback: a look into such a folder raises."""
    with tempfile.TemporaryDirectory() as closed:
        file = os.path.join(closed, output)
        job = ("--service", "tts", "--text", "hello", "--neighbours", "127.0.0.1:9")
        program = "import os; from client.cli import main; os.setuid(65534); main()"
        ran = subprocess.run(
            [sys.executable, "-c", program, *job, "--output", file],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
            env={**os.environ, "PRIVOX_STATE_DIR": closed},
        )  # fmt: skip
    assert (ran.returncode, "Traceback" in ran.stderr) == (2, False), ran.stderr
    assert f"cannot write {file}" in ran.stderr


def test_a_pipe_that_is_named_by_its_number_is_written_once() -> None:
    """`--output /dev/stdout` in a pipe, and `--output >(command)`: the job was done, and its result
    was lost, since the link /dev/fd/63 leads to a name that is no file's."""
    read, end = os.pipe()
    output = f"/dev/fd/{end}"
    check_writable(output)
    write_so_far(output, b"begun")
    write(output, b"all")
    os.close(end)
    with os.fdopen(read, "rb") as reader:
        assert reader.read() == b"all"


def test_a_link_to_no_folder_is_said_before_the_work(tmp_path: Path) -> None:
    link = tmp_path / "talk.srt"
    link.symlink_to(tmp_path / "none" / "talk.srt")
    with pytest.raises(ConfigError, match=r"there is no folder .*none"):
        check_writable(str(link))
