"""Strangers' sound files: what is read, what is refused, and what it may cost.

The table HOSTILE is the documentation's: input, status, message.
"""

import io
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from privox_dht import audio, errors, limits
from privox_dht.audio import wav_header
from privox_dht.audio.decoding import decode_blocks, read_plain

RATE = 16_000
MIB = 1 << 20


def noise(seconds: float, rate: int = RATE) -> bytes:
    samples = np.random.default_rng(0).normal(0, 2000, int(seconds * rate))
    return samples.astype("<i2").tobytes()


@cache
def encoded(format: str, seconds: float = 5.0) -> bytes:
    encoder = audio.Encoder(format, RATE)
    return encoder.feed(noise(seconds)) + encoder.finish()


@cache
def container(format: str, codec: str, seconds: float = 5.0) -> bytes:
    """A file of a container that needs a place to go back to (FLAC with its length, M4A), or of
    one that we only read."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        stream = out.add_stream(codec, rate=48_000, layout="mono")
        assert isinstance(stream, AudioStream)
        samples = np.frombuffer(noise(seconds, 48_000), "<i2").reshape(1, -1)
        resampler = av.AudioResampler(stream.format.name, "mono", 48_000, frame_size=960)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 48_000
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


@cache
def silence(hours: float) -> bytes:
    """A FLAC file of silence: 8 kB for an hour and a half."""
    encoder = audio.Encoder("flac", 8_000)
    minute = bytes(2 * 8_000 * 60)
    parts = [encoder.feed(minute) for _ in range(int(hours * 60))]
    return b"".join([*parts, encoder.finish()])


def picture() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="image2pipe") as out:
        stream = out.add_stream("png", rate=1)
        stream.width = stream.height = 16
        stream.pix_fmt = "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def many_channels() -> bytes:
    file = bytearray(audio.wav(noise(1), RATE))
    struct.pack_into("<H", file, 22, 64)
    struct.pack_into("<IH", file, 28, RATE * 128, 128)
    return bytes(file)


def a_film() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))
    return file.getvalue()


def one_packet() -> bytes:
    """A container may say that all its samples are one packet."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        packet = av.Packet(bytes(10 * MIB))
        packet.stream = stream
        packet.pts = packet.dts = 0
        out.mux(packet)
    return file.getvalue()


