"""What goes over the relay's wires, byte for byte, and what is not understood."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privox_dht import limits
from privox_dht.errors import BadMessage
from privox_dht.identity import Identity
from privox_dht.relay import FarmLimits, messages, relay_limits

FARM = Identity(bytes(32))
PRODUCER = Identity(bytes([1] * 32))
THEIRS, OURS, INSTANCE = bytes([2] * 32), bytes([3] * 32), bytes([4] * 8)
TOKEN = "05" * 16

PINNED = [
    (messages.control(THEIRS), b"CONTROL " + b"02" * 32 + b" PRIVOX/1\r\n\r\n"),
    (messages.park(TOKEN), b"PARK 05050505050505050505050505050505 PRIVOX/1\r\n\r\n"),
    (
        messages.encode(messages.challenge(FARM, THEIRS, OURS)),
        b"challenge " + b"03" * 32 + b" "
        b"3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29 "
        b"d80300bfaff6d143e9d823929c580d399d14a40b2022019e68a4e9cecc9a3437"
        b"e8e1962e85f19265347388254ac82c907ce2720e8b327a3ad2553d3751ed4e07\n",
    ),
    (
        messages.encode(messages.prove(PRODUCER, FARM.public, OURS, THEIRS, INSTANCE)),
        b"prove 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c "
        b"0404040404040404 "
        b"3d2fb14d8c804e2b7446bff1219346e272faad8aacc57ff2aebc2d705420ddd2"
        b"722b6018cfb2e9cdc5842f581e872ac15af3c99e8e4c51abe86d85317244c903\n",
    ),
    (messages.encode(("granted", "3", "64")), b"granted 3 64\n"),
    (messages.encode(("refused", "flapping", "60")), b"refused flapping 60\n"),
    (messages.encode(("token", TOKEN)), b"token 05050505050505050505050505050505\n"),
    (messages.encode(("parked", TOKEN)), b"parked 05050505050505050505050505050505\n"),
    (messages.encode(("claimed", TOKEN, "-")), b"claimed 05050505050505050505050505050505 -\n"),
    (
        messages.encode(("claimed", TOKEN, "0123456789ab.0123456789ab")),
        b"claimed 05050505050505050505050505050505 0123456789ab.0123456789ab\n",
    ),
    (messages.encode(("gone", TOKEN)), b"gone 05050505050505050505050505050505\n"),
    (messages.encode(("full",)), b"full\n"),
    (messages.encode(("draining", "30")), b"draining 30\n"),
    (messages.encode(("superseded",)), b"superseded\n"),
    (messages.encode(("ping",)), b"ping\n"),
    (
        messages.accepted(FarmLimits(call_bytes=7, call_seconds=8)),
        b"HTTP/1.1 200 Connection Established\r\n"
        b"Privox-Call-Bytes: 7\r\nPrivox-Call-Seconds: 8\r\n\r\n",
    ),
    (
        messages.refusal("line"),
        b"HTTP/1.1 503 Service Unavailable\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 43\r\n"
        b"Retry-After: 1\r\nConnection: close\r\n\r\n"
        b"No line of this producer is free just now.\n",
    ),
    (
        messages.refusal("method"),
        b"HTTP/1.1 405 Method Not Allowed\r\n"
        b"Content-Type: text/plain\r\nContent-Length: 62\r\n"
        b"Allow: CONNECT\r\nConnection: close\r\n\r\n"
        b"This is a farm: it answers CONNECT <peer id>.privox:443 only.\n",
    ),
]


@pytest.mark.parametrize(("said", "pinned"), PINNED, ids=lambda v: v[:12].decode().split()[0])
def test_what_is_said_is_pinned_byte_for_byte(said: bytes, pinned: bytes) -> None:
    assert said == pinned


def test_every_word_is_pinned_and_documented() -> None:
    pinned = {line.split()[0].decode() for _, line in PINNED}
    page = Path(__file__, "../../../docs/relay.md").resolve().read_text()
    assert set(messages.MESSAGES) <= pinned
    for word in messages.MESSAGES:
        assert f"| `{word}" in page, word
    for why, (status, text, _) in messages.REFUSALS.items():
        assert re.search(rf"\| `{why}` \| {status} \|.*{re.escape(text)}", page), why


def test_the_longest_line_fits() -> None:
    longest = max(len(line) for _, line in PINNED if line.endswith(b"\n"))
    assert longest <= limits.RELAY_LINE


HEADS = [
    (f"CONNECT {PRODUCER.peer_id}.privox:443 HTTP/1.1", messages.Connect(PRODUCER.public)),
    (f"CONNECT {PRODUCER.peer_id.upper()}.PRIVOX:443 HTTP/1.0", messages.Connect(PRODUCER.public)),
    (f"PARK {TOKEN} PRIVOX/1", messages.Park(TOKEN)),
    (f"CONTROL {THEIRS.hex()} PRIVOX/1", messages.Control(THEIRS)),
    (f"PARK {TOKEN} PRIVOX/2", "version"),
    (f"CONTROL {THEIRS.hex()} HTTP/1.1", "version"),
    (f"PARK {TOKEN[1:]} PRIVOX/1", "head"),
    (f"PARK {TOKEN.upper()}X PRIVOX/1", "head"),
    (f"CONTROL {TOKEN} PRIVOX/1", "head"),
    (f"CONNECT {PRODUCER.peer_id}.privox:444 HTTP/1.1", "target"),
    (f"CONNECT {PRODUCER.peer_id}:443 HTTP/1.1", "target"),
    ("CONNECT 127.0.0.1:22 HTTP/1.1", "target"),
    ("CONNECT a.privox:443 HTTP/1.1", "target"),
    ("CONNECT  .privox:443", "head"),
    ("GET / HTTP/1.1", "method"),
    ("POST http://127.0.0.1/ HTTP/1.1", "method"),
    (f"CONNECT {PRODUCER.peer_id}.privox:443 HTTP/2", "head"),
    ("", "head"),
    ("\x16\x03\x01", "head"),
    ("CONNECT é.privox:443 HTTP/1.1", "head"),
]


@pytest.mark.parametrize(("line", "meaning"), HEADS)
def test_a_head_means_one_thing_or_is_refused(line: str, meaning: object) -> None:
    data = line.encode() + b"\r\nHost: x\r\n\r\nrest"
    if isinstance(meaning, str):
        with pytest.raises(BadMessage) as caught:
            messages.read_head(data)
        assert caught.value.reason == meaning
    else:
        assert messages.read_head(data) == (meaning, b"rest")


def test_a_head_is_read_once_it_is_whole_and_refused_once_it_is_long() -> None:
    whole = messages.park(TOKEN)
    for cut in range(len(whole)):
        assert messages.read_head(whole[:cut]) is None
    with pytest.raises(BadMessage, match="long"):
        messages.read_head(b"GET / HTTP/1.1\r\nX: " + bytes(relay_limits.HEAD))


@given(st.binary(max_size=200))
def test_no_bytes_of_a_stranger_raise_anything_else(data: bytes) -> None:
    for read in (
        lambda: messages.read_head(data + messages.END),
        lambda: messages.MessageDecoder().feed(data + b"\n"),
    ):
        try:
            read()
        except BadMessage:
            pass


def test_messages_are_heard_however_they_are_cut() -> None:
    said = b"ping\n" + b"token " + TOKEN.encode() + b"\ngranted 3 64\n"
    for cut in range(len(said)):
        ear = messages.MessageDecoder()
        heard = ear.feed(said[:cut]) + ear.feed(said[cut:])
        assert heard == [("ping",), ("token", TOKEN), ("granted", "3", "64")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"hello\n", "word"),
        (b"\n", "word"),
        (b"\xff\n", "word"),
        (b"ping pong\n", "field"),
        (b"token\n", "field"),
        (b"token 0X\n", "field"),
        (b"granted -1 2\n", "field"),
        (b"granted 9999999 2\n", "field"),
        (b"ping\r\n", "word"),
        (b"x" * (limits.RELAY_LINE + 1), "long"),
        (b"prove " + b"0" * limits.RELAY_LINE + b"\n", "long"),
    ],
)
def test_what_is_no_message_is_dropped_with_a_reason(line: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        messages.MessageDecoder().feed(line)
    assert caught.value.reason == reason


def test_we_never_say_what_we_would_not_understand() -> None:
    with pytest.raises(ValueError, match="not a message"):
        messages.encode(("token", "x"))


def test_both_sides_prove_their_keys() -> None:
    asked = messages.challenge(FARM, THEIRS, OURS)
    assert messages.check_challenge(asked, THEIRS, FARM.public) == OURS
    proof = messages.prove(PRODUCER, FARM.public, OURS, THEIRS, INSTANCE)
    assert messages.check_proof(proof, FARM.public, OURS, THEIRS) == (PRODUCER.public, INSTANCE)


def _other(message: messages.Message, at: int) -> messages.Message:
    """The same message with one bit of one field changed."""
    changed = bytearray(bytes.fromhex(message[at]))
    changed[0] ^= 1
    return (*message[:at], changed.hex(), *message[at + 1 :])


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_challenge_or_proof_with_anything_changed_is_worth_nothing(at: int) -> None:
    with pytest.raises(BadMessage):
        messages.check_challenge(
            _other(messages.challenge(FARM, THEIRS, OURS), at), THEIRS, FARM.public
        )
    proof = messages.prove(PRODUCER, FARM.public, OURS, THEIRS, INSTANCE)
    with pytest.raises(BadMessage):
        messages.check_proof(_other(proof, at), FARM.public, OURS, THEIRS)


def test_a_challenge_that_a_hostile_farm_passes_on_is_not_answered() -> None:
    passed_on = messages.challenge(
        FARM, THEIRS, OURS
    )  # the honest farm's, at the hostile one's address
    with pytest.raises(BadMessage, match="farm"):
        messages.check_challenge(passed_on, THEIRS, PRODUCER.public)


def test_a_proof_that_was_made_for_another_farm_parks_nobody_here() -> None:
    hostile = Identity.generate()
    proof = messages.prove(PRODUCER, hostile.public, OURS, THEIRS, INSTANCE)
    with pytest.raises(BadMessage, match="proof"):
        messages.check_proof(proof, FARM.public, OURS, THEIRS)


def test_a_word_out_of_turn_is_no_challenge_and_no_proof() -> None:
    for check in (
        lambda: messages.check_challenge(("ping",), THEIRS, FARM.public),
        lambda: messages.check_proof(("ping",), FARM.public, OURS, THEIRS),
    ):
        with pytest.raises(BadMessage, match="order"):
            check()
