"""A state folder that cannot be used says whose it is, and what to do."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.state_lock import OTHERS_WRITE, is_in_use, locked
from privox_dht.errors import ConfigError

NOBODY = 65534
AS_NOBODY = f"""
import os, sys
from pathlib import Path
from nodes.state_lock import locked
os.setgid({NOBODY}); os.setuid({NOBODY})
with locked(Path(sys.argv[1])):
    pass
"""


MAIN_AS_NOBODY = f"""
import os
import click._textwrap  # it is imported when it is needed: too late, if the checkout is in /root
from nodes.cli import main
os.setuid({NOBODY})
main()
"""


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may enter. Pytest closes those above its own to others whenever
    another run begins."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot be had here: changing users needs root")
@pytest.mark.parametrize("below", ["", "deeper"])
def test_another_users_folder_names_both_users_and_the_command(public: Path, below: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(public / below)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = ran.stderr.splitlines()[-1]
    assert f"{public} belongs to user 0, and this node runs as user {NOBODY}" in said
    assert f"sudo chown -R {NOBODY}:{NOBODY}" in said
    assert "--user 0" in said


def test_a_folder_of_ones_own_says_only_what_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(ConfigError, match=r"cannot use the state folder .*: Not a directory$"),
        locked(tmp_path / "file" / "folder"),
    ):
        pass


def test_what_goes_wrong_in_a_running_node_is_not_blamed_on_the_folder(tmp_path: Path) -> None:
    """Whatever raised BlockingIOError while the folder was held came out as another node's."""
    with pytest.raises(BlockingIOError), locked(tmp_path):
        raise BlockingIOError
    assert not is_in_use(tmp_path)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o777, 0o722, 0o770, 0o2775])
def test_a_folder_that_others_can_write_to_is_closed_to_them_with_a_warning(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    tmp_path.chmod(mode)
    with locked(tmp_path):
        assert not mode_of(tmp_path) & OTHERS_WRITE
    assert f"others could write to the state folder {tmp_path}" in caplog.text
    caplog.clear()
    with locked(tmp_path):
        assert not caplog.text


def test_a_folder_that_others_may_only_read_is_left_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    tmp_path.chmod(0o755)
    with locked(tmp_path):
        assert (mode_of(tmp_path), caplog.text) == (0o755, "")


def test_a_folder_that_is_meant_for_all_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(ConfigError, match=f"chmod 700 {tmp_path}"), locked(tmp_path):
        pass
    assert mode_of(tmp_path) == 0o1777


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot be had here: changing users needs root")
def test_a_folder_of_another_user_that_all_can_write_to_is_refused(public: Path) -> None:
    public.chmod(0o777)
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(public)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "everybody on this machine can write to the state folder" in ran.stderr
    assert mode_of(public) == 0o777


def test_a_folder_on_a_disk_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a network file system: it was a traceback."""

    def no_locks(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    said = r"cannot be locked \(No locks available\); give a --state-dir on a disk of this machine"
    with pytest.raises(ConfigError, match=said), locked(tmp_path):
        pass
    with pytest.raises(ConfigError, match=said):
        is_in_use(tmp_path)


def test_whether_a_node_uses_a_folder_can_be_asked(tmp_path: Path) -> None:
    assert not is_in_use(tmp_path / "none")
    with locked(tmp_path):
        assert is_in_use(tmp_path)
    assert not is_in_use(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot be had here: changing users needs root")
@pytest.mark.parametrize("below", ["", "mine"])
def test_the_program_says_so_too_of_a_folder_that_it_cannot_even_read(below: str) -> None:
    """The command line's own check of the folder once came first, and named neither user; below a
    folder that may not be entered, the node ended with a traceback."""
    with tempfile.TemporaryDirectory() as theirs:
        ran = subprocess.run(
            [sys.executable, "-c", MAIN_AS_NOBODY, "--state-dir", str(Path(theirs, below))],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert ran.returncode == 2, ran.stderr
    assert f"{theirs} belongs to user 0, and this node runs as user 65534" in ran.stderr
