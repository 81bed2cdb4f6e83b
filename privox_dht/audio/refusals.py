"""What is said of a stranger's sound that is not taken."""

from __future__ import annotations

from privox_dht import errors, limits


def refused(message: str, status: int = 400) -> errors.RequestRejected:
    code = "audio_too_long" if status == 413 else "invalid_audio"
    return errors.RequestRejected(message, status=status, code=code, param="file")


def bad_rate(rate: int) -> errors.RequestRejected:
    return refused(f"the file claims {rate} Hz; {limits.MIN_RATE} to {limits.MAX_RATE} Hz are read")
