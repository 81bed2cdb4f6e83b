"""Resamples 16-bit mono PCM, piece by piece."""

from typing import Any

from privox_dht.audio.decoding import check_for_pyav
from privox_dht.audio.wav_header import SAMPLE


class Resampler:
    """Resamples one sound.

    Args:
        rate: Hz of the input.
        wanted: Hz of the output.

    Raises:
        RequestRejected: 501, PyAV is not installed.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        check_for_pyav(
            f"sound cannot be resampled to {wanted} Hz here without PyAV; wav can be had",
            "response_format",
        )
        import av

        self._rate = rate
        self._half_sample = b""  # the first half of a sample that was cut in two
        self._begun = False
        self._resampler: Any = av.AudioResampler("s16", "mono", wanted)

    def feed(self, pcm: bytes) -> bytes:
        """Resample `pcm`; the output that is complete then, perhaps none."""
        pcm = self._half_sample + pcm
        whole = len(pcm) - len(pcm) % SAMPLE
        pcm, self._half_sample = pcm[:whole], pcm[whole:]
        if not pcm:
            return b""
        self._begun = True
        return self._out(frame_of(pcm, self._rate))

    def finish(self) -> bytes:
        """The rest of the output."""
        return self._out(None) if self._begun else b""

    def _out(self, frame: Any) -> bytes:
        frames = self._resampler.resample(frame)
        return b"".join(f.to_ndarray().astype("<i2", copy=False).tobytes() for f in frames)


def frame_of(pcm: bytes, rate: int) -> Any:
    """Whole samples of 16-bit mono PCM, as a frame of PyAV."""
    import av
    import numpy

    samples = numpy.frombuffer(pcm, "<i2").reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate = rate
    return frame
