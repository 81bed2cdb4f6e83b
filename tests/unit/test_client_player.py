"""Playing, with players that the test writes."""

import asyncio
import os
from pathlib import Path

import pytest

from client.player import play, players_for
from privox_dht.errors import ConfigError


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a shell script on an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    return put


def test_without_a_player_it_says_what_to_install(install):
    with pytest.raises(ConfigError, match=r"no player here \(pw-play.*alsa-utils.*--output FILE"):
        players_for("wav")


def test_a_player_that_does_not_know_the_format_is_not_asked(install):
    install("aplay", "")
    with pytest.raises(ConfigError, match=r"no player here \(aplay\) plays mp3; play wav"):
        players_for("mp3")
    install("ffplay", "")
    assert [player.command[0] for player in players_for("mp3")] == ["ffplay"]


async def test_the_sound_is_handed_over_as_a_file_and_nothing_is_left_of_it(install, tmp_path):
    install("aplay", f'cp "$2" {tmp_path}/heard; echo "$2" > {tmp_path}/name')
    assert await play(b"RIFF sound", "wav") == "aplay"
    assert (tmp_path / "heard").read_bytes() == b"RIFF sound"
    file = Path((tmp_path / "name").read_text().strip())
    assert file.name == "speech.wav"
    assert not file.parent.exists()


async def test_a_player_that_fails_gives_way_to_the_next(install):
    """Programs for a sound server are often there, and the server is not."""
    install("pw-play", "echo 'pw: connection refused' >&2; exit 1")
    install("aplay", "exit 0")
    assert await play(b"RIFF", "wav") == "aplay"


async def test_when_all_fail_their_last_words_are_told(install):
    install("pw-play", "echo first >&2; echo 'connection refused' >&2; exit 1")
    install("aplay", "exit 3")
    with pytest.raises(ConfigError, match="pw-play: connection refused; aplay: exit code 3"):
        await play(b"RIFF", "wav")


async def test_cancelling_stops_the_sound(install, tmp_path):
    os.mkfifo(tmp_path / "playing")
    install("aplay", f"echo $$ > {tmp_path}/playing; exec sleep 60")
    playing = asyncio.create_task(play(b"RIFF", "wav"))
    number = int(await asyncio.to_thread((tmp_path / "playing").read_text))
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
