"""Sizes and times as text: 268435456 bytes are "256 MiB", 7200 seconds "2 hours". Pure."""

import re

SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
TIMES = ((3600, "hour"), (60, "minute"), (1, "second"))
WRITTEN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)  # 6GB, 512 MiB
PREFIXES = " KMGT"
SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([dhms])\s*", re.IGNORECASE)  # 2h, 1h30m, 1.5 d
SPANS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def size(number: int) -> str:
    """A number of bytes: 1536 as "1.5 KiB"."""
    for unit, name in SIZES:
        if number >= unit:
            return f"{number / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{number} bytes"


def clock_time(seconds: float) -> str:
    """65.2 as "1:05"."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """A span of time in the largest unit that is not longer: 5400 as "1.5 hours"."""
    for unit, name in TIMES:
        if seconds >= unit:
            count = f"{seconds / unit:.1f}".removesuffix(".0")
            return f"{count} {name}" + ("" if count == "1" else "s")
    return f"{seconds:g} seconds"


def bytes_in(text: str) -> int:
    """The bytes of a size: "6GB" is 6 * 1000 ** 3, "6GiB" 6 * 1024 ** 3.

    Raises:
        ValueError: it is not a size, or 0.
    """
    written = WRITTEN.fullmatch(text.strip())
    if written is None:
        raise ValueError(f"{text!r} is not a size such as 6GB or 512MiB")
    number, prefix, binary = written.groups()
    base = 1024 if binary else 1000
    found = int(float(number) * base ** PREFIXES.index(prefix.upper() or " "))
    if not found:
        raise ValueError(f"{text!r} is a size of 0")
    return found


def seconds_in(text: str) -> float:
    """The seconds of a span of time: "2h" is 7200, "1h30m" 5400.

    Raises:
        ValueError: it is not a span of time, or 0.
    """
    text = text.strip()
    parts = list(SPAN.finditer(text))
    seconds = sum(float(part[1]) * SPANS[part[2].lower()] for part in parts)
    if not seconds or "".join(part[0] for part in parts) != text:
        raise ValueError(f"{text!r} is not a time such as 30m, 2h or 1h30m")
    return seconds
