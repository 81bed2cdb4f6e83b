"""A long sound that is written while it is spoken.

stdout   piece by piece, as fast as its reader reads
a file   the same; it can be played while it grows; the length in its header is set at the end
Ctrl-C, or an error    what was spoken until then stays there, and a message says so
"""

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from client.files import STDIO, write_within, writing_to
from privox_dht import units
from privox_dht.audio import patch_sizes
from privox_dht.cli.output import sanitize

STDOUT_WAIT = 0.5  # seconds to wait for stdout between checks whether the job was cancelled


class GrowingSound:
    """Writes one sound to its output, which is not opened before the first piece."""

    def __init__(self, output: str, format: str) -> None:
        self.size = 0  # bytes so far
        self._output = output
        self._format = format
        self._file: BinaryIO | None = None

    def __str__(self) -> str:
        where = "on stdout" if self._output == STDIO else f"in {sanitize(self._output)}"
        return f"{units.size(self.size)} of {self._format} {where}"

    async def add(self, data: bytes) -> None:
        """Write the next piece.

        Raises:
            ConfigError: it cannot be written.
            BrokenPipeError: the reader of stdout is gone.
        """
        self.size += len(data)
        if self._output != STDIO:
            await asyncio.to_thread(self._append, data)
            return
        while data:
            data = await asyncio.to_thread(write_within, data, STDOUT_WAIT)

    def end(self) -> None:
        """End the sound, complete or not.

        Raises:
            ConfigError: it cannot be written.
        """
        if self._file is None:
            return
        with writing_to(self._output), self._file as file:
            if self._format == "wav" and file.seekable():
                patch_sizes(file)
            with suppress(OSError):  # a pipe, a device
                os.fsync(file.fileno())

    def _append(self, data: bytes) -> None:
        with writing_to(self._output):
            if self._file is None:
                self._file = Path(self._output).open("wb")  # noqa: SIM115 - closed by `end`
            self._file.write(data)
            self._file.flush()
