"""When a machine lends: hours of the day, perhaps of some days of the week. Pure.

    22:00-07:00             every night; it belongs to the day on which it begins
    mon-fri 18:00-24:00     of these days; fri-mon goes over the weekend
    sat 00:00-24:00         a whole day

Hours are local time. When clocks are put forward, the skipped minutes do not count; when they are
put back, those that come twice count twice.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from privox_dht.errors import ConfigError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
MINUTE = 60.0  # seconds
SEARCH_MINUTES = 8 * DAY  # every hour of a week occurs in them, in spite of clock changes
_WRITTEN = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<start>\d{1,2}:\d\d)-(?P<end>\d{1,2}:\d\d)"
)

Local = Callable[[float], datetime]  # local time at a time since the epoch


@dataclass(frozen=True, slots=True)
class Hours:
    """A span of hours on some days of the week."""

    start: int  # minutes since midnight
    end: int  # likewise; if not after `start`, on the next day
    days: frozenset[int] = frozenset(range(7))  # on which it begins; 0 is Monday
    text: str = ""  # as configured

    def __str__(self) -> str:
        return self.text

    def contains(self, local_time: datetime) -> bool:
        """Whether this local time is within the span."""
        minute, day = local_time.hour * 60 + local_time.minute, local_time.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        yesterday = (day - 1) % 7
        return (day in self.days and minute >= self.start) or (
            yesterday in self.days and minute < self.end
        )


def parse_hours(texts: Iterable[str]) -> tuple[Hours, ...]:
    """Hours as a person writes them.

    Raises:
        ConfigError: one of the texts is not understood; the message shows valid ones.
    """
    return tuple(map(_parse, texts))


def contains(hours: Iterable[Hours], local_time: datetime) -> bool:
    """Whether this local time is within any of them."""
    return any(part.contains(local_time) for part in hours)


def next_start(hours: Iterable[Hours], now: float, local: Local) -> float | None:
    """When the next minute within any of them begins: `now` if this one is; None: never."""
    all_hours = tuple(hours)
    if contains(all_hours, local(now)):
        return now
    minute = now // MINUTE * MINUTE
    for ahead in range(1, SEARCH_MINUTES + 1):
        if contains(all_hours, local(minute + ahead * MINUTE)):
            return minute + ahead * MINUTE
    return None


def _parse(text: str) -> Hours:
    wrong = ConfigError(
        f"--lend-hours {text}: give hours such as 22:00-07:00, mon-fri 18:00-24:00 or, for a whole"
        " day, sat 00:00-24:00"
    )
    written = _WRITTEN.fullmatch(text.strip().lower())
    if written is None:
        raise wrong
    start, end = _minute(written["start"]), _minute(written["end"])
    first, last = written["first"], written["last"]
    if start is None or end is None or start in (DAY, end):
        raise wrong
    if first is None:
        return Hours(start, end, text=text)
    if first not in DAYS or (last or first) not in DAYS:
        raise wrong
    begin = DAYS.index(first)
    count = (DAYS.index(last or first) - begin) % 7 + 1
    return Hours(start, end, frozenset((begin + n) % 7 for n in range(count)), text)


def _minute(text: str) -> int | None:
    """Minutes since midnight of "7:05" or "24:00"; None: not a time of day."""
    hour, minute = map(int, text.split(":"))
    since = hour * 60 + minute
    return since if minute < 60 and since <= DAY else None
