"""The programs of a mesh at their places in a lab, and what a test asks of them.

    Village.node("other", "--services", "stt/cpu")   privox-node there, listening
    node.published()                                 its routes, once others can find it
    Village.ask("client", "list")                    privox-client there, to its end
    Village.asking("client", ...)                    the same, going on while the test does harm

Everybody is told `--neighbours` and what to serve, and nothing else: what the network is like is
theirs to find out.
"""

import json
import math
import sys
import time
import wave
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privox_dht import limits
from privox_dht.addresses import join_host

from .lab import Lab, LabError
from .programs import Program

START_SECONDS = 60.0  # for a node to listen with its engines warm; given up then, and no promise
FIND_SECONDS = 30.0  # for a node to find out where it stands and be published
ASK_SECONDS = 60.0  # for one job, bad luck included
RATE = 16_000  # Hz


def write_tone(path: Path, seconds: float) -> Path:
    """A WAV file that an echo engine has an opinion on: its length."""
    samples = (round(8000 * math.sin(i / 6)) for i in range(round(seconds * RATE)))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(array("h", samples).tobytes())
    return path


@dataclass
class Node:
    """A running `privox-node`."""

    host: str
    program: Program
    peer: str = ""  # peer id

    def event(self, name: str, seconds: float, *, since: int = 0) -> dict[str, Any]:
        """The first log line of an event."""
        line = self.program.wait_for(rf'^{{.*"event": "{name}".*}}$', seconds, since=since)
        found: dict[str, Any] = json.loads(line[0])
        return found

    def published(
        self, wanted: str = "", *, seconds: float = FIND_SECONDS, since: int = 0
    ) -> list[str]:
        """The routes by which others find it, once the first of them begins with `wanted`."""
        pattern = rf'^{{.*"event": "published".*"routes": \["{wanted}[^\]]*\].*}}$'
        line = self.program.wait_for(pattern, seconds, since=since)
        routes: list[str] = json.loads(line[0])["routes"]
        return routes


@dataclass
class Answer:
    """How a `privox-client` ended."""

    code: int
    text: str  # all it said
    seconds: float

    @property
    def said(self) -> dict[str, Any]:
        """The JSON object it printed."""
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        if not lines:
            raise LabError(f"no JSON in what the client said ({self.code}):\n{self.text}")
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    @property
    def transcript(self) -> str:
        return str(self.said["transcript"]["text"]).strip()


@dataclass
class Asking:
    """A `privox-client` under way."""

    program: Program
    began: float

    def answer(self, seconds: float = ASK_SECONDS) -> Answer:
        code = self.program.wait(seconds)
        return Answer(code, self.program.output, time.monotonic() - self.began)


class Village:
    """The mesh of one lab. Its first node is the first that is started."""

    def __init__(self, lab: Lab, *, all_relay: bool = False, told: Sequence[str] = ()) -> None:
        """`all_relay`: whoever can be called relays too, as it is by default; else who is told to
        be a farm, so that a story knows by whom something was relayed. `told`: what all nodes and
        clients are told besides."""
        self._more = () if all_relay else ("--no-farm",)
        self.told = tuple(told)
        self.lab = lab
        self.nodes: dict[str, Node] = {}
        self.clocks: dict[str, float] = {}  # seconds by which a host's is ahead
        self._asked = 0

    @property
    def neighbours(self) -> list[str]:
        """How everybody is told to join."""
        first = next(iter(self.nodes.values()), None)
        if first is None:
            return []
        return ["--neighbours", ",".join(self.doors(first.host, limits.DHT_PORT))]

    def doors(self, host: str, port: int) -> list[str]:
        """A port of a host as others name it, once for each family of addresses that it has."""
        families = self.lab.families(host)
        return [join_host(self.lab.address(host, family), port) for family in families]

    def start(self, host: str, *flags: str) -> Node:
        """A node that has been started, and no more."""
        argv = [*self._node(host), "--json-logs"]
        more = () if "--farm" in flags else self._more
        return Node(
            host, self.lab.spawn(host, [*argv, *self.neighbours, *self.told, *more, *flags])
        )

    def _node(self, host: str) -> list[str]:
        """The program of a host's node; its clock is as wrong as `clocks` says."""
        program = ["-m", "nodes.cli"]
        if off := self.clocks.get(host):
            program = ["-m", "tests.nat.wrong_clock", str(off), "nodes.cli"]
        return [sys.executable, *program, "--state-dir", str(self.lab.folder / f"{host}.state")]

    def tell(self, host: str, command: str, *flags: str) -> str:
        """What `privox-node status` or `doctor` says there."""
        line = [*self._node(host), *self.neighbours, *self.told, *flags, command]
        if command == "status":
            line = [*self._node(host), command, "--once"]
        return self.lab.run(host, line, seconds=ASK_SECONDS).stdout.decode()

    def ready(self, node: Node) -> Node:
        """The same, once it listens and has joined."""
        node.peer = node.event("listening", START_SECONDS)["peer"]
        if self.nodes:
            node.event("joined", FIND_SECONDS)
        self.nodes[node.host] = node
        return node

    def node(self, host: str, *flags: str) -> Node:
        """A node that listens and has joined."""
        return self.ready(self.start(host, *flags))

    def open(self, *first: str, farms: Sequence[str] = ()) -> None:
        """First nodes and farms, the latter where others find them."""
        self.node(first[0])
        others = [self.start(host) for host in first[1:]]
        others += [self.start(host, "--farm") for host in farms]
        for node in others:
            self.ready(node)
        for host in farms:
            self.nodes[host].published("direct")

    def asking(self, host: str, *flags: str) -> Asking:
        """A client at work. It is told the neighbours, and answers in JSON."""
        self._asked += 1
        name = f"{host}.ask{self._asked}"
        state = self.lab.folder / f"{name}.state"
        argv = [sys.executable, "-m", "client.cli", "--json", "--state-dir", str(state)]
        began = time.monotonic()
        line = [*argv, *self.neighbours, *self.told, *flags]
        return Asking(self.lab.spawn(host, line, name=name), began)

    def ask(self, host: str, *flags: str, seconds: float = ASK_SECONDS) -> Answer:
        """The client's answer."""
        return self.asking(host, *flags).answer(seconds)

    def transcribe(self, host: str, recording: Path, *flags: str, model: str = "echo") -> Asking:
        line = ["--service", "stt", "--file", str(recording), "--model", model]
        return self.asking(host, *line, *flags)

    def speak(self, host: str, text: str, output: Path, *flags: str, model: str = "echo") -> Asking:
        line = ["--service", "tts", "--text", text, "--output", str(output), "--model", model]
        return self.asking(host, *line, *flags)
