"""Sound files of ours: every format, as a stream, read back by the decoder."""

import hashlib
import io
import subprocess
import sys
import wave

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from privox_dht import audio, errors, speech

RATE = 22_050
SECONDS = 2.0
TONE = 440.0  # Hz
CODED = ("mp3", "flac", "opus", "aac", "m4a")


def tone(rate: int = RATE, seconds: float = SECONDS) -> bytes:
    t = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * TONE * t) * 12_000).astype("<i2").tobytes()


def encoded(format: str, pcm: bytes, rate: int = RATE, piece: int = 4001) -> bytes:
    encoder = audio.Encoder(format, rate)
    pieces = [encoder.feed(pcm[at : at + piece]) for at in range(0, len(pcm), piece)]
    return b"".join([*pieces, encoder.finish()])


def pitch(samples: NDArray[np.float32], rate: int) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / samples.size)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("format", ["wav", *CODED])
def test_every_format_comes_back_as_it_was(format: str, rate: int) -> None:
    samples = audio.decode(encoded(format, tone(rate), rate), 16_000)
    assert samples.dtype == np.float32
    assert samples.size / 16_000 == pytest.approx(SECONDS, abs=0.2)  # codecs pad
    assert pitch(samples, 16_000) == pytest.approx(TONE, abs=2)
    middle = samples[samples.size // 4 : samples.size * 3 // 4]
    assert np.sqrt((middle**2).mean()) == pytest.approx(12_000 / 32_768 / 2**0.5, rel=0.1)


def test_raw_pcm_is_the_samples_and_nothing_else() -> None:
    assert encoded("pcm", tone(16_000), 16_000) == tone(16_000)


@pytest.mark.parametrize("format", sorted({*speech.AUDIO_FORMATS} - {"flac", "m4a"}))
def test_the_file_begins_before_the_sound_has_ended(format: str) -> None:
    encoder = audio.Encoder(format, RATE)
    pcm = tone(seconds=1.5)
    early = b"".join(encoder.feed(pcm[at : at + 4000]) for at in range(0, len(pcm), 4000))
    assert len(early) > 500
    encoder.finish()


@pytest.mark.parametrize(("format", "container"), [("flac", "flac"), ("m4a", "mov")])
def test_a_file_with_a_header_says_in_it_how_long_it_is(format: str, container: str) -> None:
    """A FLAC file said 0 samples, and players could not seek in it; M4A was AAC without an MP4."""
    with av.open(io.BytesIO(encoded(format, tone()))) as file:
        assert container in file.format.name
        stream = file.streams.audio[0]
        assert stream.duration and stream.time_base
        assert stream.duration * stream.time_base == pytest.approx(SECONDS, abs=0.1)


def test_a_flac_file_counts_its_samples_and_has_their_checksum() -> None:
    file = encoded("flac", tone())
    assert file[:4] == b"fLaC"
    assert int.from_bytes(file[18:26], "big") & (2**36 - 1) == RATE * SECONDS
    assert file[26:42] == hashlib.md5(tone()).digest()


@pytest.mark.parametrize("format", speech.AUDIO_FORMATS)
def test_no_sound_at_all_ends_well(format: str) -> None:
    encoder = audio.Encoder(format, RATE)
    assert encoder.feed(b"") + encoder.finish() is not None


@pytest.mark.parametrize("format", speech.AUDIO_FORMATS)
def test_every_format_has_a_content_type(format: str) -> None:
    assert audio.CONTENT_TYPES[format].startswith("audio/")


def test_a_format_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(
        errors.RequestRejected, match="no audio format 'midi'; there are wav, mp3"
    ) as no:
        audio.Encoder("midi", RATE)
    assert (no.value.status, no.value.param) == (400, "response_format")


def test_without_pyav_wav_is_written_and_mp3_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert encoded("wav", tone())[:4] == b"RIFF"
    with pytest.raises(errors.RequestRejected, match="without PyAV; wav and pcm can") as refused:
        audio.Encoder("mp3", RATE)
    assert refused.value.status == 501
    with pytest.raises(errors.RequestRejected, match="PyAV is not installed"):
        audio.decode(audio.wav(tone(), RATE), RATE)


def test_neither_pyav_nor_numpy_is_imported_before_it_is_needed() -> None:
    """A client sends files unopened, and may have neither."""
    check = "import privox_dht.audio, sys; print({'av', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "set()\n"


def test_a_complete_wav_is_what_the_standard_library_reads() -> None:
    with wave.open(io.BytesIO(audio.wav(tone(), RATE))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        assert file.readframes(file.getnframes()) == tone()


def test_a_streamed_wav_is_mended_into_the_complete_one() -> None:
    streamed = io.BytesIO(encoded("wav", tone()))
    assert streamed.getvalue() != audio.wav(tone(), RATE)
    audio.patch_sizes(streamed)
    assert streamed.getvalue() == audio.wav(tone(), RATE)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=9), max_size=20))
def test_samples_may_be_cut_anywhere(pieces: list[bytes]) -> None:
    encoder = audio.Encoder("pcm", RATE)
    said = b"".join(map(encoder.feed, pieces)) + encoder.finish()
    whole = b"".join(pieces)
    assert said == whole[: len(whole) // 2 * 2]
