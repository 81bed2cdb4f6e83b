"""Opening a stranger's sound file by PyAV: which containers and codecs, and nothing else.

No other file is ever opened, no protocol spoken, no picture decoded.
"""

from typing import Any, BinaryIO

from privox_dht import limits
from privox_dht.audio.refusals import bad_rate, refused

DEMUXERS = "wav,w64,aiff,au,caf,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,aac,amr"
STATES_LENGTH = {"w64", "aiff", "flac", "mov"}  # containers (and WAV) whose length is a promise
ANY_TAG_ENCODING = 19  # the first PyAV that reads tags in any encoding, and has no option for it
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


def open_container(source: BinaryIO) -> Any:
    """The file, opened: a context.

    Raises:
        RequestRejected: it refers to another file.
        FFmpegError, ValueError, IndexError, OSError, MemoryError: it is no sound file that can be
            read. (PyAV raises IndexError for some that are no sound at all: a picture, say.)
    """
    import av

    return av.open(
        source, "r", options=OPEN_OPTIONS, io_open=_no_other_file, **_tags_in_any_encoding()
    )


def _no_other_file(url: str, flags: int, options: Any) -> Any:
    raise refused("the file refers to another file; only sound itself is taken")


def _tags_in_any_encoding() -> dict[str, Any]:
    """What makes PyAV take a title that is not UTF-8: from version 19 on it always does."""
    import av

    major = int(av.__version__.partition(".")[0])
    return {"metadata_errors": "ignore"} if major < ANY_TAG_ENCODING else {}


def audio_stream(container: Any) -> Any:
    """The stream to decode: the first of sound.

    Raises:
        RequestRejected: there is none, or what it claims to be is not taken.
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
    """How much sound the container promises; 0 where it promises nothing, or only guesses."""
    names = set(container.format.name.split(","))
    if not names & STATES_LENGTH or stream.duration is None or stream.time_base is None:
        return 0.0
    return float(stream.duration * stream.time_base)
