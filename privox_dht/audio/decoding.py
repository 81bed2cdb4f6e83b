"""A stranger's sound file into samples, within bounds.

    open      only the containers below; a file that refers to another file is refused
    look      the first audio stream: rate, channels and claimed length must be plausible
    decode    packet by packet, counting samples; between packets the clock and `stop` are asked
    judge     nothing decoded, mostly broken packets, or much less than the header promised

What a header claims is never the measure of what is allocated: the samples that come out are,
which are float32 at the wanted rate. `decode` keeps them in a buffer that grows with them;
`decode_into` gives them away as they come. Both run FFmpeg on strangers' bytes: a producer has this
done in a process behind a wall (`nodes/codecs.py`), and only `plain` in its own.

A file that was cut off is refused when its container says how long it should have been (WAV,
FLAC, MP4): half a recording must not pass for a whole one. MP3, Ogg and WebM, and WAV from a
stream, make no such promise; of those, what is there is used.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from privox_dht import errors, limits
from privox_dht.audio import wav_header
from privox_dht.units import duration

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Put = Callable[["NDArray[np.float32]"], None]

RAW_RATE = 16_000  # Hz of raw PCM, which says nothing about itself
FULL_SCALE = 1 / 32_768  # of a 16-bit sample, which is what the resampler gives: so it averages
# channels without ever exceeding the scale, and cannot be given NaN
RAW_PIECE = 1 << 16  # bytes of raw PCM per step
DEMUXERS = "wav,w64,aiff,au,caf,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,aac,amr"
PROMISING = {"w64", "aiff", "flac", "mov"}  # containers (and WAV) whose length is a promise
SHORT_BY = (0.5, 0.02)  # seconds, or share, by which the promise may be missed (codec delays)
TOO_LONG_BY = 1.01  # a claim is refused at once above this times the limit; samples are exact
MOSTLY = 0.5  # share of broken packets from which a file is garbage and not merely scratched
MAX_PACKET = 8 << 20  # bytes of one packet; what it decodes to is several times that
GROW = 60  # seconds by which the buffer grows: little is wasted, and the kernel moves the pages
TAKES_ANY_TAG = 19  # the first PyAV that reads tags in any encoding, and has no option for it
DECODERS = (  # those of sound that people have; FFmpeg has ten times as many, and of pictures too
    *("pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le"),
    *("pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "gsm", "gsm_ms", "mp3", "mp3float", "mp2"),
    *("mp2float", "mp1", "mp1float", "flac", "alac", "vorbis", "opus", "libopus", "speex", "aac"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "ac3", "eac3", "dca"),
)
OPEN_OPTIONS = {
    "format_whitelist": DEMUXERS,
    "codec_whitelist": ",".join(DECODERS),  # so that no picture is decoded to find out its size
    "protocol_whitelist": "none",
    "max_streams": "8",
    "probesize": "1000000",  # bytes looked at to find out what this is
    "analyzeduration": "5000000",  # microseconds of sound looked at for the same
}


def decode(
    file: BinaryIO | bytes,
    rate: int,
    *,
    raw: bool = False,
    max_seconds: float = limits.MAX_AUDIO_SECONDS,
    wall: float = limits.DECODE_WALL,
) -> NDArray[np.float32]:
    """All samples of `file`, mono in -1..1 at `rate` Hz. Blocks: call it in a thread.

    `raw` says that the file is headerless 16-bit little-endian mono PCM at 16 kHz.

    Raises:
        Refused: 400 it is empty, not sound, broken or cut off; 413 it is too long; 501 PyAV is
            not installed. The message names the problem.
    """
    check_for_pyav()
    kept = _Kept(rate)
    decode_into(kept.add, file, rate, raw=raw, max_seconds=max_seconds, wall=wall)
    return kept.finished()


def decode_into(
    put: Put,
    file: BinaryIO | bytes,
    rate: int,
    *,
    raw: bool = False,
    max_seconds: float = limits.MAX_AUDIO_SECONDS,
    wall: float = limits.DECODE_WALL,
    opened: Callable[[], None] = lambda: None,
) -> int:
    """Decode as `decode` does, and give the samples to `put` as they come. How many they are.

    `opened` is called once it is known what the file is.
    """
    check_for_pyav()
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    source.seek(0)
    if not source.read(1):
        raise _refused("the audio file is empty")
    source.seek(0)
    samples = _Samples(put, rate, max_seconds, wall)
    if raw:
        opened()
        _read_raw(source, samples)
    else:
        _read_container(source, samples, opened)
    if not samples.count:
        raise _refused("the file holds no audio samples")
    return samples.count


def check_for_pyav() -> None:
    """Raises: Refused (501): PyAV is not installed."""
    try:
        import numpy  # noqa: F401
        from av import AudioResampler  # noqa: F401
    except ImportError as exc:
        raise errors.Refused(
            "audio cannot be decoded here: PyAV is not installed",
            status=501,
            code="not_implemented",
        ) from exc


def plain(file: BinaryIO, size: int, rate: int) -> NDArray[np.float32] | None:
    """The samples of a file that needs no decoding: a small WAV of `size` bytes, 16-bit mono PCM at
    `rate` Hz, whose header tells the truth. None for any other: what it is, `decode` finds out."""
    import numpy

    if not wav_header.SAMPLE < size <= limits.SPOOL_IN_MEMORY:
        return None
    file.seek(0)
    data = file.read(size)
    form = wav_header.begin(data)
    if form is None or not form.is_plain or form.rate != rate or not form.size:
        return None
    samples = data[form.begins : form.begins + form.size]
    if len(samples) != form.size or form.size % wav_header.SAMPLE:
        return None
    return numpy.frombuffer(samples, "<i2") * numpy.float32(FULL_SCALE)


class _Kept:
    """Samples in a buffer that grows with them."""

    def __init__(self, rate: int) -> None:
        import numpy

        self._rate = rate
        self._buffer: NDArray[np.float32] = numpy.empty(0, numpy.float32)
        self._count = 0

    def add(self, more: NDArray[np.float32]) -> None:
        end = self._count + more.size
        if end > self._buffer.size:
            self._buffer.resize(end + GROW * self._rate, refcheck=False)
        self._buffer[self._count : end] = more
        self._count = end

    def finished(self) -> NDArray[np.float32]:
        # No view of the buffer is ever given away before this, so it may move.
        self._buffer.resize(self._count, refcheck=False)
        return self._buffer


class _Samples:
    """How much was decoded so far, and whether it may go on."""

    def __init__(self, put: Put, rate: int, max_seconds: float, wall: float) -> None:
        import av
        import numpy

        self._numpy = numpy
        self._put = put
        self._resampler: Any = av.AudioResampler("s16", "mono", rate)
        self._rate = rate
        self._max_seconds = max_seconds
        self._wall = wall
        self._ends = time.monotonic() + wall
        self.count = 0

    @property
    def seconds(self) -> float:
        return self.count / self._rate

    def may_go_on(self) -> None:
        """Raises: Refused: it takes too long."""
        if time.monotonic() > self._ends:
            raise _refused(f"decoding took more than {self._wall:.0f} s", status=413)

    def claimed(self, seconds: float) -> None:
        """Refuse a header that admits to be too long, before any work."""
        if seconds > self._max_seconds * TOO_LONG_BY:
            raise self._too_long()

    def add(self, frame: Any) -> None:
        """One decoded frame, or None to get what the resampler holds back."""
        if frame is not None:
            if frame.sample_rate > limits.MAX_RATE or frame.sample_rate < limits.MIN_RATE:
                raise _bad_rate(frame.sample_rate)
            frame.pts = None  # gaps and jumps in a stranger's clock are not our silence
        for resampled in self._resampler.resample(frame):
            self._append(resampled.to_ndarray().reshape(-1))

    def _append(self, more: NDArray[np.int16]) -> None:
        end = self.count + more.size
        if end > self._max_seconds * self._rate:
            raise self._too_long()
        self._put(self._numpy.multiply(more, FULL_SCALE, dtype=self._numpy.float32))
        self.count = end

    def _too_long(self) -> errors.Refused:
        return _refused(
            f"the audio is longer than {duration(self._max_seconds)}: cut it into pieces",
            status=413,
        )


def _read_raw(source: BinaryIO, samples: _Samples) -> None:
    import av
    import numpy

    while piece := source.read(RAW_PIECE):
        samples.may_go_on()
        whole = numpy.frombuffer(piece[: len(piece) // 2 * 2], "<i2").reshape(1, -1)
        if whole.size:
            frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
            frame.sample_rate = RAW_RATE
            samples.add(frame)
    if samples.count:
        samples.add(None)


def _read_container(source: BinaryIO, samples: _Samples, opened: Callable[[], None]) -> None:
    import av

    promised = wav_header.promised_seconds(source)
    source.seek(0)
    try:
        with av.open(
            source, "r", options=OPEN_OPTIONS, io_open=_no_other_file, **_tags_in_any_encoding()
        ) as container:
            stream = _look(container)
            opened()
            promised = promised or _promised_seconds(container, stream)
            samples.claimed(promised)
            _decode_stream(container, stream, samples)
    # PyAV raises IndexError for some files that are no sound at all (a picture, say).
    except (av.error.FFmpegError, ValueError, IndexError, OSError, MemoryError) as exc:
        raise _refused(f"this is not a sound file that can be read ({_brief(exc)})") from exc
    short = promised - samples.seconds
    if samples.count and short > max(SHORT_BY[0], SHORT_BY[1] * promised):
        raise _refused(
            f"the file is cut off: it promises {promised:.1f} s of audio"
            f" and holds {samples.seconds:.1f} s"
        )


def _tags_in_any_encoding() -> dict[str, Any]:
    """What makes PyAV take a title that is not UTF-8: from version 19 on it always does."""
    import av

    major = int(av.__version__.partition(".")[0])
    return {"metadata_errors": "ignore"} if major < TAKES_ANY_TAG else {}


def _look(container: Any) -> Any:
    """The stream to decode."""
    if not container.streams.audio:
        raise _refused("the file holds no audio")
    stream = container.streams.audio[0]
    codec = stream.codec_context
    if codec is None:
        raise _refused("the audio in this file is of a kind that cannot be decoded")
    if codec.name not in DECODERS:
        raise _refused(f"the audio in this file is {codec.name}, which is not taken")
    if not limits.MIN_RATE <= (codec.sample_rate or 0) <= limits.MAX_RATE:
        raise _bad_rate(codec.sample_rate or 0)
    if not 1 <= (codec.channels or 0) <= limits.MAX_CHANNELS:
        raise _refused(
            f"the file claims {codec.channels} channels; 1 to {limits.MAX_CHANNELS} are read"
        )
    codec.thread_count = 1
    return stream


def _promised_seconds(container: Any, stream: Any) -> float:
    """How much sound the container promises; 0 where it promises nothing, or only guesses."""
    names = set(container.format.name.split(","))
    if not names & PROMISING or stream.duration is None or stream.time_base is None:
        return 0.0
    return float(stream.duration * stream.time_base)


def _decode_stream(container: Any, stream: Any, samples: _Samples) -> None:
    from av.error import FFmpegError

    good = broken = 0
    for packet in _packets(container, stream):
        samples.may_go_on()
        if packet.size > MAX_PACKET:
            raise _refused(f"the file holds a packet of {packet.size} bytes, which is no sound")
        try:
            frames = packet.decode()
        except FFmpegError:
            broken += 1
            continue
        good += 1
        for frame in frames:
            samples.add(frame)
    if broken > MOSTLY * (good + broken):
        raise _refused(f"the audio is damaged: {broken} of {good + broken} packets are broken")
    if samples.count:
        samples.add(None)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets until the end, or until the container breaks off."""
    from av.error import FFmpegError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _no_other_file(url: str, flags: int, options: Any) -> Any:
    raise _refused("the file refers to another file; only sound itself is taken")


def _refused(message: str, status: int = 400) -> errors.Refused:
    code = "audio_too_long" if status == 413 else "invalid_audio"
    return errors.Refused(message, status=status, code=code, param="file")


def _bad_rate(rate: int) -> errors.Refused:
    return _refused(
        f"the file claims {rate} Hz; {limits.MIN_RATE} to {limits.MAX_RATE} Hz are read"
    )


def _brief(exc: BaseException) -> str:
    """FFmpeg's own words, without its numbers and file names."""
    return str(getattr(exc, "strerror", None) or type(exc).__name__)
