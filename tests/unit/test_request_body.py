"""How slowly a body may come."""

from privox_dht import limits
from privox_dht.http.request_body import MinimumRate
from privox_dht.http.request_limits import RequestLimits

BOUNDS = RequestLimits(upload_begin=5, upload_rate=100, upload_window=10, upload_wall=60)


def test_the_first_byte_is_due_soon() -> None:
    assert MinimumRate(BOUNDS, 1000.0).due == 1005.0


def test_a_window_starts_when_the_first_byte_comes() -> None:
    pace = MinimumRate(BOUNDS, 1000.0)
    pace.received(1, 1004.0)
    assert pace.due == 1014.0


def test_a_drip_below_the_rate_does_not_move_the_moment() -> None:
    pace = MinimumRate(BOUNDS, 1000.0)
    pace.received(1, 1000.0)
    for second in range(1, 10):
        pace.received(99, 1000.0 + second)
    assert pace.due == 1010.0


def test_enough_bytes_start_the_next_window() -> None:
    pace = MinimumRate(BOUNDS, 1000.0)
    pace.received(1, 1000.0)
    pace.received(999, 1001.0)
    assert pace.due == 1010.0
    pace.received(1, 1002.0)
    assert pace.due == 1012.0


def test_bytes_saved_up_buy_no_time() -> None:
    pace = MinimumRate(BOUNDS, 1000.0)
    pace.received(1_000_000, 1001.0)
    assert pace.due == 1011.0


def test_the_whole_upload_has_an_end_however_steadily_it_comes() -> None:
    pace = MinimumRate(BOUNDS, 1000.0)
    for second in range(59):
        pace.received(10_000, 1000.0 + second)
    assert pace.due == 1060.0


def test_a_pace_says_what_it_waits_for() -> None:
    assert repr(MinimumRate(BOUNDS, 0.0)) == "<MinimumRate 1 bytes due at 5.0>"


def test_the_defaults_are_those_of_the_limits() -> None:
    assert RequestLimits().upload == limits.MAX_UPLOAD
    assert RequestLimits().text == limits.MAX_TEXT
