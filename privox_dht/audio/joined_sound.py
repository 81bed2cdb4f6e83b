"""Joins several WAV files into one file of any format, without clicks between them.

    joined = JoinedSound("mp3")
    for wav in wavs:  send(joined.add(wav))
    send(joined.finish())

The result has the rate of the first file; others are resampled. Each file fades in and out over two
milliseconds, so that there is no jump between two of them.
"""

from __future__ import annotations

import struct

from privox_dht.audio.encoding import Encoder
from privox_dht.audio.resampling import Resampler
from privox_dht.audio.wav_header import WavFormat

FADE = 0.002  # seconds: too short to be heard, long enough for no click
ANY_RATE = 24_000  # Hz; to check that a format can be written


class JoinedSound:
    """Encodes one joined file.

    Raises:
        RequestRejected: there is no such format (400), or PyAV is not installed (501).
    """

    def __init__(self, format: str) -> None:
        self._format = format
        self._encoder: Encoder | None = None
        Encoder(format, ANY_RATE)

    def __repr__(self) -> str:
        return f"<JoinedSound {self._encoder or self._format}>"

    def add(self, file: bytes, form: WavFormat) -> bytes:
        """Append a file; the bytes of the result that are complete then, perhaps none.

        Args:
            file: a WAV file of 16-bit mono PCM.
            form: its parsed header.
        """
        pcm = file[form.begins :]
        pcm = pcm[: len(pcm) // 2 * 2]
        if self._encoder is None:
            self._encoder = Encoder(self._format, form.rate)
        if form.rate != self._encoder.rate:
            resampler = Resampler(form.rate, self._encoder.rate)
            pcm = resampler.feed(pcm) + resampler.finish()
        return self._encoder.feed(_faded(pcm, round(FADE * self._encoder.rate)))

    def finish(self) -> bytes:
        """The rest of the file."""
        return self._encoder.finish() if self._encoder else b""


def _faded(pcm: bytes, over: int) -> bytes:
    """The sound, faded in and out over `over` samples."""
    over = min(over, len(pcm) // 4)
    edge = struct.Struct(f"<{over}h")
    end = len(pcm) - edge.size
    rising = (sample * n // over for n, sample in enumerate(edge.unpack(pcm[: edge.size])))
    falling = (sample * (over - n) // over for n, sample in enumerate(edge.unpack(pcm[end:]), 1))
    return edge.pack(*rising) + pcm[edge.size : end] + edge.pack(*falling)
