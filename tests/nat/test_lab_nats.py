"""Each kind of NAT does what its name says, seen from outside and from inside."""

import socket
import time

import pytest

from . import nats
from .conftest import BuildLab
from .lab import Lab, Nat, Plan

UDP, TCP = socket.SOCK_DGRAM, socket.SOCK_STREAM
SECONDS = 5.0  # bound on what must come
QUIET = 0.2  # seconds to listen for what must not come
INSIDE, SERVER, SERVER_TOO = 7000, 5000, 5001  # ports

# kind: whether one mapping serves every peer, and which others may answer what was sent to a peer
UDP_KINDS = {
    nats.FULL_CONE: (True, {b"another port", b"another host"}),
    nats.ADDRESS_RESTRICTED: (True, {b"another port"}),
    nats.PORT_RESTRICTED: (True, set()),
    nats.SYMMETRIC: (False, set()),
}


def host_behind(kind: str) -> str:
    return kind[:11]


def heard(listener: socket.socket, wanted: set[bytes]) -> set[bytes]:
    """What arrives: everything wanted, and whatever else comes soon after."""
    words: set[bytes] = set()
    deadline = time.monotonic() + SECONDS
    while not wanted <= words and (left := deadline - time.monotonic()) > 0:
        listener.settimeout(left)
        words.add(listener.recv(100))
    listener.settimeout(QUIET)
    try:
        while True:
            words.add(listener.recv(100))
    except TimeoutError:
        return words


def connect(lab: Lab, host: str, address: tuple[str, int], seconds: float) -> socket.socket:
    opened = lab.socket(host, TCP)
    opened.settimeout(seconds)
    try:
        opened.connect(address)
    except BaseException:
        opened.close()
        raise
    return opened


@pytest.mark.parametrize("kind", UDP_KINDS)
def test_a_kind_maps_and_filters_udp_as_its_name_says(lab: Lab, kind: str) -> None:
    one_mapping, others = UDP_KINDS[kind]
    with (
        lab.socket(host_behind(kind), UDP, INSIDE) as laptop,
        lab.socket("client", UDP, SERVER) as peer,
        lab.socket("client", UDP, SERVER_TOO) as another_port,
        lab.socket("other", UDP, SERVER) as another_host,
    ):
        servers = (peer, another_port, another_host)
        for server in servers:
            server.settimeout(SECONDS)
        laptop.sendto(b"hello", (lab.address("client"), SERVER))
        source = peer.recvfrom(100)[1]
        assert source[0] == lab.address(host_behind(kind)), "the NAT's address is seen outside"
        another_port.sendto(b"another port", source)
        another_host.sendto(b"another host", source)
        peer.sendto(b"peer", source)
        assert heard(laptop, {b"peer", *others}) == {b"peer", *others}

        laptop.sendto(b"hello", (lab.address("client"), SERVER_TOO))
        laptop.sendto(b"hello", (lab.address("other"), SERVER))
        sources = {source, another_port.recvfrom(100)[1], another_host.recvfrom(100)[1]}
        assert len(sources) == (1 if one_mapping else 3)


@pytest.mark.parametrize("kind", nats.KINDS)
def test_nobody_behind_a_nat_can_be_called_unasked(lab: Lab, kind: str) -> None:
    inside, outside = host_behind(kind), (lab.address(host_behind(kind)), INSIDE)
    with (
        lab.socket(inside, UDP, INSIDE) as laptop,
        lab.socket(inside, TCP, INSIDE) as listener,
        lab.socket("client", UDP) as stranger,
    ):
        listener.listen()
        stranger.sendto(b"unasked", outside)
        assert heard(laptop, set()) == set()
        with pytest.raises((TimeoutError, OSError)):
            connect(lab, "client", outside, QUIET)


@pytest.mark.parametrize("kind", nats.KINDS)
def test_tcp_goes_out_through_every_nat(lab: Lab, kind: str) -> None:
    with lab.socket("client", TCP, SERVER) as listener:
        listener.listen()
        listener.settimeout(SECONDS)
        address = (lab.address("client"), SERVER)
        with connect(lab, host_behind(kind), address, SECONDS) as laptop:
            accepted, source = listener.accept()
            with accepted:
                assert source[0] == lab.address(host_behind(kind))
                accepted.sendall(b"welcome")
                assert laptop.recv(100) == b"welcome"


def test_no_udp_passes_where_udp_is_blocked(lab: Lab) -> None:
    with (
        lab.socket(host_behind(nats.UDP_BLOCKED), UDP) as laptop,
        lab.socket("client", UDP, SERVER) as peer,
    ):
        laptop.sendto(b"hello", (lab.address("client"), SERVER))
        assert heard(peer, set()) == set()


def test_a_rebooted_nat_has_forgotten_its_connections_and_makes_new_ones(lab: Lab) -> None:
    inside, address = host_behind(nats.PORT_RESTRICTED), (lab.address("client"), SERVER)
    with lab.socket("client", TCP, SERVER) as listener:
        listener.listen()
        listener.settimeout(SECONDS)
        with connect(lab, inside, address, SECONDS) as laptop, listener.accept()[0] as accepted:
            lab.nat_reboot(inside)
            accepted.sendall(b"lost")
            laptop.sendall(b"lost")
            for end in (laptop, accepted):
                end.settimeout(QUIET)
                with pytest.raises(TimeoutError):
                    end.recv(100)
        with connect(lab, inside, address, SECONDS):
            listener.accept()[0].close()


def test_a_readdressed_nat_is_seen_at_its_new_address_and_not_at_the_old(lab: Lab) -> None:
    inside = host_behind(nats.FULL_CONE)
    old = lab.address(inside)
    with lab.socket(inside, UDP, INSIDE) as laptop, lab.socket("client", UDP, SERVER) as peer:
        peer.settimeout(SECONDS)
        new = lab.nat_readdress(inside)
        laptop.sendto(b"hello", (lab.address("client"), SERVER))
        assert peer.recvfrom(100)[1] == (new, INSIDE)
        assert lab.address(inside) == new != old
        peer.sendto(b"to the old", (old, INSIDE))
        peer.sendto(b"to the new", (new, INSIDE))
        assert heard(laptop, {b"to the new"}) == {b"to the new"}


def test_nothing_comes_in_at_an_address_that_the_router_has_no_more(build_lab: BuildLab) -> None:
    """What neighbours still sent to the old address came in by the forwarded port, and the answers
    went out from that address, so that these neighbours went on seeing it."""
    lab = build_lab(Plan(("client",), {"home": Nat(nats.FORWARDED, ("nas",))}))
    old, port = lab.address("nas"), nats.FORWARDED_PORT
    with lab.socket("nas", UDP, port) as nas, lab.socket("client", UDP, SERVER) as peer:
        peer.sendto(b"to the first", (old, port))
        assert heard(nas, {b"to the first"}) == {b"to the first"}
        new = lab.nat_readdress("nas")
        peer.sendto(b"to the old", (old, port))
        peer.sendto(b"to the new", (new, port))
        assert heard(nas, {b"to the new"}) == {b"to the new"}
        nas.sendto(b"hello", (lab.address("client"), SERVER))
        peer.settimeout(SECONDS)
        assert peer.recvfrom(100)[1] == (new, port)
