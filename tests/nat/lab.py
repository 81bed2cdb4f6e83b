"""A small internet on one machine, of network namespaces, with everything that goes wrong in it.

    host   host   host  ...          each its own namespace, 198.18.0.x
      |      |      |
    ==+======+======+======  switch (a bridge in its own namespace, no way out)  ======
                 |                       |
            NAT (wan 198.18.0.y)    NAT (wan 198.18.0.z)     see `nats` for the kinds
                 | 192.168.1.1           | 192.168.1.1       the same network behind each
              laptop 192.168.1.10     laptop 192.168.1.10

Nothing is connected to the machine's own namespace: no packet gets out, and none comes in.

    with Lab(Plan(public=("farm", "client"), nats={"home": Nat(SYMMETRIC, ("laptop",))})) as lab:
        node = lab.spawn("laptop", ["privox-node", ...])
        node.wait_for("joined")
        lab.blackhole("laptop")
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from . import nats, netns
from .capture import Capture, open_packet_socket
from .faults import TABLE, Faults
from .netns import LabError
from .plan import FIRST_SPARE, NETWORK, SWITCH, Layout, Nat, Plan
from .programs import Program

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 60.0  # bound on a program that is run to its end
NO_IPV6 = {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1}
ROUTER = {"ipv4/ip_forward": 1, "netfilter/nf_conntrack_tcp_loose": 0}
_numbers = itertools.count(1)


class Lab:
    """The internet of a plan, from entering to leaving."""

    def __init__(self, plan: Plan | None = None, folder: Path | None = None) -> None:
        """`folder` is where programs' output goes; a temporary one if not given."""
        self.plan = plan or Plan()
        self._prefix = netns.prefix(next(_numbers))
        self._layout = Layout(self.plan, self._prefix)
        self._temporary = None if folder else tempfile.TemporaryDirectory(prefix="privox-lab-")
        self.folder = folder or Path(self._temporary.name if self._temporary else "")
        self._faults = Faults()
        self._programs: list[Program] = []
        self._captures: list[Capture] = []
        self._wire: subprocess.Popen[str] | None = None
        self._spare = itertools.count(FIRST_SPARE)

    def __repr__(self) -> str:
        running = [program for program in self._programs if program.running]
        return f"<Lab {self._prefix} {len(self._layout.names)} places, {len(running)} programs>"

    def __enter__(self) -> Lab:
        if why := netns.probe():
            raise LabError(why)
        netns.remove_stale()
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _build(self) -> None:
        netns.command("ip", "-batch", "-", text=self._layout.outer())
        for name in self._layout.names:
            netns.sysctl(self.namespace(name), NO_IPV6)
        self._in_each("ip", dict(self._layout.inner()))
        rules = {name: nats.rules(nat.kind) for name, nat in self.plan.nats.items()}
        self._in_each("nft", {SWITCH: TABLE, **rules})
        for name in self.plan.nats:
            netns.sysctl(self.namespace(name), ROUTER)
        if self.plan.wired:
            self._start_wire()

    def close(self) -> None:
        """End every program and capture, and remove every namespace."""
        for capture in self._captures:
            capture.close()
        for program in self._programs:
            if program.running:
                program.kill()
        if self._wire is not None:
            self._wire.communicate()  # the end of its input ends it
            self._wire = None
        names = self._layout.namespaces()
        netns.remove(name for name in names if (netns.FOLDER / name).exists())
        if self._temporary is not None:
            self._temporary.cleanup()

    def _in_each(self, program: str, texts: Mapping[str, str]) -> None:
        """Feed `ip` or `nft` in each namespace its text, all at the same time."""
        argv = [netns.tool(program), *(["-batch", "-"] if program == "ip" else ["-f", "-"])]
        running = {}
        for name in texts:
            line = netns.within(self.namespace(name), *argv)
            running[name] = subprocess.Popen(
                line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        failed = []
        for name, process in running.items():
            _, errors = process.communicate(texts[name], timeout=netns.COMMAND_SECONDS)
            if process.returncode:
                failed.append(f"{name}: {errors.strip()}\n{texts[name]}")
        if failed:
            raise LabError("\n".join(failed))

    # -- names and addresses -----------------------------------------------------------------------

    def namespace(self, host: str) -> str:
        return self._layout.namespace(host)

    def address(self, host: str) -> str:
        """The address by which the internet knows a host: behind a NAT, the NAT's."""
        return self._layout.place(host).address

    def own_address(self, host: str) -> str:
        """The address on the host's own interface."""
        return self._layout.own_address(host)

    def nat_of(self, host: str) -> str:
        """The NAT a host lives behind; the NAT itself for a NAT."""
        name = self._layout.nat_of.get(host, host)
        if name not in self.plan.nats:
            raise ValueError(f"{host} is not behind a NAT")
        return name

    # -- running, talking, listening ---------------------------------------------------------------

    def spawn(
        self,
        host: str,
        argv: Sequence[str],
        *,
        name: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Program:
        """Start a program on a host; its output goes to `<name or host>.log` in the folder."""
        log = self.folder / f"{name or host}.log"
        program = Program(self.namespace(host), argv, log, environment, ROOT)
        self._programs.append(program)
        return program

    def run(
        self,
        host: str,
        argv: Sequence[str],
        *,
        seconds: float = RUN_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program on a host to its end, whatever its exit code."""
        try:
            return subprocess.run(
                netns.within(self.namespace(host), *argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds,
                env={**os.environ, **(environment or {})},
                cwd=ROOT,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            said = (exc.stdout or b"") + (exc.stderr or b"")
            raise LabError(f"{argv} on {host} took over {seconds:g} s:\n{said!r}") from exc

    def socket(self, host: str, kind: socket.SocketKind, port: int | None = None) -> socket.socket:
        """A socket that lives on a host, for use by the test itself; bound if a port is given."""
        opened = netns.inside(self.namespace(host), lambda: socket.socket(socket.AF_INET, kind))
        if port is not None:
            opened.bind(("0.0.0.0", port))
        return opened

    def capture(self, host: str) -> Capture:
        """Record what goes over a host's interface to the internet, from now on."""
        interface = self._layout.interface(host)
        opened = netns.inside(self.namespace(host), lambda: open_packet_socket(interface))
        capture = Capture(opened)
        self._captures.append(capture)
        return capture

    # -- faults ------------------------------------------------------------------------------------

    def loss(self, host: str | None, share: float) -> None:
        """Lose this share of a host's packets, each way; of everybody's if None."""
        self._faults.loss(self._port(host), share)
        self._apply()

    def udp_loss(self, host: str | None, share: float) -> None:
        """As `loss`, of UDP only."""
        self._faults.loss(self._port(host), share, udp_only=True)
        self._apply()

    def partition(self, one_side: Sequence[str], other_side: Sequence[str]) -> None:
        """Nothing passes between the one side and the other."""
        ports = [[self._layout.place(host).port for host in s] for s in (one_side, other_side)]
        self._faults.partition(*ports)
        self._apply()

    def blackhole(self, host: str) -> None:
        """A host's packets vanish, both ways, without a word to anybody."""
        self._faults.blackhole(self._layout.place(host).port)
        self._apply()

    def heal(self) -> None:
        """End every loss, partition and black hole."""
        self._faults.heal()
        self._apply()

    def nat_reboot(self, host: str) -> None:
        """The NAT of a host forgets every mapping; what was connected through it is not told."""
        namespace = self.namespace(self.nat_of(host))
        netns.command(*netns.within(namespace, netns.tool("nft"), "-f", "-"), text=nats.forget())
        netns.forget_flows(namespace)

    def nat_readdress(self, host: str) -> str:
        """The NAT of a host gets another public address, and forgets; returns the new address."""
        nat = self.nat_of(host)
        place = self._layout.places[nat]
        old, place.address = place.address, f"{NETWORK}.{next(self._spare)}"
        text = (
            f"addr del {old}/24 dev {nats.WAN}\naddr add {place.address}/24 dev {nats.WAN}\n"
            f"route replace default dev {nats.WAN}\n"
        )
        self._in_each("ip", {nat: text})
        self.nat_reboot(nat)
        return place.address

    def divert(self, host: str, port: int, to: int) -> None:
        """Who calls a TCP port of a host from outside gets another one, as an attacker in front of
        it would have it; what runs on the host itself still reaches the real one."""
        chain = "type nat hook prerouting priority -100"
        rule = f"tcp dport {port} redirect to :{to}"
        text = f"table ip divert {{\n chain divert {{\n {chain}\n {rule}\n }}\n}}\n"
        self._in_each("nft", {host: text})

    def link(self, host: str, **shape: float) -> None:
        """Set a wired link's `delay`, `jitter` (s), `rate` (bytes/s) and `loss` (share)."""
        name = self._layout.nat_of.get(host, host)
        if name not in self.plan.wired:
            raise ValueError(f"{name} is not wired: say so in the plan")
        self._tell_wire({"name": name, **shape}, "ok")

    def _port(self, host: str | None) -> str | None:
        return None if host is None else self._layout.place(host).port

    def _apply(self) -> None:
        line = netns.within(self.namespace(SWITCH), netns.tool("nft"), "-f", "-")
        netns.command(*line, text=self._faults.script())

    # -- the wire ----------------------------------------------------------------------------------

    def _start_wire(self) -> None:
        self._wire = subprocess.Popen(
            [sys.executable, "-m", "tests.nat.wire"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        links = [{"name": name, "ends": ends} for name, *ends in self._layout.wires()]
        self._tell_wire(links, "ready")

    def _tell_wire(self, words: Any, answer: str) -> None:
        assert self._wire is not None and self._wire.stdin and self._wire.stdout
        self._wire.stdin.write(json.dumps(words) + "\n")
        self._wire.stdin.flush()
        if self._wire.stdout.readline().strip() != answer:
            raise LabError("the wire has ended")


__all__ = ["Lab", "LabError", "Nat", "Plan"]
