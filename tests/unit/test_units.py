import pytest

from privox_dht import limits, units


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB"),
        (limits.MAX_UPLOAD, "256 MiB"), (3 << 30, "3 GiB"),
    ],
)  # fmt: skip
def test_bytes_are_said_in_the_largest_unit_that_fits(number: int, said: str) -> None:
    assert units.size(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "0.5 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"),
        (90, "1.5 minutes"), (limits.MAX_AUDIO_SECONDS, "2 hours"),
    ],
)  # fmt: skip
def test_spans_of_time_are_said_in_the_largest_unit_that_fits(seconds: float, said: str) -> None:
    assert units.duration(seconds) == said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6GB", 6_000_000_000),
        ("6 GiB", 6 << 30),
        ("512m", 512_000_000),
        ("1.5KiB", 1536),
        ("2000000", 2_000_000),
    ],
)
def test_a_size_is_read_as_a_person_writes_it(text: str, expected: int) -> None:
    assert units.bytes_in(text) == expected


@pytest.mark.parametrize("text", ["", "six", "0", "-1GB", "6PB", "6 G B", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"6GB|size of 0"):
        units.bytes_in(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90s", 90), ("1h30m", 5400), ("1h 30m", 5400), ("1.5h", 5400), ("7D", 604_800)],
)
def test_a_span_of_time_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert units.seconds_in(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "0h", "2h later", "-2h", "2 hours", "1:30", "2hm"])
def test_what_is_no_span_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a time such as 30m"):
        units.seconds_in(text)
