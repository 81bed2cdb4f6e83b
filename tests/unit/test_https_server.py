"""The directory over HTTPS, without a socket: what is asked, what is answered, how often."""

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from privox_dht import limits
from privox_dht.dht import dht_limits
from privox_dht.dht.resolver import HostedRecordQuota
from privox_dht.directory.https_answer import Answer
from privox_dht.directory.https_server import parse_query
from privox_dht.errors import BadMessage, RequestRejected
from privox_dht.quotas import quota_prefixes

KEY = "0123456789abcdef0123456789abcdef01234567"
GOOD = {"m": b"8 octets", "n": 1_700_000_000_000, "o": "203.0.113.7", "r": [b"wire"], "h": 3}


@pytest.mark.parametrize(
    ("query", "means"),
    [
        ({}, None),
        ({"key": KEY}, (bytes.fromhex(KEY), limits.FIND_WANT)),
        ({"key": KEY, "want": "1"}, (bytes.fromhex(KEY), 1)),
        ({"key": KEY, "want": "256"}, (bytes.fromhex(KEY), limits.LIST_WANT)),
    ],
)
def test_a_key_or_nothing_can_be_asked_for(query: dict[str, str], means: Any) -> None:
    assert parse_query(query) == means


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ([("want", "3")], "bad_key"),
        ([("key", "")], "bad_key"),
        ([("key", KEY[:-1])], "bad_key"),
        ([("key", KEY + "0")], "bad_key"),
        ([("key", KEY + "\n")], "bad_key"),
        ([("key", KEY.upper())], "bad_key"),
        ([("key", "g" * 40)], "bad_key"),
        ([("key", "٣" * 40)], "bad_key"),  # digits, but not ASCII's
        ([("key", KEY), ("want", "0")], "bad_want"),
        ([("key", KEY), ("want", "-1")], "bad_want"),
        ([("key", KEY), ("want", "257")], "bad_want"),
        ([("key", KEY), ("want", "1e2")], "bad_want"),
        ([("key", KEY), ("want", "9" * 5000)], "bad_want"),
        ([("key", KEY), ("want", "٣")], "bad_want"),
        ([("key", KEY), ("wants", "3")], "bad_query"),
        ([("key", KEY), ("key", KEY)], "bad_query"),
    ],
)
def test_anything_else_is_refused(query: list[tuple[str, str]], code: str) -> None:
    with pytest.raises(RequestRejected) as refused:
        parse_query(MultiDict(query))
    assert (refused.value.status, refused.value.code) == (400, code)
    assert len(refused.value.message) < 100


def test_the_largest_answer_fits_into_a_page() -> None:
    wires = (b"x" * limits.MAX_RECORD,) * limits.LIST_WANT
    answer = Answer(b"8 octets", 1.7e9, "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", wires, 20)
    assert len(answer.encode()) < limits.MAX_PAGE
    assert Answer.decode(answer.encode()) == answer


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        msgpack.packb([GOOD]),
        msgpack.packb({**GOOD, "m": "a word"}),
        msgpack.packb({**GOOD, "n": "soon"}),
        msgpack.packb({**GOOD, "n": -1}),
        msgpack.packb({**GOOD, "n": 2**60}),
        msgpack.packb({**GOOD, "n": float("nan")}),
        msgpack.packb({**GOOD, "o": "example.org"}),
        msgpack.packb({**GOOD, "o": "x" * 100_000}),
        msgpack.packb({**GOOD, "r": {}}),
        msgpack.packb({**GOOD, "r": ["words"]}),
        msgpack.packb({**GOOD, "r": [b""] * (limits.LIST_WANT + 1)}),
        msgpack.packb({**GOOD, "r": [bytes(limits.MAX_RECORD + 1)]}),
        msgpack.packb({**GOOD, "h": -1}),
        msgpack.packb({**GOOD, "h": 10**6}),
        msgpack.packb({name: value for name, value in GOOD.items() if name != "m"}),
        msgpack.packb(GOOD) + b"more",
        b"\x91" * 5_000,
    ],
)
def test_what_is_no_answer_is_a_bad_message_and_nothing_else(body: bytes) -> None:
    with pytest.raises(BadMessage):
        Answer.decode(body)


def test_what_later_versions_may_add_is_ignored() -> None:
    assert Answer.decode(msgpack.packb({**GOOD, "later": 1})).holders == 3


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    try:
        Answer.decode(body)
    except BadMessage:
        pass


# -- whose records are placed ----------------------------------------------------------------------


def test_one_address_has_its_share_and_all_together_theirs() -> None:
    guests = HostedRecordQuota(most=5, most_per_address=2)
    assert [guests.admit(bytes([n]), ("1.0.0.1/32",), 100, 0) for n in range(3)] == [
        True,
        True,
        False,
    ]
    assert [guests.admit(b"x" + bytes([n]), ("2.0.0.1/32",), 100, 0) for n in range(2)] == [
        True,
        True,
    ]
    assert [guests.admit(b"y" + bytes([n]), ("3.0.0.1/32",), 100, 0) for n in range(2)] == [
        True,
        False,
    ]
    assert repr(guests) == "<HostedRecordQuota 5 of 5 records>"


def test_a_renewal_is_always_let_in_and_what_has_expired_makes_room() -> None:
    guests = HostedRecordQuota(most=1, most_per_address=1)
    assert guests.admit(b"a", ("1.0.0.1/32",), 100, 0)
    assert guests.admit(b"a", ("1.0.0.1/32",), 200, 50)
    assert not guests.admit(b"b", ("2.0.0.1/32",), 300, 150), "the renewal counts until its own end"
    assert guests.admit(b"b", ("2.0.0.1/32",), 300, 200)


def test_our_own_machine_has_no_share_of_its_own() -> None:
    guests = HostedRecordQuota(most=4, most_per_address=1)
    assert [guests.admit(bytes([n]), (), 100, 0) for n in range(5)] == [True] * 4 + [False]


def test_what_is_placed_for_others_leaves_room_for_our_own_records() -> None:
    keys = 9  # a service, four languages, four models
    assert dht_limits.HOSTED_RECORDS * keys <= dht_limits.RECORDS_PER_SOURCE / 2
    assert dht_limits.HOSTED_PER_ADDRESS < dht_limits.HOSTED_RECORDS
    assert limits.RESOLVER_TIMEOUT > dht_limits.LOOKUP_TIME


def test_the_networks_around_an_address_have_a_share_too() -> None:
    """Whoever has a /48 of IPv6 has as many addresses as it likes."""
    guests = HostedRecordQuota(most=10, most_per_address=2)
    near = [quota_prefixes(f"2a02:8:8:{n:x}00::1") for n in range(6)]
    assert [guests.admit(bytes([n]), near[n], 100, 0) for n in range(6)] == [True] * 4 + [False] * 2
    assert guests.admit(b"elsewhere", quota_prefixes("2a02:8:9::1"), 100, 0)
