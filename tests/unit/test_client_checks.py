"""No option is silently ignored: it is honoured, or refused with what to do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import click
import pytest
from click.testing import CliRunner, Result

import client.cli
from client.config import ClientConfig
from client.options import OfService
from privox_dht.dispatch.fallback import endpoint_of
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed, ConfigError
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.transcript import gather

STT = ("--service", "stt", "--file", "x.wav")
TTS = ("--service", "tts", "--text", "hello", "-o", "x.wav")


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(client.cli.main, arguments, env=env or {})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*STT, "--text", "hello"), "--text is for --service tts, not for stt"),
        ((*STT, "--voice", "v"), "--voice is for --service tts"),
        ((*STT, "--speed", "2"), "--speed is for --service tts"),
        ((*TTS, "--file", "x.wav"), "--file is for --service stt, not for tts"),
        ((*TTS, "--translate"), "--translate is for --service stt"),
        ((*TTS, "--words"), "--words is for --service stt"),
        ((*STT, "--line-width", "30"), "--line-width is for captions"),
        ((*TTS, "--line-count", "1"), "--line-count is for --service stt"),
        ((*STT, "--play"), "--play is for --service tts"),
        ((*STT, "--words"), "--words are shown by --format json and by --json only"),
        ((*STT, "--words", "--format", "srt"), "--words are shown by"),
        ((*STT, "--words", "-o", "x.srt"), "--words are shown by"),
        ((*STT, "--json", "--format", "srt"), "give --output FILE for the srt"),
        ((*STT, "--json", "--format", "srt", "-o", "-"), "give --output FILE for the srt"),
        ((*STT, "--share", "0.5"), "--share is for --scatter private"),
        ((*STT, "--scatter", "never", "--jobs", "2"), "--jobs is of no use with --scatter never"),
        ((*TTS, "--scatter", "never"), "--scatter is for --service stt"),
        ((*TTS, "--fallback-token-file", __file__), "of no use without --fallback"),
        ((*TTS, "--fallback-token", "s3cret"), "is seen by everybody on this machine"),
        (("--service", "stt", "list"), "--service is of no use to `list`"),
        (("--voice", "v", "list"), "--voice is of no use to `list`"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    told: dict[str, Any], arguments: Sequence[str], said: str
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 2
    assert said in " ".join(ran.output.split())
    assert not told


@pytest.mark.parametrize(
    "arguments",
    [
        (*STT, "--words", "--json"),
        (*STT, "--line-width", "30", "-o", "x.srt"),
        (*STT, "--line-count", "1", "--format", "vtt"),
        (*STT, "--words", "--format", "json"),
        (*STT, "--words", "-o", "x.json"),
        (*STT, "--json", "--format", "srt", "-o", "x.srt"),
        (*TTS, "--json", "--format", "wav"),
        ("--neighbours", "a:1", "--json", "list"),
    ],
)
def test_an_option_that_does_something_is_taken(
    told: dict[str, Any], arguments: Sequence[str]
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == 0, ran.output
    assert told


def test_the_environment_and_a_file_may_hold_options_of_both_services(
    told: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "client.toml"
    file.write_text('voice = "v"\nfile = "x.wav"\nwords = true\n')
    for job in (STT, TTS):
        ran = run("--config", str(file), *job, env={"PRIVOX_SPEED": "2", "PRIVOX_TRANSLATE": "1"})
        assert ran.exit_code == 0, ran.output
    assert run("list", env={"PRIVOX_VOICE": "v"}).exit_code == 0


def test_every_option_whose_help_names_one_service_is_refused_for_the_other() -> None:
    for option in client.cli.main.params:
        help = option.help or "" if isinstance(option, click.Option) else ""
        if help.startswith(("stt", "tts")) and not ("stt:" in help and "tts:" in help):
            assert isinstance(option, OfService), option.name


def test_a_mistake_of_this_kind_is_json_where_json_is_asked_for(told: dict[str, Any]) -> None:
    ran = run("--json", *STT, "--voice", "v")
    assert json.loads(ran.stdout)["exit_code"] == 2


def test_the_token_comes_from_a_file_or_the_environment(
    told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr("client.config.Mesh.join", lambda *a, **how: given.append(how))
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    url = ("--fallback", "https://host")
    assert run(*TTS, *url, "--fallback-token-file", str(file)).exit_code == 0
    ClientConfig.from_flags(told).open_mesh()
    assert run(*TTS, *url, env={"PRIVOX_FALLBACK_TOKEN": "other"}).exit_code == 0
    ClientConfig.from_flags(told).open_mesh()
    assert [how["fallback_token"] for how in given] == ["s3cret", "other"]


@pytest.mark.parametrize("content", ["", "\n", "two\nlines", b"\xff"])
def test_a_file_that_holds_no_token_is_refused(
    told: dict[str, Any], tmp_path: Path, content: bytes | str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert (
        run(*TTS, "--fallback", "https://host", "--fallback-token-file", str(file)).exit_code == 0
    )
    with pytest.raises(ConfigError, match="token"):
        ClientConfig.from_flags(told).open_mesh()


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "http://host", "http://localhost.evil"])
def test_a_token_does_not_travel_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError, match="use https"):
        endpoint_of(url, "s3cret")
    assert endpoint_of(url, "").token is None
    assert endpoint_of(url.replace("http", "https", 1), "s3cret").token == "s3cret"


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1"])
def test_on_this_machine_it_may(url: str) -> None:
    assert endpoint_of(url, "s3cret").token == "s3cret"


class Silent:
    """A mesh in which nothing was heard."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def transcription_events(self, recording: Path, options: object) -> AsyncIterator[object]:
        yield Done(Transcript((), 90.0, ""), None, "direct", 0.1, ())


