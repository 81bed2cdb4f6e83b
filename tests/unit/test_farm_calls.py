"""What a running call may do, and when it must end. No socket, no clock."""

from privox_dht.relay import FarmLimits, Timeouts
from privox_dht.relay.farm.calls import Call, Calls, ParkedProducer

TERMS = FarmLimits(call_bytes=1000, call_seconds=100, buffered=500)


def running(*names: str) -> tuple[Calls, list[Call]]:
    """Calls that have begun at second 0, of which the client has said something."""
    calls = Calls(TERMS, Timeouts())
    producer = ParkedProducer(bytes(32), bytes(8), ("p/32",), "control")
    begun = [Call(f"{n} client", f"{n} line", producer, n, ("c/32",), 0.0) for n in names]
    for call in begun:
        calls.begin(call)
        calls.client_sent(call)
    return calls, begun


def test_a_reader_that_takes_nothing_for_ten_seconds_ends_its_call_and_silence_does_not() -> None:
    calls, (call,) = running("one")
    assert calls.end_reason(call, 0, 0, 99.0) is None  # a long transcription may answer late
    call.down.written = 300
    assert calls.end_reason(call, 0, 200, 10.0) is None
    assert calls.end_reason(call, 0, 199, 19.0) is None  # it took a byte
    assert calls.end_reason(call, 0, 199, 28.9) is None
    assert calls.end_reason(call, 0, 199, 29.0) == "stalled"


def test_what_is_written_meanwhile_is_no_progress_of_the_reader() -> None:
    calls, (call,) = running("one")
    reason = None
    for second in range(11):
        call.up.written += 50
        reason = calls.end_reason(call, call.up.written, 0, float(second))
    assert reason == "stalled"


def test_a_slow_reader_may_take_as_long_as_its_call() -> None:
    calls, (call,) = running("one")
    call.down.written = 99
    for second in range(99):
        assert calls.end_reason(call, 0, 99 - second, float(second)) is None


def test_a_call_ends_at_its_bytes_and_at_its_seconds() -> None:
    calls, (call,) = running("one")
    assert calls.end_reason(call, 0, 0, 99.9) is None
    assert calls.end_reason(call, 0, 0, 100.0) == "seconds"
    call.up.written, call.down.written = 600, 401
    assert calls.end_reason(call, 0, 0, 1.0) == "bytes"


def test_after_a_side_hung_up_the_other_gets_all_its_bytes_but_may_not_linger() -> None:
    calls, (call,) = running("one")
    call.closing, call.down.written = True, 100
    assert calls.end_reason(call, 0, 50, 10.0) is None
    assert calls.end_reason(call, 0, 20, 19.0) is None
    assert calls.end_reason(call, 0, 0, 20.0) is None
    assert calls.end_reason(call, 0, 0, 25.0) == "lingering"


def test_when_all_calls_hold_too_much_the_one_behind_for_longest_ends() -> None:
    calls, (one, two) = running("one", "two")
    assert calls.set_held(two, two.client, 300) is None
    assert calls.set_held(one, one.client, 200) is None
    assert calls.held == 500
    assert calls.set_held(one, one.line, 1) is two
    assert calls.set_held(two, two.client, 0) is None
    assert calls.held == 201
    assert calls.side_closed(one.client) is None
    assert calls.side_closed(one.line) is one
    assert calls.held == 0 and calls.open == {two}
