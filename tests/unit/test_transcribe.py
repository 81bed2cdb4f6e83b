"""What is written when nothing, or only a part of a recording, was heard."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest
from click.testing import CliRunner, Result

import client.cli
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed
from privox_dht.speech import AudioInfo, Segment, Transcript
from privox_dht.transcript import gather


def run(*arguments: str) -> Result:
    return CliRunner().invoke(client.cli.main, arguments)


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
    assert f"the transcript so far, 0:02 of 0:09, is in {tmp_path}/a.txt" in ran.stderr
