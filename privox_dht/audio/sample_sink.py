"""Converts decoded frames to samples at the wanted rate, within limits.

Memory is allocated for samples that exist, never for a length that a header states.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from privox_dht import limits
from privox_dht.audio.refusals import CLAIM_TOLERANCE, bad_rate, refused, too_long

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FULL_SCALE = 1 / 32_768  # of a 16-bit sample. The resampler's output has 16 bits: so the average of
# channels is never out of range, and there is no NaN


class SampleSink:
    """Resamples frames, and checks the limits on their number and on the time."""

    def __init__(self, rate: int, max_seconds: float, timeout: float) -> None:
        import av
        import numpy

        self._numpy = numpy
        self._new_resampler = partial(av.AudioResampler, "s16", "mono", rate)
        self._resampler: Any = self._new_resampler()
        self._form: tuple[Any, ...] | None = None  # of the frames that it gets
        self._rate = rate
        self._max_seconds = max_seconds
        self._timeout = timeout
        self._ends = time.monotonic() + timeout
        self.count = 0

    @property
    def seconds(self) -> float:
        return self.count / self._rate

    def check_deadline(self) -> None:
        """Raises: RequestRejected: decoding takes too long."""
        if time.monotonic() > self._ends:
            raise refused(f"decoding took more than {self._timeout:.0f} s", status=413)

    def check_claim(self, seconds: float) -> None:
        """Reject a file whose header states too great a length, before decoding it."""
        if seconds > self._max_seconds * CLAIM_TOLERANCE:
            raise too_long(self._max_seconds)

    def add(self, frame: Any) -> Iterator[NDArray[np.float32]]:
        """The samples of a decoded frame; of None, the end, the rest from the resampler. Rate and
        channels may change from one frame to the next, as in files that were joined."""
        form = None
        if frame is not None:
            if frame.sample_rate > limits.MAX_RATE or frame.sample_rate < limits.MIN_RATE:
                raise bad_rate(frame.sample_rate)
            frame.pts = None  # gaps in the file's time stamps do not become silence
            form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._form not in (None, form):
            yield from self._resample(None)
            self._resampler = self._new_resampler()
        self._form = form
        if frame is not None:
            yield from self._resample(frame)

    def _resample(self, frame: Any) -> Iterator[NDArray[np.float32]]:
        for resampled in self._resampler.resample(frame):
            samples = resampled.to_ndarray().reshape(-1)
            self.count += samples.size
            if self.seconds > self._max_seconds:
                raise too_long(self._max_seconds)
            yield self._numpy.multiply(samples, FULL_SCALE, dtype=self._numpy.float32)
