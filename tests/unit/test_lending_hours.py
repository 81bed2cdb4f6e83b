"""Hours of the day in which a machine lends."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from nodes.lending_hours import contains, next_start, parse_hours
from privox_dht.errors import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")


def berlin(now: float) -> datetime:
    return datetime.fromtimestamp(now, BERLIN)


def at(text: str) -> float:
    """A time by a clock in Berlin, the earlier one of two."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22:00-07:00", "23:59 00:00 06:59 22:00", "07:00 21:59 12:00"),
        ("09:00-17:30", "09:00 17:29", "08:59 17:30 00:00"),
        ("00:00-24:00", "00:00 23:59", ""),
        ("18:00-24:00", "18:00 23:59", "00:00 17:59"),
        ("7:05-8:00,12:00-13:00", "07:05 12:59", "07:04 08:00 13:00"),
    ],
)
def test_a_minute_is_in_hours_or_is_not(hours: str, inside: str, outside: str) -> None:
    parsed = parse_hours(hours.split(","))
    for word in inside.split():
        assert contains(parsed, berlin(at(f"2026-11-22 {word}"))), word
    for word in outside.split():
        assert not contains(parsed, berlin(at(f"2026-11-22 {word}"))), word


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    nights = parse_hours(["fri-sat 22:00-07:00"])  # 2026-11-20 is a Friday
    assert not contains(nights, berlin(at("2026-11-20 06:00")))
    assert contains(nights, berlin(at("2026-11-20 22:00")))
    assert contains(nights, berlin(at("2026-11-21 06:59")))
    assert contains(nights, berlin(at("2026-11-22 06:59")))
    assert not contains(nights, berlin(at("2026-11-22 22:00")))
    weekend = parse_hours(["fri-mon 00:00-24:00"])
    days = [contains(weekend, berlin(at(f"2026-11-{day} 12:00"))) for day in range(16, 23)]
    assert days == [True, False, False, False, True, True, True]


@pytest.mark.parametrize(
    "wrong",
    [
        "22-07", "25:00-07:00", "22:60-07:00", "24:00-07:00", "22:00-22:00", "mon", "22:00",
        "mon-xyz 10:00-11:00", "montag 10:00-11:00", "10:00-11:00 mon", "-1:00-07:00", "",
    ],
)  # fmt: skip
def test_what_is_no_hours_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(ConfigError, match="such as 22:00-07:00"):
        parse_hours([wrong])


@pytest.mark.parametrize(
    ("hours", "now", "then"),
    [
        ("22:00-07:00", "2026-11-22 12:00", "2026-11-22 22:00"),
        ("22:00-07:00", "2026-11-22 23:00", "2026-11-22 23:00"),
        ("sat 10:00-11:00", "2026-11-22 10:30", "2026-11-28 10:00"),  # asked on a Sunday
        ("02:15-02:45", "2026-03-28 12:00", "2026-03-30 02:15"),  # they are left out on the 29th
        ("02:15-02:45", "2026-10-25 00:00", "2026-10-25 02:15"),
        ("05:00-06:00", "2026-03-29 01:30", "2026-03-29 05:00"),
        ("05:00-06:00", "2026-10-25 01:30", "2026-10-25 05:00"),
    ],
)
def test_the_next_minute_of_some_hours_is_found(hours: str, now: str, then: str) -> None:
    assert next_start(parse_hours([hours]), at(now), berlin) == at(then)


def test_an_hour_that_comes_twice_counts_twice() -> None:
    hours = parse_hours(["02:15-02:45"])
    first = at("2026-10-25 02:15")
    open_at = [first + m * 60 for m in range(120) if contains(hours, berlin(first + m * 60))]
    assert len(open_at) == 60
    assert next_start(hours, first + 1800, berlin) == first + 3600


def test_the_next_minute_begins_on_the_minute_whatever_second_it_is() -> None:
    [hours] = [parse_hours(["22:00-07:00"])]
    now = datetime(2026, 11, 22, 20, 59, 59, 900_000, tzinfo=UTC).timestamp()
    assert next_start(hours, now, berlin) == at("2026-11-22 22:00")
