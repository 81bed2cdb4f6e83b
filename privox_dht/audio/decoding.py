"""Decodes an untrusted audio file into samples, within limits.

    open      only known containers; a file that refers to another file is rejected
    check     the first audio stream: rate, channels and stated length must be plausible
    decode    packet by packet; the samples are counted and the deadline is checked
    reject    no samples, mostly broken packets, or much less audio than the header states

The result are float32 samples at the wanted rate. This runs FFmpeg on untrusted bytes: a producer
does that in a sandboxed process (`nodes/codecs.py`), and only `read_plain` in its own.

A truncated file is rejected if its container states its length (WAV, FLAC, MP4): half a recording
must not be taken for a whole one. MP3, Ogg, WebM, and WAV from a stream or with compressed sound
state none: whatever they contain is used.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from privox_dht import errors, limits
from privox_dht.audio import wav_header
from privox_dht.audio.containers import audio_stream, open_container, stated_seconds
from privox_dht.audio.refusals import refused
from privox_dht.audio.sample_sink import FULL_SCALE, SampleSink

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LENGTH_TOLERANCE = (0.5, 0.02)  # seconds, or share, that may be missing (codec delays)
MAX_BROKEN = 0.5  # share of broken packets above which a file is rejected
MICROSECONDS = 1_000_000  # in a second; FFmpeg's unit of a container's length
MAX_PACKET = 8 << 20  # bytes of one packet; decoded, it takes several times as many


def decode(
    file: BinaryIO | bytes,
    rate: int,
    *,
    max_seconds: float = limits.MAX_AUDIO_SECONDS,
    timeout: float = limits.DECODE_TIMEOUT,
) -> NDArray[np.float32]:
    """All samples of `file`, mono in -1..1 at `rate` Hz. Blocks: call it in a thread.

    Args:
        timeout: seconds that decoding may take.

    Raises:
        RequestRejected: 400 it is empty, not audio, damaged or truncated; 413 it is too long, or
            takes too long; 501 PyAV is not installed.
    """
    blocks = list(decode_blocks(file, rate, max_seconds=max_seconds, timeout=timeout))
    import numpy

    return numpy.concatenate(blocks)


def decode_blocks(
    file: BinaryIO | bytes,
    rate: int,
    *,
    max_seconds: float,
    timeout: float,
    opened: Callable[[], None] = lambda: None,
) -> Iterator[NDArray[np.float32]]:
    """The samples that `decode` returns, in blocks, each decoded when it is requested. `opened` is
    called once the file's format is known.

    Raises: as `decode` does; the blocks before the error are valid.
    """
    check_for_pyav()
    samples = SampleSink(rate, max_seconds, timeout)
    source = io.BytesIO(file) if isinstance(file, bytes) else file
    source.seek(0)
    if not source.read(1):
        raise refused("the audio file is empty")
    yield from _read_container(source, samples, opened)
    if not samples.count:
        raise refused("the file holds no audio samples")


def length_hint(file: BinaryIO) -> float:
    """The length that a file states, in seconds; 0 if it states none or cannot be read.

    Raises: RequestRejected (501): PyAV is not installed, and the file is not a WAV file.
    """
    if stated := wav_header.stated_seconds(file):
        return stated
    check_for_pyav()
    from av.error import FFmpegError

    file.seek(0)
    try:
        with open_container(file) as container:
            return (container.duration or 0) / MICROSECONDS
    except (FFmpegError, errors.RequestRejected, ValueError, IndexError, OSError, MemoryError):
        return 0.0


def check_for_pyav(
    message: str = "audio cannot be decoded here: PyAV is not installed", param: str | None = None
) -> None:
    """Raises: RequestRejected (501): PyAV is not installed."""
    try:
        import numpy  # noqa: F401
        from av import AudioResampler  # noqa: F401
    except ImportError as exc:
        raise errors.RequestRejected(
            message, status=501, code="not_implemented", param=param
        ) from exc


def read_plain(file: BinaryIO, size: int, rate: int) -> NDArray[np.float32] | None:
    """The samples of a file that needs no decoding: a small WAV file of `size` bytes, 16-bit mono
    PCM at `rate` Hz, with a correct header. None for any other, which is left to `decode`."""
    if not wav_header.SAMPLE < size <= limits.SPOOL_IN_MEMORY:
        return None
    file.seek(0)
    data = file.read(size)
    form = wav_header.parse_header(data)
    if form is None or not form.is_plain or form.rate != rate or not form.size:
        return None
    samples = data[form.begins : form.begins + form.size]
    if len(samples) != form.size or form.size % wav_header.SAMPLE:
        return None
    import numpy  # here: most nodes run without it

    return numpy.frombuffer(samples, "<i2") * numpy.float32(FULL_SCALE)


def _read_container(
    source: BinaryIO, samples: SampleSink, opened: Callable[[], None]
) -> Iterator[NDArray[np.float32]]:
    import av

    stated = wav_header.stated_seconds(source)
    source.seek(0)
    try:
        with open_container(source) as container:
            stream = audio_stream(container)
            opened()
            stated = stated or stated_seconds(container, stream)
            samples.check_claim(stated)
            held = yield from _decode_stream(container, stream, samples)
    except (av.error.FFmpegError, ValueError, IndexError, OSError, MemoryError) as exc:
        raise refused(f"this is not a sound file that can be read ({_reason(exc)})") from exc
    short = stated - max(held, samples.seconds)
    if samples.count and short > max(LENGTH_TOLERANCE[0], LENGTH_TOLERANCE[1] * stated):
        raise refused(
            f"the file is cut off: its header states {stated:.1f} s of audio,"
            f" and it holds {samples.seconds:.1f} s"
        )


def _decode_stream(
    container: Any, stream: Any, samples: SampleSink
) -> Generator[NDArray[np.float32], None, float]:
    """Decode all packets. Returns the seconds that the decoded ones last; these are more than their
    samples where the recording was interrupted."""
    from av.error import FFmpegError

    good = broken = held = 0
    for packet in _packets(container, stream):
        samples.check_deadline()
        if packet.size > MAX_PACKET:
            raise refused(f"the file holds a packet of {packet.size} bytes, which is no sound")
        try:
            frames = packet.decode()
        except FFmpegError:
            broken += 1
            continue
        good += 1
        held += packet.duration or 0
        for frame in frames:
            yield from samples.add(frame)
    if broken > MAX_BROKEN * (good + broken):
        raise refused(f"the audio is damaged: {broken} of {good + broken} packets are broken")
    yield from samples.add(None)
    return float(held * (stream.time_base or 0))


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """Packets until the end, or until the container cannot be read any further."""
    from av.error import FFmpegError, PatchWelcomeError

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except PatchWelcomeError as exc:  # an Ogg file that goes on with more channels
            raise refused("the rest of the file is of a kind that cannot be decoded") from exc
        except FFmpegError:
            return
        if packet is None:
            return
        yield packet


def _reason(exc: BaseException) -> str:
    """FFmpeg's message without its numbers and file names."""
    return str(getattr(exc, "strerror", None) or type(exc).__name__)
