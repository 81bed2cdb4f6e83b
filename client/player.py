"""`--play`: sound out of the loudspeakers, by whatever program there is.

No library is needed: a desktop has one of these. Each is tried until one succeeds.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from privox_dht.atomic_file import replace_file
from privox_dht.errors import ConfigError

ANY = ("wav", "mp3", "flac", "opus", "aac", "m4a")
SETTLE = 2.0  # seconds for a player to end once it was told to
WHAT_TO_DO = (
    "install one (Debian: sudo apt install alsa-utils), or leave out --play and use --output FILE"
)


@dataclass(frozen=True, slots=True)
class Player:
    """A program that plays a file, and the formats that it surely knows."""

    command: tuple[str, ...]  # the file's name is added
    formats: tuple[str, ...]


PLAYERS = (
    Player(("pw-play",), ("wav", "flac")),
    Player(("paplay",), ("wav", "flac")),
    Player(("aplay", "-q"), ("wav",)),
    Player(("afplay",), ("wav", "mp3", "aac", "m4a", "flac")),
    Player(("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ANY),
    Player(("play", "-q"), ("wav", "flac")),
)


def players_for(format: str) -> list[Player]:
    """The players on this machine that can play such a file, the best first.

    Raises:
        ConfigError: there are none; says what to do.
    """
    here = [player for player in PLAYERS if shutil.which(player.command[0])]
    if not here:
        names = ", ".join(player.command[0] for player in PLAYERS)
        raise ConfigError(f"--play finds no player here ({names}): {WHAT_TO_DO}")
    if able := [player for player in here if format in player.formats]:
        return able
    names = ", ".join(player.command[0] for player in here)
    raise ConfigError(
        f"--play: no player here ({names}) plays {format}; play wav, or install ffmpeg"
    )


async def play(sound: bytes, format: str) -> str:
    """Play a whole file to its end. Cancelling stops the sound.

    Returns: the name of the program that did it.

    Raises:
        ConfigError: none could; says why.
    """
    complaints = []
    players = players_for(format)
    with tempfile.TemporaryDirectory(prefix="privox-") as folder:
        file = Path(folder, f"speech.{format}")
        replace_file(file, sound)
        for player in players:
            complaint = await _run([*player.command, str(file)])
            if complaint is None:
                return player.command[0]
            complaints.append(f"{player.command[0]}: {complaint}")
    raise ConfigError(f"the sound cannot be played: {'; '.join(complaints)}")


async def _run(command: list[str]) -> str | None:
    """None if it played; else what it said."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as exc:
        return exc.strerror or str(exc)
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode == 0:
        return None
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {process.returncode}"


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), SETTLE)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
