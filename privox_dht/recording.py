"""Decoded sound that processes share: one writes it, another one reads it, and the node copies
nothing.

    async with aclosing(Recording.room(rate, seconds)) as recording:
                                                         an empty file for so many seconds
        ...                                              a process writes samples to `.file`
        recording.count = ...                            and reports their number
        recording.samples()                              all of them, without a copy

The samples are mono float32 in -1..1. On Linux they are in unnamed memory, which cannot grow beyond
its room; elsewhere in an unnamed temporary file. They are freed when the last process closes them.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from typing import TYPE_CHECKING, Self

from privox_dht.atomic_file import close_unnamed, write_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BYTES = 4  # of a sample
BLOCK = 512  # bytes; what `st_blocks` counts


class Recording:
    """Mono float32 samples at `rate` Hz."""

    def __init__(self, rate: int, file: int, count: int = 0) -> None:
        self.rate = rate
        self.file = file  # an open file, closed by `close`
        self.count = count  # samples

    def __repr__(self) -> str:
        return f"<Recording {self.seconds:.2f} s at {self.rate} Hz>"

    @classmethod
    def room(cls, rate: int, seconds: float) -> Self:
        """An empty recording with room for `seconds`; the room takes no memory until it is used."""
        size = int(seconds * rate) * BYTES
        if sys.platform == "linux":
            import fcntl

            file = os.memfd_create("recording", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(file, size)
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)
        else:
            with tempfile.TemporaryFile() as unnamed:
                file = os.dup(unnamed.fileno())
            os.ftruncate(file, size)
        return cls(rate, file)

    @classmethod
    def of(cls, pcm: NDArray[np.float32], rate: int) -> Self:
        """A recording of these samples."""
        recording = cls.room(rate, pcm.size / rate + 1)
        write_all(recording.file, memoryview(pcm.astype("<f4", copy=False).data).cast("B"))
        recording.count = pcm.size
        return recording

    @property
    def seconds(self) -> float:
        return self.count / self.rate

    def samples(self) -> NDArray[np.float32]:
        """The samples without a copy: a read-only array, which keeps them in memory."""
        import numpy

        if not self.count:
            return numpy.empty(0, numpy.float32)
        shared = mmap.mmap(self.file, self.count * BYTES, prot=mmap.PROT_READ)
        return numpy.frombuffer(shared, numpy.float32)

    def part(self, start: int, end: int) -> NDArray[np.float32]:
        """A copy of the samples from `start` to before `end`."""
        import numpy

        data = os.pread(self.file, (min(end, self.count) - start) * BYTES, start * BYTES)
        return numpy.frombuffer(data, numpy.float32)

    def close(self) -> None:
        os.close(self.file)

    async def aclose(self) -> None:
        """Close it; a large one in a thread."""
        used = os.fstat(self.file).st_blocks * BLOCK  # known even if `count` is not set
        await close_unnamed(self.close, used)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
