"""Every datagram, both ways, through one pair of functions; whatever is wrong has a name."""

import random
from typing import Any

import msgpack
import pytest

from privox_dht import limits
from privox_dht.addresses import pack_address
from privox_dht.dht import answer_codec, request_codec, wire
from privox_dht.dht.compact_nodes import CompactNode, pack_peers
from privox_dht.dht.wire import ANSWER, HEADER, REQUEST
from privox_dht.errors import BadMessage

MESH, OTHER = b"12345678", b"87654321"
ME = bytes(range(20))
HERE = pack_address("127.0.0.1", 5678)
GOOD: dict[str, list[Any]] = {
    "ping": [b"n" * 16, HERE],
    "find": [b"t" * 20, 32, -1, b"n" * 16 + HERE],
    "store": [b"k" * 20, 0, 0, [b"wire"]],
    "dial": [HERE, 80, b"n" * 16],
    "dial_request": [HERE, 0, b"n" * 16],
    "probe": [b"n" * 16],
    "announce": [],
}


def reason_of(body: Any) -> str:
    with pytest.raises(BadMessage) as caught:
        request_codec.read_request(body)
    return caught.value.reason


def body(method: Any = "find", **changed: Any) -> list[Any]:
    fields = {"sender": ME, "flags": 2, "token": b"", "arguments": GOOD.get(method, []), "pad": b""}
    fields.update(changed)
    return [method, *fields.values()]


def test_a_body_comes_out_as_it_went_in() -> None:
    datagram = wire.frame(MESH, REQUEST, b"message!", [1, "two", b"three"])
    kind, message, packed = wire.unframe(MESH, datagram)
    assert (kind, message, wire.unpack(packed)) == (REQUEST, b"message!", [1, "two", b"three"])


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "short"),
        (b"x" * HEADER, "short"),
        (b"x" * (limits.MAX_DATAGRAM + 1), "long"),
        (b"\x63" + wire.frame(MESH, 0, b"m" * 8, [])[1:], "version"),
        (wire.frame(OTHER, 0, b"m" * 8, []), "mesh"),
        (wire.frame(MESH, 7, b"m" * 8, []), "kind"),
    ],
)
def test_what_is_not_ours_is_told_by_its_header(datagram: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        wire.unframe(MESH, datagram)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "packed", [b"\xc1", b"\x93\x01", b"\xdd\xff\xff\xff\xff", b"\xa3\xff\xff\xff", b"\x91" * 700]
)
def test_what_is_not_msgpack_is_a_wrong_shape(packed: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        wire.unpack(packed)
    assert caught.value.reason == "shape"


@pytest.mark.parametrize("method", list(GOOD))
def test_every_method_is_read_with_its_arguments(method: str) -> None:
    assert set(GOOD) == set(request_codec.METHODS)
    request = request_codec.read_request(body(method))
    assert (request.method, request.sender, request.arguments) == (method, ME, GOOD[method])


def test_a_find_may_be_no_challenge() -> None:
    assert (
        request_codec.read_request(body(arguments=GOOD["find"][:3])).arguments == GOOD["find"][:3]
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "shape"),
        ({}, "shape"),
        ([], "shape"),
        (body()[:5], "shape"),
        (body(sender=b"x" * 19), "sender"),
        (body(sender="x" * 20), "sender"),
        (body("get"), "method"),
        (body(None), "method"),
        (body("__init__"), "method"),
        (body(flags=-1), "shape"),
        (body(flags=True), "shape"),
        (body(token=b"123"), "shape"),
        (body(token=None), "shape"),
        (body(pad=5), "shape"),
        (body(arguments=None), "argument"),
        (body(arguments=[]), "argument"),
        (body(arguments=[b"t" * 20, 32, -1, 0]), "argument"),
        (body(arguments=[b"t" * 20, 32, -1, b"n" * 16]), "argument"),
        (body(arguments=[b"t" * 20, 32, -1, b"n" * 16 + b"\1\2\3\4\0\0"]), "argument"),
        (body(arguments=[b"t" * 20, 32]), "argument"),
        (body("ping", arguments=[b"n" * 16]), "argument"),
        (body(arguments=[b"t" * 19, 32, -1]), "argument"),
        (body(arguments=[b"t" * 20, 256, -1]), "argument"),
        (body(arguments=[b"t" * 20, 1.0, -1]), "argument"),
        (body(arguments=[b"t" * 20, 1, -2]), "argument"),
        (body("ping", arguments=[b"n" * 16, b"\1\2\3\4\0\0"]), "argument"),
        (body("store", arguments=[b"k" * 20, 0, 0, []]), "argument"),
        (body("store", arguments=[b"k" * 20, 0, 0, ["text"]]), "argument"),
        (body("store", arguments=[b"k" * 20, 4, 0, [b"w"]]), "argument"),
        (body("store", arguments=[b"k" * 20, 0, 2, [b"w"]]), "argument"),
        (body("store", arguments=[b"k" * 20, 0, 0, [b"w"] * 4]), "argument"),
        (body("dial", arguments=[HERE, 65536, b"n" * 16]), "argument"),
    ],
)
def test_a_request_is_checked_down_to_each_argument(bad: Any, reason: str) -> None:
    assert reason_of(bad) == reason


