"""`privox-node pause` and `resume`, and the file between them and the node."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nodes import pause, pause_command
from nodes.cli import main
from nodes.lender import LENDING_FILE, LendingState, read_lending_state
from nodes.lending import Pause
from nodes.state_lock import locked
from privox_dht.errors import ConfigError


def run(folder: Path, *command: str) -> Result:
    return CliRunner().invoke(main, [*command, "--state-dir", str(folder)])


def test_a_pause_is_read_as_it_was_written_and_ends_once(tmp_path: Path) -> None:
    assert pause.read(tmp_path) is None and not pause.end(tmp_path)
    for some in (Pause(), Pause(1_800_000_000.5)):
        pause.write(tmp_path, some)
        assert pause.read(tmp_path) == some
    assert pause.end(tmp_path) and pause.read(tmp_path) is None


@pytest.mark.parametrize("written", [b"", b"not JSON", b"[]", b'{"until": "soon"}', b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_pause_without_an_end(
    tmp_path: Path, written: bytes
) -> None:
    (tmp_path / pause.PAUSE_FILE).write_bytes(written)
    assert pause.read(tmp_path) == Pause(None)


def test_a_folder_that_takes_no_file_or_keeps_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot write .*pause\.json: No such file"):
        pause.write(tmp_path / "none", Pause())
    (tmp_path / pause.PAUSE_FILE).mkdir()
    with pytest.raises(ConfigError, match=r"cannot remove .*pause\.json"):
        pause.end(tmp_path)


def test_where_no_node_runs_the_next_one_is_paused_until_it_is_resumed(tmp_path: Path) -> None:
    said = run(tmp_path, "pause").output.splitlines()
    assert said == [
        "paused until privox-node resume", "no node runs here now: the next one starts paused"
    ]  # fmt: skip
    assert pause.read(tmp_path) == Pause(None)
    assert run(tmp_path, "resume").output.splitlines() == [
        "not paused any more", "no node runs here now"
    ]  # fmt: skip
    assert "it was not paused" in run(tmp_path, "resume").output


def test_a_pause_may_end_by_itself(tmp_path: Path) -> None:
    before = time.time()
    assert "paused until " in run(tmp_path, "pause", "--for", "1h30m").output
    found = pause.read(tmp_path)
    assert found is not None and found.until is not None
    assert before + 5_400 <= found.until <= time.time() + 5_400


def test_a_folder_of_no_node_is_said(tmp_path: Path) -> None:
    ran = run(tmp_path / "none", "pause")
    assert ran.exit_code != 0 and not (tmp_path / "none").exists()


def test_a_folder_that_cannot_even_be_looked_at_is_said(tmp_path: Path) -> None:
    """A name that is too long, like a folder above that others may not enter, was a traceback."""
    ran = run(tmp_path / ("x" * 300), "pause")
    assert ran.exit_code == 2 and "no node keeps its state in" in ran.output


def test_a_pause_of_more_than_a_year_is_refused(tmp_path: Path) -> None:
    """Its end is in no calendar: the command and the node failed over that."""
    ran = run(tmp_path, "pause", "--for", "9999999d")
    assert ran.exit_code == 2 and "more than a year" in ran.output
    assert pause.read(tmp_path) is None


@pytest.mark.parametrize(
    ("command", "state", "said"),
    [
        (
            "pause",
            LendingState(0, 4, "paused", paused=True),
            "the node does not lend: paused; what runs is finished",
        ),
        ("resume", LendingState(4, 4), "the node lends 4 of 4 slots"),
        ("pause", None, "the node has not answered yet"),
        ("resume", LendingState(0, 4, "paused", paused=True), "the node has not answered yet"),
    ],
)
def test_a_running_node_answers_once_it_has_seen_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str,
    state: LendingState | None, said: str,
) -> None:  # fmt: skip
    """A node that starts has said nothing yet; one that is stuck still says what was before."""
    monkeypatch.setattr(pause_command, "ANSWER_TIMEOUT", 0.1)
    pause.write(tmp_path, Pause())
    if state is not None:
        (tmp_path / LENDING_FILE).write_text(json.dumps(asdict(state)))
        assert read_lending_state(tmp_path) == state
    with locked(tmp_path):
        assert said in run(tmp_path, command).output
