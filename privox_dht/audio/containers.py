"""Opens an untrusted audio file with PyAV: only the containers and codecs that are listed here.

No other file is opened, no network protocol is used, no picture is decoded.
"""

from typing import Any, BinaryIO

from privox_dht import limits
from privox_dht.audio.refusals import bad_rate, refused

DEMUXERS = "wav,w64,aiff,au,caf,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,aac,amr"
STATES_LENGTH = {"w64", "aiff", "flac", "mov"}  # containers (beside WAV) that state their length
ANY_TAG_ENCODING = 19  # the first PyAV that reads tags in any encoding, and has no option for it
DECODERS = (  # common audio codecs; FFmpeg has ten times as many, and others for pictures
    *("pcm_s8", "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le"),
    *("pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be", "pcm_alaw", "pcm_mulaw"),
    *("adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt", "gsm", "gsm_ms", "mp3", "mp3float", "mp2"),
    *("mp2float", "mp1", "mp1float", "flac", "alac", "vorbis", "opus", "libopus", "speex", "aac"),
    *("amrnb", "amrwb", "libopencore_amrnb", "libopencore_amrwb", "ac3", "eac3", "dca"),
)
OPEN_OPTIONS = {
    "format_whitelist": DEMUXERS,
    "codec_whitelist": ",".join(DECODERS),  # so that FFmpeg decodes no picture to find its size
    "protocol_whitelist": "none",
    "max_streams": "8",
    "probesize": "1000000",  # bytes read to find the format
    "analyzeduration": "5000000",  # microseconds of audio read for the same
}


def open_container(source: BinaryIO) -> Any:
    """The opened file, a context manager.

    Raises:
        RequestRejected: it refers to another file.
        FFmpegError, ValueError, IndexError, OSError, MemoryError: it is not an audio file that can
            be read. (PyAV raises IndexError for some other files, such as pictures.)
    """
    import av

    return av.open(
        source, "r", options=OPEN_OPTIONS, io_open=_no_other_file, **_tags_in_any_encoding()
    )


def _no_other_file(url: str, flags: int, options: Any) -> Any:
    raise refused("the file refers to another file; only sound itself is taken")


def _tags_in_any_encoding() -> dict[str, Any]:
    """The option that makes PyAV accept a title that is not UTF-8; from 19 on it always does."""
    import av

    major = int(av.__version__.partition(".")[0])
    return {"metadata_errors": "ignore"} if major < ANY_TAG_ENCODING else {}


def audio_stream(container: Any) -> Any:
    """The first audio stream, which is the one to decode.

    Raises:
        RequestRejected: there is none, or its codec, rate or channels are not supported.
    """
    if not container.streams.audio:
        raise refused("the file holds no audio")
    stream = container.streams.audio[0]
    codec = stream.codec_context
    if codec is None:
        raise refused("the audio in this file is of a kind that cannot be decoded")
    if codec.name not in DECODERS:
        raise refused(f"the audio in this file is {codec.name}, which is not taken")
    if not limits.MIN_RATE <= (codec.sample_rate or 0) <= limits.MAX_RATE:
        raise bad_rate(codec.sample_rate or 0)
    if not 1 <= (codec.channels or 0) <= limits.MAX_CHANNELS:
        raise refused(
            f"the file claims {codec.channels} channels; 1 to {limits.MAX_CHANNELS} are read"
        )
    codec.thread_count = 1
    return stream


def stated_seconds(container: Any, stream: Any) -> float:
    """The length that the container states, in seconds; 0 if it states none, or an estimate."""
    names = set(container.format.name.split(","))
    if not names & STATES_LENGTH or stream.duration is None or stream.time_base is None:
        return 0.0
    return float(stream.duration * stream.time_base)
