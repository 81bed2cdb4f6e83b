"""Who asks for a job, proved to one producer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privox_dht.errors import BadMessage
from privox_dht.identity import Identity
from privox_dht.peer_proof import CLOCK_SKEW, MAX_LENGTH, prove, proven

CLIENT, OTHER = Identity(b"c" * 32), Identity(b"o" * 32)
PRODUCER, NOW = Identity(b"p" * 32).public, 1_795_000_000.0
SAID = prove(CLIENT, PRODUCER, NOW)


def test_a_producer_learns_who_asks() -> None:
    assert len(SAID) <= MAX_LENGTH
    for seconds in (-CLOCK_SKEW, 0.0, CLOCK_SKEW):
        assert proven(SAID, PRODUCER, NOW + seconds) == CLIENT.peer_id


@pytest.mark.parametrize(
    ("said", "producer", "now", "why"),
    [
        (SAID, OTHER.public, NOW, "signature"),  # said again by the producer that heard it
        (SAID, PRODUCER, NOW + CLOCK_SKEW + 1, "time"),
        (SAID, PRODUCER, NOW - CLOCK_SKEW - 1, "time"),
        (SAID.replace(CLIENT.peer_id, OTHER.peer_id), PRODUCER, NOW, "signature"),
        (SAID.replace("1795000000000", "1795000000001"), PRODUCER, NOW, "signature"),
        (CLIENT.peer_id, PRODUCER, NOW, "shape"),
        (f"{SAID} ", PRODUCER, NOW, "shape"),
        (f"{SAID}{'A' * 100}", PRODUCER, NOW, "shape"),
        (f"1{SAID[1:]}", PRODUCER, NOW, "shape"),
        (SAID[:-4], PRODUCER, NOW, "signature"),
        (f"{SAID[:-3]}\xe4==", PRODUCER, NOW, "shape"),
        ("", PRODUCER, NOW, "shape"),
    ],
)
def test_what_proves_nothing_is_told_apart(
    said: str, producer: bytes, now: float, why: str
) -> None:
    with pytest.raises(BadMessage) as told:
        proven(said, producer, now)
    assert told.value.reason == why


@given(said=st.text(max_size=300) | st.text("abc 0123=+/", max_size=300))
def test_whatever_a_stranger_says_proves_nothing_and_breaks_nothing(said: str) -> None:
    with pytest.raises(BadMessage):
        proven(said, PRODUCER, NOW)
