"""A private mesh among homes and farms, and a stranger who records all that goes over its wires."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from privox_dht.membership.secret_file import new_secret

from . import nats, netns
from .capture import UDP
from .conftest import Setting
from .lab import Lab, Nat, Plan
from .village import Village, write_tone

HOME, SHUT = "home", "shut"  # behind a symmetric NAT; where UDP is blocked
PLACES = Plan(
    public=("first", "farm1", "client", "stranger"),
    nats={
        "nat-home": Nat(nats.SYMMETRIC, (HOME,)),
        "nat-shut": Nat(nats.UDP_BLOCKED, (SHUT,)),
    },
)
LENDS = ("--services", "stt/cpu/echo,tts/cpu/echo")
PORTS = (5678, 1776)
DEAF = 0.3  # seconds in which somebody who wants to answer would have done so
NOBODY = 3  # privox-client's exit code: no node to join through

pytestmark = [pytest.mark.timeout(150), pytest.mark.every_world]


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory, told_in: Setting) -> Iterator[Village]:
    """A first node, a farm, and a producer in each of two homes."""
    if why := netns.probe():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("private")
    secret = folder / "friends.secret"
    secret.write_text(new_secret())
    secret.chmod(0o600)
    told = ("--network", "friends", "--secret-file", str(secret))
    with Lab(told_in.of(PLACES), folder) as lab:
        village = Village(lab, told=told)
        village.open("first", farms=("farm1",))
        for node in [village.start(host, *LENDS) for host in (HOME, SHUT)]:
            village.ready(node)
        for host in (HOME, SHUT):
            village.nodes[host].published("relayed")
        yield village


@pytest.mark.parametrize("caller", ["client", HOME, SHUT])
@pytest.mark.parametrize("lender", [HOME, SHUT])
def test_members_behind_nats_and_without_udp_lend_and_borrow(
    village: Village, caller: str, lender: str, tmp_path: Path
) -> None:
    only = ("--only", village.nodes[lender].peer)
    tone = write_tone(tmp_path / "tone.wav", 1.5)
    heard = village.transcribe(caller, tone, *only).answer()
    assert heard.code == 0, heard.text
    assert heard.transcript == "1.50 seconds of sound"
    assert heard.said["route"].startswith("relayed")


def test_a_stranger_replays_all_that_went_over_the_wires_and_hears_nothing(
    village: Village, tmp_path: Path
) -> None:
    """He sat at the first node, at the farm and at the client: whole handshakes, every datagram."""
    lab = village.lab
    tone = write_tone(tmp_path / "tone.wav", 1.0)
    with lab.capture("first") as one, lab.capture("farm1") as two, lab.capture("client") as three:
        heard = village.transcribe("client", tone, "--only", village.nodes[HOME].peer).answer()
        assert heard.code == 0, heard.text
        assert village.ask(SHUT, "list").code == 0
    captures = (one, two, three)
    for word in (b"friends", b"HTTP/1", b"CONNECT", b".privox", village.nodes[HOME].peer.encode()):
        assert not any(word in capture for capture in captures), word
    datagrams = {
        p.payload for c in captures for p in c.packets() if p.protocol == UDP and p.payload
    }
    said = {stream for c in captures for stream in c.streams().values() if stream}
    assert len(datagrams) >= 10 and len(said) >= 4

    targets = [
        (lab.address(host, family), port)
        for host in ("first", "farm1") for family in lab.families(host) for port in PORTS
    ]  # fmt: skip
    with lab.capture("stranger") as his:
        for datagram in datagrams:
            for target in targets:
                _send(lab, target, datagram)
        for stream in said:
            for target in targets:
                for part in (stream, stream[:300]):
                    assert _hear(lab, target, part) == b""
    assert his.missed == 0
    mine = {lab.address("stranger", family) for family in lab.families("stranger")}
    assert {p.flow[0] for p in his.packets() if p.payload} <= mine, "only he says anything"


def test_a_stranger_without_the_secret_finds_nobody(village: Village) -> None:
    told, village.told = village.told, ("--network", "friends")
    try:
        listed = village.ask("stranger", "list")
    finally:
        village.told = told
    assert listed.code == NOBODY, listed.text


def _family(target: tuple[str, int]) -> str:
    return "6" if ":" in target[0] else "4"


def _send(lab: Lab, target: tuple[str, int], datagram: bytes) -> None:
    with lab.socket("stranger", socket.SOCK_DGRAM, families=_family(target)) as sock:
        sock.sendto(datagram, target)


def _hear(lab: Lab, target: tuple[str, int], said: bytes) -> bytes:
    with lab.socket("stranger", socket.SOCK_STREAM, families=_family(target)) as sock:
        sock.settimeout(DEAF)
        try:
            sock.connect(target)
            sock.sendall(said)
            return bytes(sock.recv(65536))
        except OSError:  # cut off, nobody there, or silent
            return b""
