"""The errors of sound files that are rejected."""

from privox_dht import errors, limits
from privox_dht.units import duration

CLAIM_TOLERANCE = 1.01  # a claim is refused at once above this times the limit; samples are exact


def refused(message: str, status: int = 400) -> errors.RequestRejected:
    code = "audio_too_long" if status == 413 else "invalid_audio"
    return errors.RequestRejected(message, status=status, code=code, param="file")


def too_long(most: float) -> errors.RequestRejected:
    """It has more than so many seconds."""
    return refused(f"the audio is longer than {duration(most)}: cut it into pieces", status=413)


def bad_rate(rate: int) -> errors.RequestRejected:
    return refused(f"the file claims {rate} Hz; {limits.MIN_RATE} to {limits.MAX_RATE} Hz are read")
