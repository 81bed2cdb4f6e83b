"""`--play`: plays sound by any program that is installed.

Most desktops have one of these; each is tried until one succeeds. The last is our own, with the
Python package `sounddevice` (the extra `play`).
"""

import asyncio
import shutil
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from client import sound_library
from privox_dht.atomic_file import replace_file
from privox_dht.errors import ConfigError

ANY = ("wav", "mp3", "flac", "opus", "aac", "m4a")
SETTLE = 2.0  # seconds between SIGTERM and SIGKILL
WHAT_TO_DO = (
    "install one (Debian: sudo apt install alsa-utils), pip install 'privox-dht[play]',"
    " or leave out --play and use --output FILE"
)


@dataclass(frozen=True, slots=True)
class Player:
    """A program that plays a file, and the formats that it certainly plays."""

    command: tuple[str, ...]  # the file's name is added
    formats: tuple[str, ...]
    name: str = ""  # if it is not the command's

    def __str__(self) -> str:
        return self.name or self.command[0]

    @property
    def is_here(self) -> bool:
        if self is SOUND_LIBRARY:
            return sound_library.is_available()
        return shutil.which(self.command[0]) is not None


SOUND_LIBRARY = Player((sys.executable, "-m", sound_library.__name__), ("wav",), name="sounddevice")


PLAYERS = (
    Player(("pw-play",), ("wav", "flac")),
    Player(("paplay",), ("wav", "flac")),
    Player(("aplay", "-q"), ("wav",)),
    Player(("afplay",), ("wav", "mp3", "aac", "m4a", "flac")),
    Player(("ffplay", "-nodisp", "-autoexit", "-loglevel", "error"), ANY),
    Player(("play", "-q"), ("wav", "flac")),
    SOUND_LIBRARY,
)


def players_for(format: str) -> list[Player]:
    """The players on this machine that can play such a file, the best first.

    Raises:
        ConfigError: there are none; says what to do.
    """
    here = [player for player in PLAYERS if player.is_here]
    if not here:
        names = ", ".join(map(str, PLAYERS))
        raise ConfigError(f"--play finds no player here ({names}): {WHAT_TO_DO}")
    if able := [player for player in here if format in player.formats]:
        return able
    names = ", ".join(map(str, here))
    raise ConfigError(
        f"--play: no player here ({names}) plays {format}; play wav, or install ffmpeg"
    )


async def play(sound: bytes, format: str) -> str:
    """Play a whole file to its end. Cancelling stops the sound.

    Returns: the name of the program that played it.

    Raises:
        ConfigError: no program could; says why.
    """
    errors = []
    players = players_for(format)
    with tempfile.TemporaryDirectory(prefix="privox-") as folder:
        file = Path(folder, f"speech.{format}")
        replace_file(file, sound)
        for player in players:
            error = await _run([*player.command, str(file)])
            if error is None:
                return str(player)
            errors.append(f"{player}: {error}")
    raise ConfigError(f"the sound cannot be played: {'; '.join(errors)}")


async def _run(command: list[str]) -> str | None:
    """None if it played; else the last line of its stderr."""
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
        _, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            await _end(process)
    if process.returncode == 0:
        return None
    lines = stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {process.returncode}"


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(SETTLE):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
