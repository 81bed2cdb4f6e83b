"""Playing, with players that the test writes, and with real ones into a file.

The real ones are Debian's aplay and PortAudio: ALSA is told that the loudspeaker is a file.
"""

import asyncio
import ctypes.util
import importlib.util
import os
import shutil
import sys
import types
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from client import sound_library
from client.player import PLAYERS, SOUND_LIBRARY, Player, play, players_for
from privox_dht.errors import ConfigError

Install = Callable[[str, str], None]  # a program's name, and what it does


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a shell script on an otherwise empty PATH, where no library is either."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sound_library, "is_available", lambda: False)

    def put(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)

    return put


def test_without_a_player_it_says_what_to_install(install: Install) -> None:
    with pytest.raises(
        ConfigError, match=r"no player here \(pw-play.*alsa-utils.*\[play\].*--output FILE"
    ):
        players_for("wav")


def test_a_player_that_does_not_know_the_format_is_not_asked(install: Install) -> None:
    install("aplay", "")
    with pytest.raises(ConfigError, match=r"no player here \(aplay\) plays mp3; play wav"):
        players_for("mp3")
    install("ffplay", "")
    assert [player.command[0] for player in players_for("mp3")] == ["ffplay"]


async def test_the_sound_is_handed_over_as_a_file_and_nothing_is_left_of_it(
    install: Install, tmp_path: Path
) -> None:
    install("aplay", f'cp "$2" {tmp_path}/heard; echo "$2" > {tmp_path}/name')
    assert await play(b"RIFF sound", "wav") == "aplay"
    assert (tmp_path / "heard").read_bytes() == b"RIFF sound"
    file = Path((tmp_path / "name").read_text().strip())
    assert file.name == "speech.wav"
    assert not file.parent.exists()


async def test_a_player_that_fails_gives_way_to_the_next(install: Install) -> None:
    """Programs for a sound server are often there, and the server is not."""
    install("pw-play", "echo 'pw: connection refused' >&2; exit 1")
    install("aplay", "exit 0")
    assert await play(b"RIFF", "wav") == "aplay"


async def test_when_all_fail_their_last_words_are_told(install: Install) -> None:
    install("pw-play", "echo first >&2; echo 'connection refused' >&2; exit 1")
    install("aplay", "exit 3")
    with pytest.raises(ConfigError, match="pw-play: connection refused; aplay: exit code 3"):
        await play(b"RIFF", "wav")


async def test_cancelling_stops_the_sound(install: Install, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "playing")
    install("aplay", f"echo $$ > {tmp_path}/playing; exec sleep 60")
    playing = asyncio.create_task(play(b"RIFF", "wav"))
    number = int(await asyncio.to_thread((tmp_path / "playing").read_text))
    playing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await playing
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_the_sound_library_is_the_last_that_is_tried(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sound_library, "is_available", lambda: True)
    install("aplay", "")
    assert [str(player) for player in players_for("wav")] == ["aplay", "sounddevice"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there PortAudio is a package apart")
def test_the_sound_library_without_portaudio_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    assert not sound_library.is_available()


def is_here(player: Player) -> bool:
    if player is SOUND_LIBRARY:
        found = importlib.util.find_spec("sounddevice") and ctypes.util.find_library("portaudio")
        return bool(found)
    return shutil.which(player.command[0]) is not None


@pytest.mark.skipif(sys.platform != "linux", reason="cannot be had here: ALSA")
@pytest.mark.parametrize("name", ["aplay", "sounddevice"])
async def test_every_sample_reaches_the_loudspeaker(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (player,) = [player for player in PLAYERS if str(player) == name]
    if not is_here(player):
        pytest.skip(f"cannot be had here: {name}")
    monkeypatch.setattr("client.player.PLAYERS", (player,))
    heard, settings = tmp_path / "heard", tmp_path / "asound.conf"
    settings.write_text(
        f'pcm.!default {{ type file file "{heard}" format raw slave.pcm {{ type null }} }}\n'
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(settings))
    samples = bytes(n % 251 for n in range(2 * 22_050))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 22_050, 0, "NONE", ""))
        sound.writeframes(samples)
    assert await play((tmp_path / "sound.wav").read_bytes(), "wav") == name
    played = heard.read_bytes()
    assert played[: len(samples)] == samples
    assert not any(played[len(samples) :]), "what fills the last period is silence"


def test_a_library_that_cannot_play_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_here(SOUND_LIBRARY):
        pytest.skip("cannot be had here: sounddevice")
    garbage = tmp_path / "garbage.wav"
    garbage.write_bytes(b"no sound at all")
    monkeypatch.setattr(sys, "argv", ["", str(garbage)])
    monkeypatch.setattr("sounddevice.query_devices", lambda: ["a loudspeaker"])
    assert sound_library.main() == 1
    assert capfd.readouterr().err.strip() == "file does not start with RIFF id"


class Loudspeaker:
    """Instead of PortAudio's; what it was given to play."""

    def __init__(self, **settings: object) -> None:
        self.settings, self.heard = settings, bytearray()

    def __enter__(self) -> "Loudspeaker":
        return self

    def __exit__(self, *exc: object) -> None:
        return

    def write(self, piece: bytes) -> None:
        self.heard += piece


@pytest.mark.parametrize(
    ("width", "devices", "why"),
    [
        (2, ["a loudspeaker"], ""),
        (1, ["a loudspeaker"], "8 bits a sample; only 16 are played"),
        (2, [], "no sound device is found"),
    ],
)
def test_a_file_of_16_bits_is_played_whole_and_what_is_not_played_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    width: int, devices: list[str], why: str,
) -> None:  # fmt: skip
    made: list[Loudspeaker] = []

    def opened(**settings: object) -> Loudspeaker:
        made.append(Loudspeaker(**settings))
        return made[-1]

    library = types.SimpleNamespace(query_devices=lambda: devices, RawOutputStream=opened)
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    samples = bytes(n % 251 for n in range(2 * 22_050))
    file = tmp_path / "sound.wav"
    with wave.open(str(file), "wb") as sound:
        sound.setparams((1, width, 22_050, 0, "NONE", ""))
        sound.writeframes(samples)
    monkeypatch.setattr(sys, "argv", ["", str(file)])
    assert sound_library.main() == (1 if why else 0)
    assert capfd.readouterr().err.strip() == why
    assert [bytes(one.heard) for one in made] == ([] if why else [samples])
    played = {"samplerate": 22_050, "channels": 1, "dtype": "int16"}
    assert [one.settings for one in made] == ([] if why else [played])


def test_without_the_package_there_is_no_sound_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: "libportaudio.so.2")
    assert not sound_library.is_available()
