"""A small internet on one machine, of network namespaces, with everything that goes wrong in it.

    host   host   host  ...          each its own namespace; addresses: see `plan`
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
from .plan import FIRST_SPARE, SWITCH, Layout, Nat, Plan
from .programs import Program

ROOT = Path(__file__).resolve().parents[2]
RUN_SECONDS = 60.0  # bound on a program that is run to its end
NO_IPV6 = {"ipv6/conf/all/disable_ipv6": 1, "ipv6/conf/default/disable_ipv6": 1}
IPV6 = {  # addresses are good at once, and nobody gives himself more of them
    f"ipv6/conf/{which}/{name}": 0
    for which in ("all", "default")
    for name in ("accept_dad", "dad_transmits", "accept_ra", "autoconf")
}
ROUTER = {"ipv4/ip_forward": 1, "netfilter/nf_conntrack_tcp_loose": 0}
ROUTER_6 = {
    "ipv6/conf/all/forwarding": 1, "ipv6/conf/wan/proxy_ndp": 1, "ipv6/neigh/wan/proxy_delay": 0
}  # fmt: skip
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
            speaks_6 = "6" in self._layout.families(name)
            netns.sysctl(self.namespace(name), IPV6 if speaks_6 else NO_IPV6)
        self._in_each("ip", dict(self._layout.inner()))
        rules = {name: nats.rules(nat.kind) for name, nat in self.plan.nats.items()}
        self._in_each("nft", {SWITCH: TABLE, **rules})
        for name in self.plan.nats:
            speaks_6 = "6" in self._layout.families(name)
            netns.sysctl(self.namespace(name), {**ROUTER, **(ROUTER_6 if speaks_6 else {})})
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

    def families(self, host: str) -> str:
        """What a host speaks: "4", "6" or "46"."""
        return self._layout.families(host)

    def address(self, host: str, family: str = "") -> str:
        """The address by which the internet knows a host: behind a NAT the NAT's, if it speaks
        IPv4 or nothing is said of the family. IPv6 knows of no NAT."""
        place = self._layout.place(host)
        if (family or next(iter(place.addresses))) == "6":
            return self._layout.own_addresses(host)["6"]
        return place.addresses[family] if family else place.address

    def own_address(self, host: str) -> str:
        """The address on the host's own interface."""
        return next(iter(self._layout.own_addresses(host).values()))

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

    def socket(
        self, host: str, kind: socket.SocketKind, port: int | None = None, families: str = ""
    ) -> socket.socket:
        """A socket that lives on a host, for use by the test itself; bound if a port is given.
        IPv4 if the host speaks it, or may by `families`."""
        speaks_4 = "4" in (families or self._layout.families(host))
        family = socket.AF_INET if speaks_4 else socket.AF_INET6
        opened = netns.inside(self.namespace(host), lambda: socket.socket(family, kind))
        if port is not None:
            opened.bind(("0.0.0.0" if speaks_4 else "::", port))
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
        """The NAT of a host gets another public address, and forgets; returns the new address.
        Where it speaks IPv6 it gets another prefix, and all at home another address."""
        nat = self.nat_of(host)
        address = self._stand_anew(nat, self._layout.families(nat))
        self.nat_reboot(nat)
        netns.forget_flows(self.namespace(nat))  # a packet on its way may have kept one alive
        return address

    def readdress(self, host: str, families: str = "") -> str:
        """A public host gets other addresses; what was connected to it is not told. With
        `families` it speaks those from now on. Returns the first of the new addresses."""
        if host in self._layout.nat_of:
            raise ValueError(f"{host} has the address that its router gives it")
        return self._stand_anew(host, families or self._layout.families(host))

    def _stand_anew(self, name: str, families: str) -> str:
        layout, place = self._layout, self._layout.places[name]
        homes = layout.plan.nats[name].members if name in layout.plan.nats else ()
        flush = f"addr flush dev {place.interface} scope global\n"
        if "6" in families:
            netns.sysctl(self.namespace(name), {key: 1 - value for key, value in NO_IPV6.items()})
            netns.sysctl(self.namespace(name), IPV6)
        place.addresses = layout.numbered(next(self._spare), families)
        lines = [*layout.stand(name), *(layout.house(name) if homes else ())]
        texts = {name: flush + (f"addr flush dev {nats.LAN} scope global\n" if homes else "")}
        texts[name] += "".join(f"{line}\n" for line in lines)
        for home in homes:
            own = "addr flush dev eth0 scope global\n"
            texts[home] = own + "".join(f"{line}\n" for line in layout.live(home, name))
        self._in_each("ip", texts)
        return place.address

    def divert(self, host: str, port: int, to: int) -> None:
        """Who calls a TCP port of a host from outside gets another one, as an attacker in front of
        it would have it; what runs on the host itself still reaches the real one."""
        chain = "type nat hook prerouting priority -100"
        rule = f"tcp dport {port} redirect to :{to}"
        text = f"table inet divert {{\n chain divert {{\n {chain}\n {rule}\n }}\n}}\n"
        self._in_each("nft", {host: text})

    def shut(self, host: str, port: int) -> None:
        """A TCP port of a host answers nobody from outside, as behind a firewall."""
        chain = "type filter hook input priority 0"
        self._filter(host, f'{chain}\n iifname != "lo" tcp dport {port} drop')

    def lead_nowhere(self, host: str, family: str) -> None:
        """A host has addresses and a route of a family, and what it sends there is lost."""
        neighbours = "nd-neighbor-solicit, nd-neighbor-advert"
        lost = f"ip6 nexthdr != icmpv6 drop\n icmpv6 type != {{ {neighbours} }} drop"
        lost = lost if family == "6" else "meta nfproto ipv4 drop"
        self._filter(host, f'type filter hook output priority 0\n oifname "lo" accept\n {lost}')

    def _filter(self, host: str, chain: str) -> None:
        self._in_each("nft", {host: f"table inet story {{\n chain story {{\n {chain}\n }}\n}}\n"})

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
