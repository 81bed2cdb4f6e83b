"""The numbers: each has a reason, and those that lean on each other still fit together."""

import ast
import inspect
import io
import re
import tokenize
from types import ModuleType

import pytest

from nodes.gateway import gateway_limits
from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.relay import relay_limits

HOMES = [limits, dht_limits, relay_limits, gateway_limits]
SAMPLE_BYTES = 16_000 * 2  # one second of 16 kHz 16-bit PCM


def numbers_of(home: ModuleType) -> dict[str, object]:
    """The numbers that a module defines itself."""
    names = re.findall(r"^([A-Z_0-9]+)(?:, ([A-Z_0-9]+))? = [^{]", inspect.getsource(home), re.M)
    flat = [name for pair in names for name in pair if name]
    assert sorted(flat) == sorted(set(flat)), "no number is said twice"
    return {name: getattr(home, name) for name in flat}


@pytest.mark.parametrize("home", HOMES)
def test_every_number_has_its_reason_beside_it(home: ModuleType) -> None:
    source = inspect.getsource(home)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    bare = [
        ast.unparse(node)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) not in {"KIB", "MIB", "GIB"}
        and not commented & {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    ]
    assert bare == []


@pytest.mark.parametrize("home", HOMES)
def test_every_number_is_above_nothing(home: ModuleType) -> None:
    for name, value in numbers_of(home).items():
        values = value if isinstance(value, tuple) else (value,)
        assert all(type(number) in (int, float) and number > 0 for number in values), name


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
    assert limits.MAX_UPLOAD < relay_limits.FARM_CALL_BYTES
    assert limits.MAX_AUDIO_SECONDS <= relay_limits.FARM_CALL_SECONDS


def test_a_text_in_json_fits_however_it_is_escaped() -> None:
    assert limits.MAX_TEXT * len("\\uffff") < limits.MAX_JSON


def test_silence_is_longer_than_two_heartbeats() -> None:
    assert limits.SILENCE > 2 * limits.HEARTBEAT
    assert relay_limits.SILENCE > relay_limits.PING
    idle, interval, probes = relay_limits.KEEPALIVE
    assert idle + 2 * interval < relay_limits.UNACKED < relay_limits.SILENCE, (
        "two probes, then more"
    )
    assert idle + interval * probes >= relay_limits.UNACKED


def test_a_ban_grows() -> None:
    assert limits.BACKOFF_FIRST < limits.BACKOFF_LONGEST


def test_a_lost_producer_is_replaced_within_the_time_promised() -> None:
    promised = 6.0  # seconds until a black-holed producer's job is tried elsewhere
    waits = (limits.SILENCE, limits.CONNECT_TIMEOUT, limits.OFFER_TIMEOUT)
    assert max(waits) < promised
