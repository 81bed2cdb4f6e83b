"""The pieces of a recording, decoded as they are needed: the whole is never in memory.

file -> FFmpeg -> 16 kHz 16-bit mono blocks -> Cutter -> pieces

Producers get exactly the samples that they would have decoded themselves. FFmpeg works in a thread,
about a piece at a time. Of a truncated file, the readable part is used.
"""

import asyncio
from collections import deque
from collections.abc import Generator
from http import HTTPStatus
from typing import Protocol

from privox_dht.audio.decoding import decode_blocks, length_hint
from privox_dht.audio.sample_sink import FULL_SCALE
from privox_dht.dispatch.work import Audio, opened
from privox_dht.errors import RequestRejected
from privox_dht.scatter.cut import RATE, Cutter, Piece
from privox_dht.scatter.scattered_job import Pieces

NO_PYAV = "PyAV is not installed here: pip install 'privox-dht[audio]'"
UNBOUNDED = float("inf")  # seconds; the recording is the user's own, and little of it is held


class Sound(Pieces[Piece], Protocol):
    """Where the pieces of a recording come from."""

    decode_error: RequestRejected | None  # why decoding stopped early


class PieceSource:
    """A recording's pieces in order.

    Args:
        audio: its bytes, its path, or a seekable binary file, which stays open.
        most: seconds that it may have at most.
    """

    def __init__(self, audio: Audio, most: float = UNBOUNDED) -> None:
        self._most = most
        self.claimed_seconds = 0.0  # seconds, by the file's header; 0: unknown
        self.seconds = 0.0  # decoded so far
        self.ended = False
        self.decode_error: RequestRejected | None = None  # why decoding stopped early
        self._audio = audio
        self._decoding = self._decoded()
        self._ready: deque[Piece] = deque()
        self._preparing: asyncio.Future[list[Piece] | None] | None = None

    def __repr__(self) -> str:
        return f"<PieceSource {self.seconds:.0f} of {self.claimed_seconds:.0f} s>"

    def take(self) -> Piece | None:
        """The next piece that is ready; None: there is none."""
        return self._ready.popleft() if self._ready else None

    def __len__(self) -> int:
        """How many pieces are ready to be taken."""
        return len(self._ready)

    async def prepare(self) -> None:
        """Decode until there is one more piece, or until the end: then `ended` is true.

        Raises:
            RequestRejected: 413, the recording is longer than `most`.
        """
        loop = asyncio.get_running_loop()
        self._preparing = loop.run_in_executor(None, next, self._decoding, None)
        pieces = await asyncio.shield(self._preparing)
        if pieces is None:
            self.ended = True
        else:
            self._ready.extend(pieces)

    async def close(self) -> None:
        """Stop decoding, and wait for the thread."""
        if self._preparing is not None:
            await asyncio.gather(self._preparing, return_exceptions=True)
        self._decoding.close()

    def _decoded(self) -> Generator[list[Piece]]:
        """Decode in a thread: the pieces, some at a time."""
        import numpy

        cutter = Cutter()
        with opened(self._audio) as file:
            self.claimed_seconds = length_hint(file)
            try:
                for block in decode_blocks(file, RATE, max_seconds=self._most, timeout=UNBOUNDED):
                    pieces = cutter.feed((block * (1 / FULL_SCALE)).astype(numpy.int16))
                    self.seconds = cutter.seconds
                    if pieces:
                        yield pieces
            except RequestRejected as exc:
                if exc.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                    raise
                self.decode_error = exc
        yield cutter.finish()
