"""The errors of rejected audio files."""

from privox_dht import errors, limits
from privox_dht.units import duration

CLAIM_TOLERANCE = 1.01  # times the limit; a longer stated length is rejected before decoding


def refused(message: str, status: int = 400) -> errors.RequestRejected:
    code = "audio_too_long" if status == 413 else "invalid_audio"
    return errors.RequestRejected(message, status=status, code=code, param="file")


def too_long(most: float) -> errors.RequestRejected:
    """The audio is longer than `most` seconds."""
    return refused(f"the audio is longer than {duration(most)}: cut it into pieces", status=413)


def bad_rate(rate: int) -> errors.RequestRejected:
    return refused(f"the file claims {rate} Hz; {limits.MIN_RATE} to {limits.MAX_RATE} Hz are read")
