"""Decoded sound that processes share: one writes it, another reads it, and the node between them
copies nothing.

    async with aclosing(Recording.room(rate, seconds)) as recording:
                                                         room for so much, none of it used yet
        ...                                              a process writes samples to `.file`
        recording.count = ...                            and says how many
        recording.samples()                              all of them, without copying any

The samples are mono float32 in -1..1. On Linux they are in memory that has no name, and cannot be
made larger than the room; elsewhere in a temporary file that has none. They go with the last
process that holds them.
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
        self.file = file  # an open file; it is ours to close
        self.count = count  # samples

    def __repr__(self) -> str:
        return f"<Recording {self.seconds:.2f} s at {self.rate} Hz>"

    @classmethod
    def room(cls, rate: int, seconds: float) -> Self:
        """Room for so many seconds, which takes no memory before it is used."""
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
        """The samples where they are; read-only, and there for as long as the array is."""
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
        """Let go of it, off the loop where it is large."""
        used = os.fstat(self.file).st_blocks * BLOCK  # also where nobody said how many samples
        await close_unnamed(self.close, used)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
