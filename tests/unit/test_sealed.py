"""Datagrams of a private mesh: sealed anew each time, for one node, once."""

import random
from collections.abc import Callable

import pytest

from privox_dht import limits
from privox_dht.dht import wire
from privox_dht.dht.sealed import OVERHEAD, SealedDatagrams
from privox_dht.errors import BadMessage
from privox_dht.membership.members import Membership

SECRET, NOW = b"sixteen bytes or more", 1_760_000_000.0
A, B = b"a" * 20, b"b" * 20  # DHT ids
HERE = ("127.0.0.1", 5678)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def sealed_of(node_id: bytes, clock: Clock, **other: object) -> tuple[SealedDatagrams, Membership]:
    told = {"secret": SECRET, "network": "friends", **other}
    member = Membership(told["secret"], told["network"], clock)  # type: ignore[arg-type]
    member.own.ports.add(HERE[1])
    return SealedDatagrams(member, node_id, limits.PROTOCOL_VERSION), member


def request(member: Membership, body: object = "hello") -> bytes:
    return wire.frame(member.tag, wire.REQUEST, b"message!", body)


def answer(member: Membership, body: object = "hello") -> bytes:
    return wire.frame(member.tag, wire.ANSWER, b"message!", body)


def reason(seals: SealedDatagrams, datagram: bytes) -> str:
    with pytest.raises(BadMessage) as caught:
        seals.unseal(datagram)
    return caught.value.reason


@pytest.mark.parametrize("make", [request, answer])
@pytest.mark.parametrize("node_id", [B, b""])
def test_what_goes_in_comes_out(make: Callable[[Membership], bytes], node_id: bytes) -> None:
    clock = Clock()
    (a, member), (b, _) = sealed_of(A, clock), sealed_of(B, clock)
    datagram = make(member)
    sent = a.seal(datagram, HERE, node_id)
    assert b.unseal(sent) == datagram
    assert len(sent) <= len(datagram) + OVERHEAD or not node_id


def test_nothing_of_the_mesh_can_be_seen_from_outside() -> None:
    clock = Clock()
    a, member = sealed_of(A, clock)
    body = ["find", A, 0, b"", [B], bytes(200)]
    sent = [a.seal(request(member, body), HERE, B) for _ in range(20)]
    for datagram in sent:
        for part in (member.tag, b"find", A, B, bytes(8)):
            assert part not in datagram
    assert len({datagram[:16] for datagram in sent}) == len(sent)


def test_a_request_is_heard_once_and_an_answer_needs_no_memory() -> None:
    clock = Clock()
    (a, member), (b, their) = sealed_of(A, clock), sealed_of(B, clock)
    asked, said = a.seal(request(member), HERE, B), a.seal(answer(member), HERE, B)
    b.unseal(asked)
    assert reason(b, asked) == "replay"
    b.unseal(said)
    b.unseal(said)  # the message id is answered once: see `rpc_client`
    assert len(their.replays) == 1


def test_a_request_sent_again_is_heard_again() -> None:
    clock = Clock()
    (a, member), (b, _) = sealed_of(A, clock), sealed_of(B, clock)
    datagram = request(member)
    for _ in range(3):
        assert b.unseal(a.seal(datagram, HERE, B)) == datagram


def test_a_request_to_one_node_says_nothing_to_another() -> None:
    clock = Clock()
    (a, member), (b, _) = sealed_of(A, clock), sealed_of(B, clock)
    assert reason(a, a.seal(request(member), HERE, B)) == "elsewhere"
    assert reason(b, a.seal(request(member), ("127.0.0.1", 5679), b"")) == "elsewhere"
    assert reason(b, a.seal(request(member), ("::1", 5679), b"")) == "elsewhere"


@pytest.mark.parametrize("off", [-31, 31, 3600])
def test_what_is_old_or_ahead_is_not_heard(off: int) -> None:
    clock = Clock()
    (a, member), (b, _) = sealed_of(A, clock), sealed_of(B, Clock())
    clock.now += off
    assert reason(b, a.seal(request(member), HERE, B)) == "stale"
    assert reason(b, a.seal(answer(member), HERE, B)) == "stale"


@pytest.mark.parametrize("other", [{"secret": SECRET + b"!"}, {"network": "family"}])
def test_another_secret_or_name_is_a_stranger(other: dict[str, object]) -> None:
    clock = Clock()
    (a, member), (b, _) = sealed_of(A, clock, **other), sealed_of(B, clock)
    assert reason(b, a.seal(request(member), HERE, B)) == "stranger"
    assert reason(b, request(member)) == "stranger"


def test_no_changed_bit_gets_through() -> None:
    clock, rng = Clock(), random.Random(1)
    (a, member), (b, _) = sealed_of(A, clock), sealed_of(B, clock)
    sent = a.seal(request(member), HERE, B)
    for at in range(len(sent)):
        changed = bytearray(sent)
        changed[at] ^= 1 << rng.randrange(8)
        assert reason(b, bytes(changed)) == "stranger"
    for length in range(len(sent)):
        assert reason(b, sent[:length]) == "stranger"
    for _ in range(200):
        assert reason(b, rng.randbytes(rng.randrange(limits.MAX_DATAGRAM))) == "stranger"


def test_the_largest_datagram_still_needs_no_fragments() -> None:
    clock = Clock()
    a, member = sealed_of(A, clock)
    largest = limits.MAX_DATAGRAM - OVERHEAD
    body = bytes(largest - wire.HEADER - 3)
    assert len(a.seal(request(member, body), HERE, B)) == limits.MAX_DATAGRAM
    assert len(a.seal(answer(member, body), HERE, B)) <= limits.MAX_DATAGRAM
    two = wire.frame(member.tag, wire.ANSWER, b"message!", {
        "t": bytes(8), "c": 1 << 19, "i": 1 << 19, "f": True, "r": [bytes(limits.MAX_RECORD)] * 2,
    })  # fmt: skip
    assert len(two) <= largest
