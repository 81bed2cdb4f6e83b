"""Complete recordings that are not made in one go: all of them is heard."""

import io
import struct
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest

from privox_dht import audio, errors

RATE = 16_000


def noise(seconds: float, rate: int) -> bytes:
    samples = np.random.default_rng(0).normal(0, 2000, int(seconds * rate))
    return samples.astype("<i2").tobytes()


def encoded(
    format: str,
    codec: str,
    rate: int,
    seconds: float,
    layout: str = "mono",
    options: dict[str, str] | None = None,
    hole: float = 0.0,
) -> bytes:
    """A file; in its time stamps `hole` seconds are missing in the middle."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout=layout, options=options or {})
        both = np.repeat(np.frombuffer(noise(seconds, rate), "<i2"), 2 if layout == "stereo" else 1)
        frame = av.AudioFrame.from_ndarray(both.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.format.name, layout, rate, frame_size=size)
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            for packet in stream.encode(piece):
                if packet.pts * packet.time_base > seconds / 2:
                    packet.pts += int(hole / packet.time_base)
                    packet.dts = packet.pts
                out.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("format", "codec"), [("mp3", "libmp3lame"), ("adts", "aac")], ids=["mp3", "aac"]
)
def test_a_recording_may_change_its_rate_and_channels_in_the_middle(
    format: str, codec: str
) -> None:
    """MP3 files that somebody joined, and radio: jingles in stereo, talk in mono."""
    talk = encoded(format, codec, 22_050, 2.0)
    jingle = encoded(format, codec, 44_100, 3.0, "stereo")
    samples = audio.decode(talk + jingle + talk, RATE)
    assert samples.size / RATE == pytest.approx(7.0, abs=0.3)
    assert 0.01 < np.abs(samples[: 1 * RATE]).mean() < 0.2
    assert 0.01 < np.abs(samples[-1 * RATE :]).mean() < 0.2


def test_what_cannot_be_decoded_further_is_not_taken_for_the_whole() -> None:
    """Newer FFmpegs give up where an Ogg file goes on with another number of channels."""
    talk = encoded("ogg", "libopus", 48_000, 2.0)
    jingle = encoded("ogg", "libopus", 48_000, 2.0, "stereo")
    try:
        heard = audio.decode(talk + jingle, RATE)
    except errors.RequestRejected as exc:
        assert exc.code == "invalid_audio" and "the rest of the file" in str(exc)
    else:  # FFmpeg 7.0
        assert heard.size / RATE == pytest.approx(4.0, abs=0.1)
    assert audio.decode(talk + talk, RATE).size / RATE == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("block", [256, 1024])
def test_a_dictaphones_compressed_wav_is_whole(block: int) -> None:
    """Microsoft's ADPCM has 500 samples in 256 bytes: not 4 bits for each, as its header says."""
    file = encoded("wav", "adpcm_ms", 8_000, 40.0, options={"block_size": str(block)})
    assert audio.decode(file, RATE).size / RATE == pytest.approx(40.0, abs=0.3)


def test_samples_of_20_bits_take_three_bytes_each() -> None:
    samples = np.frombuffer(noise(3, RATE), "<i2").astype("<i4") << 8
    pcm = samples.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    file = bytearray(audio.wav(pcm, RATE))
    struct.pack_into("<IHH", file, 28, 3 * RATE, 3, 20)
    assert audio.decode(bytes(file), RATE).size / RATE == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("format", ["ipod", "mov"])
def test_a_phones_recording_may_have_a_gap(format: str) -> None:
    """A call came in, and the recorder went on after it: its times jump, and nothing is missing."""
    whole = encoded(format, "aac", RATE, 20.0, hole=5.0)
    assert audio.decode(whole, RATE).size / RATE == pytest.approx(20.0, abs=0.2)
