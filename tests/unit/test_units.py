import pytest

from privox_dht import limits, units


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB"),
        (limits.MAX_UPLOAD, "256 MiB"), (3 << 30, "3 GiB"),
    ],
)  # fmt: skip
def test_bytes_are_said_in_the_largest_unit_that_fits(number, said):
    assert units.size(number) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.5, "0.5 seconds"), (1, "1 second"), (59, "59 seconds"), (60, "1 minute"),
        (90, "1.5 minutes"), (limits.MAX_AUDIO_SECONDS, "2 hours"),
    ],
)  # fmt: skip
def test_spans_of_time_are_said_in_the_largest_unit_that_fits(seconds, said):
    assert units.duration(seconds) == said
