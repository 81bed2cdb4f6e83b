"""What the lab decides, without a namespace: links, streams, names, rules."""

import itertools
import random
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from . import nats
from .capture import TCP, UDP, Packet, parse, streams
from .faults import Faults
from .plan import Layout, Nat, Plan
from .wire import QUEUE_SECONDS, Link, Shape

RNG = random.Random(1)
FLOW = ("198.18.0.10", "198.18.0.11", 5000, 1776)


def test_a_link_delivers_after_its_delay_and_its_rate() -> None:
    link = Link(Shape(delay=0.1, rate=1000))
    assert link.due(10.0, 100, RNG) == pytest.approx(10.2)
    assert link.due(10.0, 100, RNG) == pytest.approx(10.3), "the second waits for the first"
    assert link.due(20.0, 100, RNG) == pytest.approx(20.2), "an idle link owes nothing"


def test_a_link_drops_what_its_queue_cannot_hold() -> None:
    link = Link(Shape(rate=1000))
    arrivals = [link.due(0.0, 100, RNG) for _ in range(20)]
    delivered = [due for due in arrivals if due is not None]
    assert delivered[-1] == pytest.approx(QUEUE_SECONDS + 0.1, abs=0.11)
    assert arrivals[-1] is None


def test_jitter_keeps_frames_in_order_and_loss_is_a_share() -> None:
    jittery = Link(Shape(delay=0.1, jitter=0.1))
    arrivals = [jittery.due(n / 1000, 1, RNG) or 0.0 for n in range(500)]
    assert arrivals == sorted(arrivals)
    lossy = Link(Shape(loss=0.25))
    lost = sum(lossy.due(0.0, 1, RNG) is None for _ in range(2000))
    assert 400 < lost < 600


@given(
    stream=st.binary(min_size=1, max_size=200),
    start=st.sampled_from([0, 1000, 2**32 - 50]),
    seed=st.integers(0, 2**32),
)
def test_a_stream_is_whole_however_its_segments_came(stream: bytes, start: int, seed: int) -> None:
    rng = random.Random(seed)
    cuts = sorted({0, len(stream), *(rng.randrange(len(stream)) for _ in range(5))})
    pieces = [(a, stream[a:b]) for a, b in itertools.pairwise(cuts)]
    repeats = [(a, stream[a : a + rng.randrange(1, 60)]) for a in cuts[:-1]]
    sent = [*pieces, *repeats]
    rng.shuffle(sent)
    packets = [Packet(TCP, FLOW, (start + offset) % 2**32, piece) for offset, piece in sent]
    assert streams(packets) == {FLOW: stream}


@given(st.binary(max_size=100))
def test_no_frame_breaks_the_parser(frame: bytes) -> None:
    parse(frame)
    parse(frame[:12] + b"\x08\x00\x45" + frame[15:])


def test_a_datagram_is_read_out_of_its_frame() -> None:
    udp = struct.pack("!HHHH", 5000, 1776, 8 + 5, 0) + b"hello"
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, UDP, 0)
    ip += socket.inet_aton(FLOW[0]) + socket.inet_aton(FLOW[1])
    frame = bytes(12) + b"\x08\x00" + ip + udp + bytes(9)  # the padding of short frames
    assert parse(frame) == Packet(UDP, FLOW, 0, b"hello")


def test_names_must_differ_and_fit_and_be_known() -> None:
    with pytest.raises(ValueError, match="same name"):
        Layout(Plan(("a", "a")), "x-")
    with pytest.raises(ValueError, match="same name"):
        Layout(Plan(("a",), {"n": Nat(nats.SYMMETRIC, ("a",))}), "x-")
    with pytest.raises(ValueError, match="at most 11"):
        Layout(Plan(("abcdefghijkl",)), "x-")
    with pytest.raises(ValueError, match="no such NAT"):
        Layout(Plan((), {"n": Nat("magic", ("a",))}), "x-")
    with pytest.raises(ValueError, match="no such host: 'b'"):
        Layout(Plan(("a",)), "x-").namespace("b")


def test_faults_are_one_transaction_and_heal_empties_it() -> None:
    faults = Faults()
    faults.loss("port1", 0.3, udp_only=True)
    faults.loss(None, 0.0)
    faults.partition(["port1"], ["port2", "port3"])
    lines = faults.script().splitlines()
    assert lines[0] == "flush chain bridge lab faults"
    assert "nd-neighbor" in lines[1], "who is where is still found out"
    assert len(lines) == 2 + 2 + 4
    assert "meta l4proto udp numgen random mod 10000 <= 2999" in lines[2]
    with pytest.raises(ValueError, match="between 0 and 1"):
        faults.loss(None, 30)
    faults.heal()
    assert faults.script() == "flush chain bridge lab faults\n"
