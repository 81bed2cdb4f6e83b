"""Encodes 16-bit mono PCM into an audio file, piece by piece.

    encoder = Encoder("mp3", 22050)
    for pcm in pieces:  send(encoder.feed(pcm))      the bytes that the codec has completed
    send(encoder.finish())                           the rest

The headers of FLAC and M4A state the length, which is known only at the end: `finish()` returns all
of such a file. A piece may end in the middle of a sample. Opus, AAC and MP3 support only some
rates: sound at another rate is resampled to the next higher one.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, cast

from privox_dht import errors, speech
from privox_dht.audio import wav_header
from privox_dht.audio.decoding import check_for_pyav
from privox_dht.audio.resampling import frame_of

if TYPE_CHECKING:
    import av

CONTENT_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "m4a": "audio/mp4",
    "pcm": "audio/pcm",
}

# format: container, codec, sample format, bit rate (0: lossless), options of the container
_CODECS: dict[str, tuple[str, str, str, int, dict[str, str]]] = {
    "mp3": ("mp3", "libmp3lame", "s16p", 64_000, {"write_xing": "0", "id3v2_version": "0"}),
    "flac": ("flac", "flac", "s16", 0, {}),
    "opus": ("ogg", "libopus", "s16", 32_000, {"page_duration": "200000"}),
    "aac": ("adts", "aac", "fltp", 64_000, {}),
    "m4a": ("ipod", "aac", "fltp", 64_000, {}),
}
NOT_STREAMED = ("flac", "m4a")  # formats whose header is written last


class Encoder:
    """Encodes one audio file.

    Raises:
        RequestRejected: there is no such format (400), or PyAV is not installed (501).
    """

    def __init__(self, format: str, rate: int) -> None:
        self.format = format
        self.rate = rate
        self._half_sample = b""  # the first half of a sample that was cut in two
        self._coder: _Coder | None = None
        self._begun = False
        if format not in speech.AUDIO_FORMATS:
            known = ", ".join(speech.AUDIO_FORMATS)
            raise errors.RequestRejected(
                f"there is no audio format {format!r}; there are {known}", param="response_format"
            )
        if format in _CODECS:
            self._coder = _Coder(format, rate)

    def __repr__(self) -> str:
        return f"<Encoder {self.format} {self.rate} Hz>"

    def feed(self, pcm: bytes) -> bytes:
        """Encode `pcm`; the bytes of the file that are complete then, perhaps none."""
        pcm = self._half_sample + pcm
        whole = len(pcm) - len(pcm) % wav_header.SAMPLE
        pcm, self._half_sample = pcm[:whole], pcm[whole:]
        if self._coder is not None:
            return self._coder.feed(pcm) if pcm else b""
        return self._start() + pcm

    def finish(self) -> bytes:
        """The rest of the file."""
        if self._coder is not None:
            return self._coder.finish()
        return self._start()

    def _start(self) -> bytes:
        """The header, once."""
        begun, self._begun = self._begun, True
        return wav_header.header(self.rate) if self.format == "wav" and not begun else b""


class _Stream:
    """An output file without seek; `take` returns and clears what was written."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class _Coder:
    """The formats that need PyAV."""

    def __init__(self, format: str, rate: int) -> None:
        check_for_pyav(
            f"{format} cannot be written here without PyAV; wav and pcm can", "response_format"
        )
        import av

        container, codec, sample_format, bit_rate, options = _CODECS[format]
        self._file = io.BytesIO() if format in NOT_STREAMED else _Stream()
        self._rate = rate
        self._out: Any = av.open(self._file, "w", format=container, container_options=options)
        coded_rate = _next_rate(rate, av.Codec(codec, "w").audio_rates)
        self._stream = cast(Any, self._out.add_stream(codec, rate=coded_rate, layout="mono"))
        self._stream.codec_context.format = sample_format
        if bit_rate:
            self._stream.bit_rate = bit_rate
        self._resampler: Any = av.AudioResampler(sample_format, "mono", coded_rate)

    def feed(self, pcm: bytes) -> bytes:
        for resampled in self._resampler.resample(frame_of(pcm, self._rate)):
            self._encode(resampled)
        return self._file.take() if isinstance(self._file, _Stream) else b""

    def finish(self) -> bytes:
        try:
            for resampled in self._resampler.resample(None):
                self._encode(resampled)
        except ValueError:  # nothing was fed, so the resampler is not set up
            pass
        self._encode(None)
        self._out.close()
        file = self._file
        return file.take() if isinstance(file, _Stream) else file.getvalue()

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for packet in self._stream.encode(frame):
            self._out.mux(packet)


def _next_rate(rate: int, rates: list[int] | None) -> int:
    """The lowest of a codec's rates that loses nothing of `rate`."""
    if not rates:
        return rate
    return min((r for r in rates if r >= rate), default=max(rates))
