"""How loud a recording is, frame by frame, and where it pauses. Pure.

A frame is quiet when it is 26 dB below the loud ones, or below -60 dB of full scale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FRAME = 0.02  # seconds over which loudness is measured
LOUD = 95  # percentile of the frames' loudness that is taken for speech
QUIET = 0.05  # of that loudness: a pause
SILENT = 1e-3  # of full scale (-60 dB): a pause in any recording


def loudness(pcm: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """The root of the mean square of each whole frame of `pcm` (mono in -1..1 at `rate` Hz)."""
    import numpy

    frame = int(FRAME * rate)
    frames = pcm.size // frame
    grid = pcm[: frames * frame].reshape(frames, frame)
    return cast("NDArray[np.float32]", numpy.sqrt(numpy.einsum("ij,ij->i", grid, grid) / frame))


def runs(wanted: NDArray[np.bool_], least: int) -> list[tuple[int, int]]:
    """Runs of at least `least` frames that are all `wanted`: the first, and one after the last."""
    import numpy

    edges = numpy.flatnonzero(numpy.diff(wanted, prepend=False, append=False))
    pairs = edges.reshape(-1, 2)
    return [(int(begin), int(end)) for begin, end in pairs if end - begin >= least]
