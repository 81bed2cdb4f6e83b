"""The lab's faults are as bad as asked, and end when asked; nothing of a lab outlives it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import netns
from .conftest import EVERY_NAT, BuildLab
from .lab import ROOT, Lab, LabError, Nat, Plan
from .nats import PORT_RESTRICTED
from .test_lab_nats import QUIET, SECONDS, SERVER, TCP, UDP, connect

PACKETS = 2_000
BUILD_SECONDS = 1.0  # a whole lab, as promised
ECHO = "import socket,sys\ns=socket.create_server(('0.0.0.0',5000))\nprint('listening')\n" + (
    "while True:\n c,_=s.accept()\n d=c.recv(100)\n print('heard',d.decode())\n c.sendall(d)\n"
)


def arrived(lab: Lab, source: str, sink: str) -> float:
    """The share of datagrams that get from one host to another. Ends every fault."""
    with lab.socket(sink, UDP, SERVER) as receiver, lab.socket(source, UDP) as sender:
        receiver.setsockopt(socket.SOL_SOCKET, 33, 16 * 1024 * 1024)  # SO_RCVBUFFORCE
        receiver.settimeout(SECONDS)
        address = (lab.address(sink), SERVER)
        for _ in range(PACKETS):
            sender.sendto(b"x", address)
        lab.heal()
        sender.sendto(b"end", address)
        count = 0
        while receiver.recv(10) != b"end":
            count += 1
        return count / PACKETS


def test_a_whole_lab_is_built_in_under_a_second(build_lab: BuildLab) -> None:
    start = time.perf_counter()
    lab = build_lab(EVERY_NAT)
    assert time.perf_counter() - start < BUILD_SECONDS
    assert "14 places, 0 programs" in repr(lab)


def test_loss_is_about_what_was_asked(lab: Lab) -> None:
    lab.loss("client", 0.3)
    assert arrived(lab, "first", "client") == pytest.approx(0.7, abs=0.06)  # six deviations
    lab.loss(None, 0.1)
    assert arrived(lab, "first", "other") == pytest.approx(0.9, abs=0.05)
    assert arrived(lab, "first", "client") == 1.0


def test_loss_of_udp_leaves_tcp_alone(lab: Lab) -> None:
    lab.udp_loss("client", 1.0)
    with lab.socket("client", TCP, SERVER) as listener:
        listener.listen()
        connect(lab, "first", (lab.address("client"), SERVER), SECONDS).close()
    assert arrived(lab, "first", "client") == 0


def test_a_partition_cuts_between_its_sides_only(lab: Lab) -> None:
    address = (lab.address("client"), SERVER)
    with lab.socket("client", TCP, SERVER) as listener:
        listener.listen()
        lab.partition(["first", PORT_RESTRICTED[:11]], ["client"])
        connect(lab, "other", address, SECONDS).close()
        for host in ("first", PORT_RESTRICTED[:11]):
            with pytest.raises(TimeoutError):
                connect(lab, host, address, QUIET)
        lab.heal()
        connect(lab, "first", address, SECONDS).close()


def test_a_black_hole_is_silent_and_a_dead_program_is_not(lab: Lab) -> None:
    address = (lab.address("client"), SERVER)
    with pytest.raises(ConnectionRefusedError):
        connect(lab, "first", address, SECONDS)
    lab.blackhole("client")
    with pytest.raises(TimeoutError):
        connect(lab, "first", address, QUIET)


def test_a_frozen_program_is_connected_to_but_does_not_answer(lab: Lab) -> None:
    echo = lab.spawn("client", [sys.executable, "-c", ECHO])
    echo.wait_for("^listening$")
    echo.freeze()
    with connect(lab, "first", (lab.address("client"), SERVER), SECONDS) as opened:
        opened.sendall(b"hello")
        opened.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            opened.recv(100)
        echo.thaw()
        opened.settimeout(SECONDS)
        assert opened.recv(100) == b"hello"
    echo.wait_for("heard hello")
    echo.kill()
    with pytest.raises(ConnectionRefusedError):
        connect(lab, "first", (lab.address("client"), SERVER), SECONDS)


def test_a_program_that_ends_without_the_awaited_line_is_shown_with_its_output(lab: Lab) -> None:
    program = lab.spawn("client", [sys.executable, "-c", "print('no such luck')"])
    with pytest.raises(LabError, match=r"(?s)now it has ended.*no such luck"):
        program.wait_for("joined")
    assert program.wait() == 0
    done = lab.run("client", [sys.executable, "-c", "import sys; sys.exit(4)"])
    assert done.returncode == 4


def test_a_wired_link_is_as_slow_as_asked(build_lab: BuildLab) -> None:
    lab = build_lab(Plan(public=("first", "client"), wired=("client",)))
    with lab.socket("client", UDP, SERVER) as echo, lab.socket("first", UDP, SERVER) as sender:
        for end in (echo, sender):
            end.settimeout(SECONDS)

        def trip(size: int) -> float:
            start = time.perf_counter()
            sender.sendto(bytes(size), (lab.address("client"), SERVER))
            echo.sendto(echo.recv(2000), (lab.address("first"), SERVER))
            sender.recv(2000)
            return time.perf_counter() - start

        trip(1)  # after this, each knows the other's hardware address
        lab.link("client", delay=0.05)
        assert 0.1 <= trip(1) < 0.2
        lab.link("client", rate=10_000)
        assert 0.2 <= trip(1000) < 0.4
    with pytest.raises(ValueError, match="not wired"):
        lab.link("first", delay=0.05)


def test_a_capture_holds_what_passed_even_when_cut_in_two(lab: Lab, tmp_path: Path) -> None:
    with (
        lab.socket("client", TCP, SERVER) as listener,
        lab.capture("client") as capture,
        lab.capture("other") as elsewhere,
    ):
        listener.listen()
        with connect(lab, "first", (lab.address("client"), SERVER), SECONDS) as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with listener.accept()[0] as accepted:
                for piece in (b"the quick br", b"own fox"):
                    opened.sendall(piece)
                    assert accepted.recv(100) == piece
    assert b"quick brown fox" in capture
    assert b"quick brown fox" not in elsewhere
    assert b"lazy dog" not in capture
    assert capture.missed == 0
    assert capture.hosts() == {frozenset({lab.address("first"), lab.address("client")})}
    capture.save(tmp_path / "x.pcap")
    assert (tmp_path / "x.pcap").stat().st_size > 24 + 16 * len(capture.frames)


def test_nothing_joins_a_lab_to_the_machine(build_lab: BuildLab) -> None:
    before = os.listdir("/sys/class/net")
    lab = build_lab(EVERY_NAT)
    assert os.listdir("/sys/class/net") == before
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ConnectionRefusedError):
        connect(lab, "client", listener.getsockname()[:2], SECONDS)


def test_nothing_is_left_of_a_lab_nor_of_its_programs(build_lab: BuildLab, tmp_path: Path) -> None:
    plan = Plan(public=("client",), nats={"nat": Nat(PORT_RESTRICTED, ("laptop",))})
    with Lab(plan, tmp_path) as lab:
        lab.spawn("laptop", ["sh", "-c", "sleep 600 & echo $!; wait"]).wait_for(r"^\d+\n")
        child = int((tmp_path / "laptop.log").read_text())
        namespaces = [lab.namespace(host) for host in ("client", "nat", "laptop", "switch")]
        assert set(namespaces) <= set(netns.living())
    assert not set(namespaces) & set(netns.living())
    _wait_until_gone(child)


def test_a_crashed_lab_is_removed_by_the_next(build_lab: BuildLab, tmp_path: Path) -> None:
    crash = (
        "import os, signal\nfrom tests.nat.lab import *\nlab = Lab(Plan()).__enter__()\n"
        "lab.spawn('client', ['sh', '-c', 'setsid sleep 600 & echo $!; wait'])"
        ".wait_for('^[0-9]+$')\n"
        "print(lab.namespace('client'), lab.folder)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    line = [sys.executable, "-uc", crash]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as dead:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # nobody else's lab removes it yet
        assert dead.stdout is not None
        namespace, folder = dead.stdout.read().decode().split()
        assert (netns.FOLDER / namespace).exists(), "the crash left something to remove"
    assert dead.returncode == -signal.SIGKILL
    orphan = int(re.findall(r"^\d+$", Path(folder, "client.log").read_text(), re.M)[0])
    build_lab(Plan())
    assert not (netns.FOLDER / namespace).exists()
    _wait_until_gone(orphan)


def test_what_another_lab_has_removed_meanwhile_is_no_mistake(build_lab: BuildLab) -> None:
    here, gone = (netns.prefix(99) + name for name in ("here", "gone"))
    build_lab(Plan())
    netns.command("ip", "netns", "add", here)
    netns.remove([gone, here])
    assert not {here, gone} & set(netns.living())


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + SECONDS
    while netns.started(pid) is not None and not _is_zombie(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