@pytest.mark.parametrize("size", [0, 100, 128, 480, 822, 1200])
@pytest.mark.parametrize("method", list(GOOD))
def test_padding_brings_a_request_to_its_size_and_never_past_a_datagram(
    method: str, size: int
) -> None:
    framed = wire.frame(
        MESH, REQUEST, b"m" * 8, request_codec.request_body(method, ME, 7, b"", GOOD[method], size)
    )
    assert size - 8 <= len(framed) <= max(size + 8, 128)


def test_contacts_of_both_families_survive_packing() -> None:
    peers = [
        CompactNode(bytes([n]) * 20, ("10.0.0.1" if n % 2 else "2a00::1", n + 1)) for n in range(6)
    ]
    found = answer_codec.read_found(pack_peers(peers))
    assert sorted(found.peers) == sorted(peers)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("n", b"x" * 25, "shape"),
        ("n", "x" * 26, "shape"),
        ("n", b"x" * 26 * 21, "shape"),
        ("n", b"x" * 24 + b"\0\0", "contact"),
        ("m", b"x" * 39, "shape"),
        ("m", [1], "shape"),
        ("r", {}, "shape"),
        ("r", [None], "shape"),
        ("r", [b"w"] * 4, "shape"),
        ("c", -1, "shape"),
        ("c", 1 << 40, "shape"),
        ("c", "5", "shape"),
        ("i", 5, "shape"),
        ("t", b"123", "shape"),
        ("p", None, "shape"),
        ("p", {}, "shape"),
        ("p", {"k": b"k" * 32, "s": b"s" * 64, "o": HERE[:5], "n": 1}, "shape"),
    ],
)
def test_a_hostile_answer_to_a_find_is_dropped(field: str, value: Any, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        answer_codec.read_found({field: value})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "read",
    [
        answer_codec.read_pong,
        answer_codec.read_found,
        answer_codec.read_stored,
        answer_codec.read_dialled,
    ],
)
@pytest.mark.parametrize(
    "answer", [None, [], 5, "text", b"bytes", {1: 2}, {"k": 5, "s": [9], "d": True}]
)
def test_an_answer_of_another_shape_is_dropped_or_empty(read: Any, answer: Any) -> None:
    try:
        read(answer)
    except BadMessage as exc:
        assert exc.reason == "shape"
    else:
        assert read is answer_codec.read_found  # nothing it reads is in there


def test_no_random_bytes_raise_anything_but_bad_message() -> None:
    rng = random.Random(1)
    valid = wire.frame(MESH, ANSWER, b"m" * 8, {"t": b"t" * 8, "n": b"x" * 52, "r": [b"wire"]})
    for _ in range(3000):
        data = bytearray(valid if rng.random() < 0.8 else rng.randbytes(rng.randrange(200)))
        for _ in range(rng.randrange(4)):
            if data:
                data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            _, _, packed = wire.unframe(MESH, bytes(data))
            opened = wire.unpack(packed)
            for read in (
                request_codec.read_request,
                answer_codec.read_pong,
                answer_codec.read_found,
                answer_codec.read_stored,
            ):
                try:
                    read(opened)
                except BadMessage as exc:
                    assert exc.reason in wire.REASONS
        except BadMessage as exc:
            assert exc.reason in wire.REASONS


def test_a_request_is_msgpack_that_anybody_can_read() -> None:
    framed = wire.frame(MESH, REQUEST, b"message!", body("probe"))
    assert framed[:HEADER] == b"\x01" + MESH + b"\x00" + b"message!"
    assert msgpack.unpackb(framed[HEADER:]) == ["probe", ME, 2, b"", [b"n" * 16], b""]