@pytest.mark.parametrize(
    ("format", "left"), [("text", ""), ("srt", ""), ("vtt", "WEBVTT\n"), ("json", None)]
)
def test_silence_is_said_on_stderr_and_is_no_empty_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, format: str, left: str | None
) -> None:
    monkeypatch.setattr("client.config.ClientConfig.open_mesh", lambda config: Silent())
    recording = tmp_path / "x.wav"
    recording.write_bytes(b"RIFF")
    ran = run("--service", "stt", "--file", str(recording), "--format", format)
    assert ran.exit_code == 0
    assert ran.stderr == "no speech was heard in 1.5 minutes of sound\n"
    if left is not None:
        assert ran.stdout == left


class Dying(Silent):
    """A mesh in which the first recording is heard in part, and nobody does the rest."""

    def __init__(self) -> None:
        self.jobs = 0

    async def transcription_events(self, recording: Path, options: object) -> AsyncIterator[object]:
        self.jobs += 1
        yield AudioInfo(9.0)
        yield Segment(f"part {self.jobs}", 0.0, 2.0)
        if self.jobs == 1:
            raise AllProducersFailed("every producer that was tried failed")
        yield Done(gather([Segment("part 2", 0.0, 2.0)], 9.0), None, "direct", 0.1, ())


def test_of_several_recordings_one_that_was_heard_in_part_is_kept_and_the_next_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mesh = Dying()
    monkeypatch.setattr("client.config.ClientConfig.open_mesh", lambda config: mesh)
    names = [str(tmp_path / name) for name in ("a.wav", "b.wav")]
    for name in names:
        (tmp_path / name).write_bytes(b"RIFF")
    ran = run("--service", "stt", "--file", *names, "--output", f"{tmp_path}/", "--json")
    assert ran.exit_code == 8
    first, second, end = map(json.loads, ran.stdout.splitlines())
    assert (first["error"], first["transcript"]["text"]) == ("AllProducersFailed", "part 1")
    assert (second["transcript"]["text"], end["error"]) == ("part 2", "SomeFailed")
    assert [(tmp_path / f"{name}.txt").read_text() for name in "ab"] == ["part 1\n", "part 2\n"]
    assert f"what was heard, 0:02 of 0:09, is in {tmp_path}/a.txt" in ran.stderr


@pytest.mark.parametrize("url", ["http://host:8000", "http://host:8000/", "http://host:8000/v1/"])
def test_the_fallback_may_be_given_with_and_without_the_v1_of_its_paths(url: str) -> None:
    assert endpoint_of(url, "").base == "http://host:8000"