NOT_SOUND = "not a sound file that can be read"
HOSTILE: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "nothing": (lambda: b"", 400, "is empty"),
    "one byte": (lambda: b"R", 400, NOT_SOUND),
    "garbage": (lambda: np.random.default_rng(0).bytes(50_000), 400, NOT_SOUND),
    "text": (lambda: b"Dear reader, this is no sound. " * 100, 400, NOT_SOUND),
    "a picture": (picture, 400, NOT_SOUND),
    "a film without sound": (a_film, 400, "holds no audio"),
    "a header and nothing else": (lambda: wav_header.header(RATE, 0), 400, "no audio samples"),
    "half a WAV": (lambda: audio.wav(noise(4), RATE)[:64_044], 400, "states 4.0 s .* holds 2.0"),
    "half a FLAC": (
        lambda: half(container("flac", "flac")),
        400,
        "cut off: its header states 5.0 s",
    ),
    "half an M4A": (lambda: half(container("ipod", "aac")), 400, NOT_SOUND),
    "1 Hz": (lambda: audio.wav(noise(1), 1), 400, "claims 1 Hz"),
    "4 GHz": (lambda: audio.wav(noise(1), 2**32 // 2 - 1), 400, "claims .* Hz"),
    "64 channels": (many_channels, 400, "claims 64 channels; 1 to 8"),
    "a packet of ten megabytes": (one_packet, 400, "a packet of .* bytes, which is no sound"),
    "three hours of silence": (lambda: silence(3), 413, "longer than 2 hours"),
    "a list of other files (concat)": (
        lambda: b"ffconcat version 1.0\nfile /etc/passwd\n" * 10,
        400,
        NOT_SOUND,
    ),
    "a list of other files (m3u)": (
        lambda: b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        400,
        NOT_SOUND,
    ),
    "a session description": (
        lambda: b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        400,
        NOT_SOUND,
    ),
}


def half(file: bytes) -> bytes:
    return file[: len(file) // 2]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_and_the_message_names_the_problem(name: str) -> None:
    make, status, said = HOSTILE[name]
    with pytest.raises(errors.RequestRejected, match=said) as refused:
        audio.decode(make(), RATE)
    assert refused.value.status == status
    assert refused.value.param == "file"
    assert "/etc" not in refused.value.message


MEASURE = """
import resource, sys
from privox_dht import audio, errors
audio.decode(audio.wav(bytes(32000), 16000), 16000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    audio.decode(open(sys.argv[1], "rb"), 16000, max_seconds=float(sys.argv[2]))
except errors.RequestRejected:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("1 Hz", 8),
        ("64 channels", 8),
        ("three hours of silence", 64),  # refused after 600 s: 37 MB of samples and their growth
        ("garbage", 8),
    ],
)
def test_hostile_files_cost_little_memory(name: str, most: int, tmp_path: Path) -> None:
    """Measured in a fresh process, because a peak never goes down again."""
    file = tmp_path / "upload"
    file.write_bytes(HOSTILE[name][0]())
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-c", MEASURE, str(file), "600"]
    grown = int(subprocess.check_output(command))
    grown_bytes = grown if sys.platform == "darwin" else grown * 1024
    assert grown_bytes < most * MIB


@pytest.mark.parametrize(
    ("format", "codec"),
    [("flac", "flac"), ("ipod", "aac"), ("webm", "libopus"), ("ogg", "libopus"), ("mp3", "mp3")],
)
def test_every_container_people_have_is_read(format: str, codec: str) -> None:
    samples = audio.decode(container(format, codec), RATE)
    assert samples.size / RATE == pytest.approx(5.0, abs=0.1)
    assert 0.01 < np.abs(samples).mean() < 0.2


@pytest.mark.parametrize("format", ["mp3", "opus", "aac"])
def test_of_a_stream_that_breaks_off_what_is_there_is_used(format: str) -> None:
    """Such files state no length: live recordings end like this."""
    samples = audio.decode(half(encoded(format)), RATE)
    assert 1.5 < samples.size / RATE < 3.5


def test_a_streamed_wav_states_no_length_either() -> None:
    assert audio.decode(half(encoded("wav")), RATE).size / RATE == pytest.approx(2.5, abs=0.01)


def test_a_title_in_an_old_encoding_does_not_cost_the_recording() -> None:
    title = b"Gr\xfc\xdfe"  # Latin-1, which is no UTF-8
    tags = b"INFOINAM" + struct.pack("<I", len(title) + 1) + title + b"\0"
    chunk = b"LIST" + struct.pack("<I", len(tags)) + tags
    file = audio.wav(noise(1), RATE)
    samples_at = file.index(b"data")
    assert audio.decode(file[:samples_at] + chunk + file[samples_at:], RATE).size == RATE


def test_a_scratch_does_not_cost_the_recording() -> None:
    file = bytearray(encoded("mp3"))
    file[10_000:10_300] = bytes(300)
    samples = audio.decode(bytes(file), RATE)
    assert samples.size / RATE == pytest.approx(5.0, abs=0.5)


def stereo(left: bytes, right: bytes) -> bytes:
    both = np.stack([np.frombuffer(left, "<i2"), np.frombuffer(right, "<i2")], axis=1)
    file = bytearray(audio.wav(both.tobytes(), RATE))
    struct.pack_into("<HIIH", file, 22, 2, RATE, RATE * 4, 4)
    return bytes(file)


def test_of_two_channels_the_average_is_taken() -> None:
    left, right = noise(1), bytes(2 * RATE)
    samples = audio.decode(stereo(left, right), RATE)
    assert np.allclose(samples, np.frombuffer(left, "<i2") / 32_768 / 2, atol=1e-4)


def test_two_loud_channels_do_not_become_too_loud() -> None:
    loud = np.full(RATE, 30_000, "<i2").tobytes()
    samples = audio.decode(stereo(loud, loud), RATE)
    assert np.allclose(samples, 30_000 / 32_768, atol=1e-3)


def test_samples_that_are_not_numbers_do_not_get_through() -> None:
    floats = np.full(RATE, np.nan, "<f4")
    floats[: RATE // 2] = 1e30
    file = bytearray(audio.wav(floats.tobytes(), RATE))
    struct.pack_into("<HHIIHH", file, 20, 3, 1, RATE, RATE * 4, 4, 32)
    samples = audio.decode(bytes(file), RATE)
    assert np.isfinite(samples).all() and np.abs(samples).max() <= 1


def test_seconds_are_counted_and_not_believed() -> None:
    """A streamed file says nothing of its length; the samples that come out are what counts."""
    with pytest.raises(errors.RequestRejected, match="longer than 4 seconds") as refused:
        audio.decode(encoded("flac"), RATE, max_seconds=4)
    assert refused.value.status == 413
    assert audio.decode(encoded("flac"), RATE, max_seconds=5).size == 5 * RATE


def test_a_header_that_admits_to_be_too_long_is_refused_without_work() -> None:
    file = io.BytesIO(wav_header.header(RATE, 2**31 - 10_000) + noise(1))
    with pytest.raises(errors.RequestRejected, match="longer than 2 hours"):
        audio.decode(file, RATE)
    assert file.tell() < 40_000


def test_decoding_takes_no_longer_than_it_may() -> None:
    began = time.monotonic()
    with pytest.raises(errors.RequestRejected, match=r"took more than 0 s") as refused:
        audio.decode(encoded("mp3"), RATE, timeout=0.0)
    assert refused.value.status == 413
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("rate", [8_000, RATE, 44_100])
def test_a_plain_wav_is_read_as_ffmpeg_reads_it(rate: int) -> None:
    file = audio.wav(noise(1, rate), rate)
    samples = read_plain(io.BytesIO(file), len(file), rate)
    assert samples is not None and samples.dtype == np.float32
    assert np.array_equal(samples, audio.decode(file, rate))


def test_only_a_wav_that_tells_the_truth_is_plain() -> None:
    file = audio.wav(noise(1), RATE)
    stereo = bytearray(file)
    stereo[22] = 2
    floats = bytearray(file)
    floats[20] = 3
    no_length = wav_header.header(RATE) + noise(1)
    odd = wav_header.header(RATE, 31_999) + bytes(31_999)
    large = audio.wav(noise(40), RATE)
    for other in (file[:-1], stereo, floats, no_length, odd, large, b"RIFF", b"", encoded("mp3")):
        assert read_plain(io.BytesIO(bytes(other)), len(other), RATE) is None
    assert read_plain(io.BytesIO(file), len(file), 8_000) is None


def test_a_wav_header_is_not_searched_for_ever() -> None:
    """A hostile producer's answer of 64 MiB of empty chunks kept a client busy for five seconds."""
    file, empty = audio.wav(noise(1), RATE), b"junk" + bytes(4)
    some = file[:12] + 20 * empty + file[12:]
    many = file[:12] + 1000 * empty + file[12:]
    assert wav_header.parse_header(some) is not None
    assert wav_header.parse_header(many) is None
    assert audio.decode(many, RATE).size == RATE


def test_a_file_is_read_from_its_beginning_wherever_it_stands() -> None:
    file = io.BytesIO(audio.wav(noise(1), RATE))
    file.seek(1000)
    assert audio.decode(file, RATE).size == RATE


@pytest.mark.parametrize("format", ["wav", "mp3", "opus"])
def test_a_spooled_upload_is_read_from_memory_and_from_disk(format: str) -> None:
    for in_memory in (1, MIB):
        with tempfile.SpooledTemporaryFile(in_memory) as upload:
            upload.write(encoded(format))
            samples = audio.decode(upload, RATE)  # type: ignore[arg-type]
        assert samples.size / RATE == pytest.approx(5.0, abs=0.2)


def test_the_bounds_are_those_of_the_project() -> None:
    usual = audio.decode.__kwdefaults__
    assert usual
    assert usual["max_seconds"] == limits.MAX_AUDIO_SECONDS
    assert usual["timeout"] == limits.DECODE_TIMEOUT


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["wav", "mp3", "flac", "opus", "aac"]),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=20),
    st.integers(0, 1 << 16),
)
def test_whatever_is_done_to_a_file_it_is_decoded_or_refused(
    format: str, changes: list[tuple[int, int]], cut: int
) -> None:
    file = bytearray(encoded(format, 1.0))
    for at, byte in changes:
        file[at % len(file)] = byte
    del file[len(file) - cut % len(file) :]
    try:
        samples = audio.decode(bytes(file), RATE)
    except errors.RequestRejected as refused:
        assert refused.status in (400, 413) and len(refused.message) < 200
    else:
        assert 0 < samples.size < 60 * RATE
        assert np.isfinite(samples).all() and np.abs(samples).max() <= 1.0


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_follows_riff_is_decoded_or_refused(tail: bytes) -> None:
    try:
        assert audio.decode(b"RIFF\xff\xff\xff\xffWAVE" + tail, RATE).size
    except errors.RequestRejected as refused:
        assert refused.status in (400, 413)


@pytest.mark.parametrize("format", ["wav", "mp3", "flac", "opus", "m4a"])
def test_blocks_are_what_decoding_all_of_it_gives(format: str) -> None:
    data = encoded(format)
    blocks = list(decode_blocks(data, RATE, max_seconds=60, timeout=60))
    assert len(blocks) > 5
    assert np.array_equal(np.concatenate(blocks), audio.decode(data, RATE))


def test_blocks_of_a_file_that_breaks_off_come_before_the_error() -> None:
    data = encoded("flac")
    blocks = decode_blocks(data[: len(data) // 2], RATE, max_seconds=60, timeout=60)
    got: list[NDArray[np.float32]] = []
    with pytest.raises(errors.RequestRejected, match="cut off"):
        got.extend(blocks)
    assert 1.0 < sum(block.size for block in got) / RATE < 4.5
