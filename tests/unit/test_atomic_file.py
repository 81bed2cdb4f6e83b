"""Files whole or not at all, and every byte into pipes, over real files and real limits."""

import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from privox_dht.atomic_file import create_file, replace_file, replacing, write_all
from privox_dht.dht.contact_file import ContactFile
from privox_dht.errors import ConfigError
from privox_dht.identity import Identity

LARGE = bytes(range(256)) * 4096  # 1 MiB: more than any pipe holds


def test_a_file_that_did_not_fit_is_an_error_and_the_old_one_stays(
    tmp_path: Path, small_files: Callable[[], AbstractContextManager[None]]
) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"old")
    with small_files(), pytest.raises(OSError, match="File too large"):
        replace_file(path, b"x" * 17)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


def test_a_key_that_did_not_fit_is_no_key(
    tmp_path: Path, small_files: Callable[[], AbstractContextManager[None]]
) -> None:
    with small_files(), pytest.raises(ConfigError, match="cannot keep a key"):
        Identity.load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_contacts_that_did_not_fit_leave_those_that_were_there(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    small_files: Callable[[], AbstractContextManager[None]],
) -> None:
    kept = ContactFile(tmp_path, "privox")
    kept.save([(("192.0.2.1", 5678), 100.0)], 100.0)
    with small_files():
        kept.save([(("192.0.2.2", 5678), 200.0)], 200.0)
    assert "cannot write contacts" in caplog.text
    assert kept.known(100.0) == [("192.0.2.1", 5678)]


def test_an_exception_while_a_file_is_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "voice"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="broken off"), replacing(path) as file:
        file.write(b"half of the ne")
        raise ValueError("broken off")
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"old", [path])


@pytest.mark.parametrize(
    ("had", "asked", "gets"),
    [(None, None, 0o640), (0o600, None, 0o600), (0o755, None, 0o755), (0o644, 0o600, 0o600)],
)
def test_a_replaced_file_keeps_its_mode_and_a_new_one_obeys_the_umask(
    tmp_path: Path, had: int | None, asked: int | None, gets: int
) -> None:
    path = tmp_path / "file"
    if had is not None:
        path.touch()
        path.chmod(had)
    before = os.umask(0o027)
    try:
        replace_file(path, b"x", mode=asked)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == gets


def test_a_created_file_is_secret_and_the_first_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    create_file(path, b"first")
    create_file(path, b"second")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"first", 0o600)
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_that_takes_little_at_a_time_and_does_not_block_gets_every_byte() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    got = bytearray()

    def reader() -> None:
        with open(read, "rb", buffering=0) as source:
            while piece := source.read(1000):
                got.extend(piece)

    thread = threading.Thread(target=reader)
    thread.start()
    write_all(write, LARGE)
    os.close(write)
    thread.join(10)
    assert got == LARGE


def test_a_short_write_is_followed_by_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = bytearray()

    def lazy(descriptor: int, data: bytes) -> int:
        taken.extend(data[:7])
        return min(7, len(data))

    monkeypatch.setattr(os, "write", lazy)
    write_all(1, b"every single byte of it")
    assert taken == b"every single byte of it"


def run_python(code: str, *, unbuffered: bool, **how: Any) -> subprocess.CompletedProcess[bytes]:
    """A Python that runs `code`; its stdout as a pipe, a file or a device."""
    return subprocess.run(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE, timeout=30, check=False, env=environment(unbuffered), **how,
    )  # fmt: skip


def environment(unbuffered: bool) -> dict[str, str]:
    """Ours, with stdout as containers have it, or as terminals have it."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**ours, "PYTHONUNBUFFERED": "1"} if unbuffered else ours


WRITE = "from client.files import write; write('-', bytes(2**20))"


@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_stdout_that_is_cut_by_a_limit_is_an_error(tmp_path: Path, unbuffered: bool) -> None:
    """Unbuffered, as in containers, the first 64 KiB were written and the exit code was 0."""

    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
    with (tmp_path / "out").open("wb") as out:
        ran = run_python(limit + WRITE, unbuffered=unbuffered, stdout=out)
    assert ran.returncode == 1
    assert b"ConfigError: cannot write to stdout: File too large" in ran.stderr


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("device", ["/dev/full", None])
def test_a_stdout_that_is_full_or_closed_is_an_error(unbuffered: bool, device: str | None) -> None:
    if device is None:
        closing = f"import os; os.close(1); os.execv({sys.executable!r}, "
        ran = run_python(
            f"{closing}[{sys.executable!r}, '-c', {WRITE!r}])", unbuffered=False, stdout=None
        )
        assert b"cannot write to stdout: it is closed" in ran.stderr
    else:
        with Path(device).open("wb") as out:
            ran = run_python(WRITE, unbuffered=unbuffered, stdout=out)
        assert os.strerror(errno.ENOSPC).encode() in ran.stderr
    assert ran.returncode == 1


@pytest.mark.parametrize("unbuffered", [False, True])
def test_a_slow_stdout_that_does_not_block_gets_every_byte(unbuffered: bool) -> None:
    """`Popen(stdout=...)` of a pipe that does not block, as Node.js makes them."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE], stdout=write, env=environment(unbuffered)
    )
    os.close(write)
    with open(read, "rb", buffering=0) as source:
        got = b"".join(iter(lambda: source.read(4096), b""))
    assert (child.wait(10), len(got)) == (0, 2**20)


INTERRUPTIBLE = """
import asyncio
from client.config import ClientConfig
from client.files import write
from client.run import run_to_exit

async def job():
    write("-", bytes(2**20))

run_to_exit(lambda config: job(), ClientConfig())
"""


def test_ctrl_c_ends_a_client_whose_reader_has_stopped_reading() -> None:
    """The event loop heeds Ctrl-C, and the loop waited for the reader."""
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout and child.stderr
    assert child.stdout.read(1) == b"\0"  # it has begun to write
    child.send_signal(2)
    assert child.wait(10) == 130
    assert child.stderr.read() == b"interrupted\n"
    child.stdout.close()
    child.stderr.close()
