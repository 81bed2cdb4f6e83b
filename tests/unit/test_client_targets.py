"""Where each transcript goes, and how several recordings are named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from client.run import spread_files
from client.targets import targets_of
from privox_dht.errors import ConfigError


def named(
    recordings: Sequence[str], output: str = "", asked: str = "", as_json: bool = False
) -> list[tuple[str, str, str]]:
    return [
        (target.recording, target.output, target.format)
        for target in targets_of(recordings, output, asked, as_json=as_json)
    ]


def test_one_recording_goes_to_stdout_to_a_file_or_into_a_folder(tmp_path: Path) -> None:
    assert named(["a.ogg"]) == [("a.ogg", "-", "text")]
    assert named(["a.ogg"], "b.srt") == [("a.ogg", "b.srt", "srt")]
    assert named(["x/a.b.ogg"], f"{tmp_path}", "vtt") == [
        ("x/a.b.ogg", f"{tmp_path}/a.b.vtt", "vtt")
    ]


def test_several_recordings_go_into_a_folder_or_into_lines_of_json() -> None:
    assert named(["a.ogg", "-"], "new/", "srt") == [
        ("a.ogg", "new/a.srt", "srt"),
        ("-", "new/stdin.srt", "srt"),
    ]
    assert named(["a.ogg", "b.ogg"], as_json=True) == [
        ("a.ogg", "", "text"),
        ("b.ogg", "", "text"),
    ]


@pytest.mark.parametrize(
    ("recordings", "output", "said"),
    [
        (["a.ogg", "b.ogg"], "", "2 recordings need a folder .*--output FOLDER/"),
        (["a.ogg", "b.ogg"], "both.srt", "need a folder"),
        (["a.ogg", "x/a.mp3"], "new/", "a.ogg and x/a.mp3 would both go to new/a.txt"),
        (["-", "-"], "new/", "there is one stdin"),
    ],
)
def test_what_would_overwrite_something_is_refused(
    recordings: Sequence[str], output: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        named(recordings, output)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--file a b - --json", "--file a --file b --file - --json"),
        ("--file a --file b c", "--file a --file b --file c"),
        ("--service stt --file a -o x", "--service stt --file a -o x"),
        ("--json --file a list", "--json --file a list"),
        ("--text a b", "--text a b"),
    ],
)
def test_what_a_shell_makes_of_a_star_is_understood(given: str, meant: str) -> None:
    assert spread_files(given.split(), {"list"}) == meant.split()
