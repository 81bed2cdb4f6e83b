"""The numbers: each has a reason, and those that lean on each other still fit together."""

from __future__ import annotations

import ast
import inspect
import io
import re
import tokenize

import pytest

from privox_dht import limits

SOURCE = inspect.getsource(limits)
NUMBERS = {name: value for name, value in vars(limits).items() if name.isupper()}
SAMPLE_BYTES = 16_000 * 2  # one second of 16 kHz 16-bit PCM


def test_every_number_has_its_reason_beside_it() -> None:
    tokens = tokenize.generate_tokens(io.StringIO(SOURCE).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    bare = [
        ast.unparse(node)
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) not in {"KIB", "MIB", "GIB"}
        and not commented & {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    ]
    assert bare == []


def test_no_number_is_said_twice() -> None:
    names = re.findall(r"^([A-Z_0-9]+)(?:, ([A-Z_0-9]+))? =", SOURCE, re.M)
    flat = [name for pair in names for name in pair if name]
    assert sorted(flat) == sorted(set(flat))
    assert set(flat) == set(NUMBERS)


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_every_number_is_above_nothing(name: str) -> None:
    value = NUMBERS[name]
    values = value if isinstance(value, tuple) else (value,)
    assert all(type(number) in (int, float) and number > 0 for number in values)


def test_two_announcements_may_be_lost_before_a_record_dies() -> None:
    slowest = limits.ANNOUNCE_EVERY + limits.ANNOUNCE_JITTER
    assert 2 * slowest < limits.RECORD_LIFETIME
    assert limits.ANNOUNCE_AT_MOST_EVERY < limits.ANNOUNCE_EVERY - limits.ANNOUNCE_JITTER


def test_datagrams_never_become_fragments_and_hold_two_records() -> None:
    assert limits.MAX_DATAGRAM == 1280 - 40 - 8
    assert 2 * limits.MAX_RECORD < limits.MAX_DATAGRAM
    assert limits.TYPICAL_RECORD <= limits.MAX_RECORD


def test_the_longest_meeting_fits_into_an_upload_and_through_a_farm() -> None:
    assert limits.MAX_AUDIO_SECONDS * SAMPLE_BYTES < limits.MAX_UPLOAD
    assert limits.MAX_UPLOAD < limits.FARM_CALL_BYTES
    assert limits.MAX_AUDIO_SECONDS <= limits.FARM_CALL_SECONDS


def test_a_text_in_json_fits_however_it_is_escaped() -> None:
    assert limits.MAX_TEXT * len("\\uffff") < limits.MAX_JSON


def test_silence_is_longer_than_two_heartbeats() -> None:
    assert limits.SILENCE > 2 * limits.HEARTBEAT
    assert limits.RELAY_SILENCE > limits.RELAY_PING
    idle, interval, probes = limits.RELAY_KEEPALIVE
    assert idle + 2 * interval < limits.RELAY_UNACKED < limits.RELAY_SILENCE, (
        "two probes, then more"
    )
    assert idle + interval * probes >= limits.RELAY_UNACKED


def test_a_ban_grows() -> None:
    assert limits.BACKOFF_FIRST < limits.BACKOFF_LONGEST


def test_a_lost_producer_is_replaced_within_the_time_promised() -> None:
    promised = 6.0  # seconds until a black-holed producer's job is tried elsewhere
    waits = (limits.SILENCE, limits.CONNECT_TIMEOUT, limits.OFFER_TIMEOUT)
    assert max(waits) < promised
