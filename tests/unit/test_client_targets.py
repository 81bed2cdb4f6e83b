"""Where each result goes, and in which format: by the output's name, or by --format."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from client.run import spread_files
from client.targets import AUDIO, TEXT, Target, ending_of, format_for, formats_of, targets_of
from privox_dht import speech, transcript
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


@pytest.mark.parametrize(
    ("service", "output", "asked", "format"),
    [
        ("stt", "s.srt", "", "srt"),
        ("stt", "s.VTT", "", "vtt"),
        ("stt", "dir.d/s.json", "", "json"),
        ("stt", "s.txt", "", "text"),
        ("stt", "s.tsv", "", "tsv"),
        ("stt", "s.srt", "srt", "srt"),
        ("stt", "notes.md", "text", "text"),
        ("stt", "", "txt", "text"),
        ("tts", "x.mp3", "", "mp3"),
        ("tts", "x.m4a", "", "m4a"),
        ("tts", "x.ogg", "", "opus"),
        ("tts", "x.ogg", "opus", "opus"),
        ("tts", "x.aac", "", "aac"),
        ("tts", "x.flac", "", "flac"),
        ("tts", "x.sound", "mp3", "mp3"),
        *(("stt", name, "", "text") for name in ("", "-", "s", "/dev/null", "a.d/s", ".hidden")),
        *(("tts", name, "", "wav") for name in ("", "-", "x", "/dev/stdout", "/dev/fd/63")),
        *(("tts", name, "mp3", "mp3") for name in ("", "-", "x")),
    ],
)
def test_the_name_decides_the_format_and_a_name_without_an_ending_decides_nothing(
    service: str, output: str, asked: str, format: str
) -> None:
    assert format_for(service, output, asked) == format


@pytest.mark.parametrize(
    ("service", "output", "asked", "said"),
    [
        ("tts", "x.xyz", "", "x.xyz does not say which format.*.wav, .mp3, .flac, .opus, .aac"),
        ("stt", "s.doc", "", "s.doc does not say which format.*.txt, .json, .srt, .vtt, .tsv"),
        ("tts", "x.mp3", "wav", "--format wav contradicts the name x.mp3, which says mp3"),
        ("tts", "x.m4a", "aac", "--format aac contradicts the name x.m4a, which says m4a"),
        ("tts", "x.ogg", "flac", "contradicts"),
        ("stt", "s.srt", "vtt", "--format vtt contradicts the name s.srt, which says srt"),
        ("stt", "s.wav", "", "does not say which format"),
        ("stt", "s.wav", "text", "cannot write s.wav, since .wav files hold sound"),
        ("tts", "x.txt", "wav", "cannot write x.txt, since .txt files hold text"),
        ("tts", "", "doc", "--format doc is not for tts; there is: wav, mp3"),
        ("stt", "", "mp3", "--format mp3 is not for stt; there is: text, json, srt, vtt, tsv"),
    ],
)
def test_a_name_that_says_nothing_known_or_something_else_is_refused(
    service: str, output: str, asked: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        format_for(service, output, asked)


def test_every_format_has_an_ending_and_can_be_written() -> None:
    assert set(AUDIO.values()) == set(speech.AUDIO_FORMATS) == set(formats_of("tts"))
    for format in formats_of("stt"):
        assert TEXT[ending_of("stt", format)] == format
    assert {*formats_of("stt"), "verbose_json"} == set(transcript.CONTENT_TYPES)


@pytest.mark.parametrize(
    ("output", "kept"), [("talk.srt", "talk.srt.part"), ("/dev/null", None), ("-", None)]
)
def test_the_pieces_of_what_goes_to_no_file_are_not_kept_beside_it(
    output: str, kept: str | None
) -> None:
    """root made /dev/null.part, and after Ctrl-C the transcript stayed in it."""
    assert Target("talk.ogg", output, "srt").part == (kept and Path(kept))
