"""A laptop behind a NAT lends its voice: nothing configured, found, called through farms."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import nats, netns
from .capture import TCP, UDP
from .conftest import Setting
from .lab import Lab, Nat, Plan
from .village import START_SECONDS, Village, write_tone

HOMES = Plan(
    public=("first", "second", "farm1", "farm2", "lender", "client"),
    nats={f"nat-{kind[:7]}": Nat(kind, (kind[:11],)) for kind in nats.KINDS},
)
SENTENCE = "Sphinx of black quartz, judge my vow."
LENDS = ("--services", "stt/cpu/echo,tts/cpu/echo")
RELAY, TUNNEL = 1776, 8000  # ports
PINS_DIFFER = 90  # curl's exit code

pytestmark = [pytest.mark.timeout(150), pytest.mark.every_world]


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory, told_in: Setting) -> Iterator[Village]:
    """Two first nodes, two farms, and a producer in each kind of home; nobody is told of a farm."""
    if why := netns.probe():
        pytest.skip(why)
    with Lab(told_in.of(HOMES), tmp_path_factory.mktemp("homes")) as lab:
        village = Village(lab)
        village.open("first", "second", farms=("farm1", "farm2"))
        started = [village.start(kind[:11], *LENDS) for kind in nats.KINDS]
        started.append(village.start("lender", "--services", "stt/cpu/echo:30,tts/cpu/echo"))
        for node in started:
            village.ready(node)
        yield village


@pytest.mark.parametrize("kind", nats.KINDS)
def test_a_producer_behind_a_nat_is_found_and_does_both_services(
    village: Village, kind: str, tmp_path: Path
) -> None:
    producer = village.nodes[kind[:11]]
    producer.published("relayed")
    doors = [*village.doors("farm1", RELAY), *village.doors("farm2", RELAY)]
    farms = {f"relayed by {door}" for door in doors}

    spoken = village.speak("client", SENTENCE, tmp_path / "a.wav", "--only", producer.peer).answer()
    assert spoken.code == 0, spoken.text
    assert spoken.said["route"] in farms
    assert (tmp_path / "a.wav").stat().st_size == spoken.said["bytes"] > 10_000

    tone = write_tone(tmp_path / "tone.wav", 1.5)
    heard = village.transcribe("client", tone, "--only", producer.peer).answer()
    assert heard.code == 0, heard.text
    assert heard.said["route"] in farms
    assert heard.transcript == "1.50 seconds of sound"


def test_producers_behind_a_nat_are_listed_with_both_farms_and_no_address(
    village: Village,
) -> None:
    for kind in nats.KINDS:
        village.nodes[kind[:11]].published('relayed[^"]*", "relayed')
    records = village.ask("client", "list").said["records"]
    homes = {village.nodes[kind[:11]].peer for kind in nats.KINDS}
    farms = {village.nodes[farm].peer for farm in ("farm1", "farm2")}
    assert homes < {record["peer"] for record in records if record["service"] == "tts"}
    for record in records:
        if record["peer"] in homes:
            assert {route.get("farm") for route in record["routes"]} == farms


@pytest.mark.parametrize("kind", nats.KINDS)
def test_the_port_for_jobs_cannot_be_called_from_outside(village: Village, kind: str) -> None:
    with village.lab.socket("client", socket.SOCK_STREAM) as caller:
        caller.settimeout(0.5)
        with pytest.raises(OSError):
            caller.connect((village.lab.address(kind[:11]), 5678))


def test_the_farm_carries_no_word_and_no_sound_that_it_could_read(
    village: Village, tmp_path: Path
) -> None:
    producer = village.nodes[nats.PORT_RESTRICTED[:11]]
    producer.published("relayed")
    lab, wav = village.lab, tmp_path / "spoken.wav"
    with lab.capture("farm1") as one, lab.capture("farm2") as two, lab.capture("client") as mine:
        spoken = village.speak("client", SENTENCE, wav, "--only", producer.peer).answer()
        heard = village.transcribe("client", wav, "--only", producer.peer).answer()
    assert (spoken.code, heard.code) == (0, 0), spoken.text + heard.text
    secrets = {
        "text": SENTENCE.encode(),
        "transcript": heard.transcript.encode(),
        "sound": wav.read_bytes()[2000:2064],
        "request": b"/v1/audio",
    }
    for capture in (one, two):
        assert capture.missed == 0
        assert [name for name, secret in secrets.items() if secret in capture] == []
    carried = sum(map(len, one.streams().values())) + sum(map(len, two.streams().values()))
    assert carried > 2 * wav.stat().st_size, "it did go through a farm, both ways"

    for family in lab.families("client"):
        ends = frozenset(lab.address(host, family) for host in (producer.host, "client"))
        assert ends not in mine.hosts(), "no byte took a direct route"


def test_the_search_finds_both_in_what_a_plain_tunnel_carried(
    village: Village, tmp_path: Path
) -> None:
    lab, wav = village.lab, write_tone(tmp_path / "tone.wav", 2.0).read_bytes()
    with (
        lab.socket("second", socket.SOCK_STREAM, TUNNEL) as sink,
        lab.socket("client", socket.SOCK_STREAM) as source,
        lab.capture("farm1") as capture,
    ):
        sink.listen()
        target = village.doors("second", TUNNEL)[0]
        line = [sys.executable, "-m", "tests.nat.hostile", "tunnel", str(TUNNEL), target]
        tunnel = lab.spawn("farm1", line, name="tunnel")
        tunnel.wait_for("ready")
        for end in (sink, source):
            end.settimeout(10)
        source.connect((lab.address("farm1"), TUNNEL))
        with sink.accept()[0] as accepted:
            source.sendall(SENTENCE.encode() + wav)
            source.shutdown(socket.SHUT_WR)
            while accepted.recv(100_000):
                pass
    assert capture.missed == 0
    assert SENTENCE.encode() in capture
    assert wav[2000:2064] in capture


def test_via_farm_keeps_the_address_of_a_client_from_a_producer_that_could_be_called(
    village: Village, tmp_path: Path
) -> None:
    lab, lender = village.lab, village.nodes["lender"]
    lender.published('direct.*"relayed')
    wav = tmp_path / "a.wav"
    with lab.capture("lender") as capture:
        answer = village.speak(
            "client", SENTENCE, wav, "--only", lender.peer, "--via-farm"
        ).answer()
    assert answer.code == 0, answer.text
    assert answer.said["route"].startswith("relayed")
    assert capture.missed == 0
    packets = capture.packets()
    seen = {address for packet in packets for address in packet.flow[:2]}
    mine = {lab.address("client", family) for family in lab.families("client")}
    assert not mine & seen, "by no protocol: looking up included"
    assert {TCP, UDP} <= {packet.protocol for packet in packets}, "the farm's and others' were seen"


def test_who_asks_to_be_hidden_and_knows_the_producer_only_is_told_that_this_cannot_be(
    village: Village, tmp_path: Path
) -> None:
    lender = village.nodes["lender"]
    lender.published('direct.*"relayed')
    only = ("--only", lender.peer, "--neighbours", ",".join(village.doors("lender", 5678)))
    answer = village.speak("client", SENTENCE, tmp_path / "a.wav", *only, "--via-farm").answer()
    assert answer.code == 4, answer.text
    assert "seen it already" in answer.text


def test_a_relayed_job_whose_client_is_killed_ends_within_a_second(
    village: Village, tmp_path: Path
) -> None:
    lender = village.nodes["lender"]
    lender.published('direct.*"relayed')
    tone, here = write_tone(tmp_path / "tone.wav", 1.0), lender.program.here()
    asking = village.transcribe("client", tone, "--only", lender.peer, "--via-farm")
    lender.program.wait_for("stt begun", since=here)
    asking.program.kill()
    lender.program.wait_for("stt cancelled", seconds=1.0, since=here)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_calls_a_producer_through_a_farm_and_refuses_a_wrong_pin(
    village: Village, tmp_path: Path
) -> None:
    producer = village.nodes[nats.SYMMETRIC[:11]]
    producer.published("relayed")
    records = village.ask("client", "list").said["records"]
    pins = {record["peer"]: record["pin"] for record in records}
    farm = village.doors("farm1", RELAY)[0]

    def curl(pin: str) -> subprocess.CompletedProcess[bytes]:
        line = ["curl", "--silent", "--show-error", "--proxy", f"http://{farm}"]
        line += ["--insecure", "--pinnedpubkey", pin, "--header", "Content-Type: application/json"]
        line += ["--data", '{"model": "echo", "input": "Good day", "response_format": "wav"}']
        url = f"https://{producer.peer}.privox/v1/audio/speech"
        return village.lab.run("client", [*line, "--output", str(tmp_path / "curl.wav"), url])

    good = curl(pins[producer.peer])
    assert good.returncode == 0, good.stderr
    assert (tmp_path / "curl.wav").read_bytes().startswith(b"RIFF")
    wrong = curl(pins[village.nodes["lender"].peer])
    assert wrong.returncode == PINS_DIFFER, wrong.stderr


def test_where_udp_is_blocked_a_node_says_so_and_through_whom_it_works(village: Village) -> None:
    said = village.nodes[nats.UDP_BLOCKED[:11]].event("udp_blocked", 1.0)
    assert said["through"] in {f"https://{door}" for door in village.doors("first", 5678)}
    assert "UDP IS BLOCKED" in said["message"]


def test_a_client_whose_network_blocks_udp_is_served_too(village: Village, tmp_path: Path) -> None:
    for kind in nats.KINDS:
        village.nodes[kind[:11]].published("relayed")
    home = nats.UDP_BLOCKED[:11]
    listed = {record["peer"] for record in village.ask(home, "list").said["records"]}
    assert {village.nodes[kind[:11]].peer for kind in nats.KINDS} < listed

    only = ("--only", village.nodes[nats.SYMMETRIC[:11]].peer)
    spoken = village.speak(home, SENTENCE, tmp_path / "a.wav", *only).answer()
    assert spoken.code == 0, spoken.text
    assert spoken.said["route"].startswith("relayed")
    heard = village.transcribe(home, write_tone(tmp_path / "tone.wav", 1.5), *only).answer()
    assert heard.code == 0, heard.text
    assert heard.transcript == "1.50 seconds of sound"


@pytest.mark.soak
def test_where_udp_is_blocked_and_nobody_answers_a_node_says_who_was_tried(
    village: Village,
) -> None:
    lab, nobody = village.lab, village.doors("client", 5678)[0]
    argv = [sys.executable, "-m", "nodes.cli", "--state-dir", str(lab.folder / "alone.state")]
    argv += ["--port", "0", "--neighbours", nobody]
    node = lab.spawn(nats.UDP_BLOCKED[:11], [*argv, *LENDS], name="alone")
    node.wait_for("listens on", START_SECONDS)
    node.wait_for(rf"cannot join mesh.*{re.escape(nobody)}")
    assert node.stop() == 0
