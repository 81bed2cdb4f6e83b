"""Real `privox-node` and `privox-client` processes for tests, all on loopback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from kit import HOST

from nodes.demo import RunningNode

CLIENT_WITHIN = 40.0  # seconds; a client run that takes longer hangs


class Lab:
    """A mesh of processes in a folder, ended when the context is left."""

    def __init__(self, folder: Path, *first: str) -> None:
        self.folder = folder
        self.nodes: dict[str, RunningNode] = {}
        self._stack = ExitStack()
        self.first = self.node("first", *first)
        self.port: int = self.first.wait_for("listening")["port"]

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def node(self, name: str, *arguments: str) -> RunningNode:
        """A node that joins through the first one."""
        joining = ["--neighbours", f"{HOST}:{self.port}"] if self.nodes else []
        node = RunningNode(name, [*joining, *arguments], self.folder / name)
        self._stack.callback(node.stop)
        self.nodes[name] = node
        return node

    def producer(self, name: str, services: str, *arguments: str) -> RunningNode:
        """A node whose records are out."""
        node = self.node(name, "--services", services, *arguments)
        node.wait_for("published")
        return node

    def client(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """One run of `privox-client` to its end."""
        return subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, timeout=CLIENT_WITHIN,
            check=False,
        )  # fmt: skip

    def start_client(self, *arguments: str) -> Client:
        """A run of `privox-client`, begun."""
        process = Client(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._stack.callback(_end, process)
        return process

    def command(self, *arguments: str) -> list[str]:
        """A run of `privox-client`; its job is for `echo`, which most labs have, unless it names
        another model."""
        if "--service" in arguments and "--model" not in arguments:
            arguments = (*arguments, "--model", "echo")
        joining = [
            "--neighbours",
            f"{HOST}:{self.port}",
            "--state-dir",
            str(self.folder / "client"),
        ]
        return [sys.executable, "-m", "client.cli", *joining, *arguments]

    def listed(self) -> list[dict[str, Any]]:
        """The records that `privox-client list` finds."""
        ran = self.client("list", "--json")
        assert ran.returncode == 0, ran.stderr
        found: list[dict[str, Any]] = json.loads(ran.stdout)["records"]
        return found


class Client(subprocess.Popen[bytes]):
    """A run of `privox-client` whose output is read as it comes."""

    stdout: IO[bytes]
    stderr: IO[bytes]


def peer_of(node: RunningNode) -> str:
    """The id that a node told when it began to listen."""
    peer: str = node.events["listening"]["peer"]
    return peer


def wait_for_line(node: RunningNode, text: str, seconds: float = 20.0, more_than: int = 0) -> None:
    """Return when the node has said so, in more lines than these."""
    with node.changed:
        assert node.changed.wait_for(
            lambda: sum(text in line for line in node.lines) > more_than, seconds
        ), node.lines


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()


def silence(path: Path, seconds: float) -> Path:
    """A WAV file of 16 kHz silence."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(2 * int(16_000 * seconds)))
    return path


@contextmanager
def counting_proxy(listen: tuple[str, int], to: tuple[str, int]) -> Iterator[Counter]:
    """A TCP proxy that counts what it passes on from callers, so that a test can act in
    mid-upload."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(listen))
        counter = Counter()
        threading.Thread(target=_accept, args=(server, to, counter), daemon=True).start()
        stack.callback(server.shutdown, socket.SHUT_RDWR)
        yield counter


class Counter:
    """Bytes passed on so far; `when` is called once, in the proxy's thread, at `limit`."""

    def __init__(self) -> None:
        self.passed = 0
        self.limit = 1 << 62
        self.when: Callable[[], None] = lambda: None

    def count(self, number: int) -> None:
        self.passed += number
        if self.passed >= self.limit:
            self.limit = 1 << 62
            self.when()


def _accept(server: socket.socket, to: tuple[str, int], counter: Counter) -> None:
    while True:
        try:
            caller, _ = server.accept()
        except OSError:
            return
        try:
            called = socket.create_connection(to)
        except OSError:
            caller.close()
            continue
        there = threading.Thread(target=_pass_on, args=(caller, called, counter), daemon=True)
        there.start()
        back = threading.Thread(target=_both_ways, args=(called, caller, there), daemon=True)
        back.start()


def _both_ways(called: socket.socket, caller: socket.socket, there: threading.Thread) -> None:
    """Carry the way back; then, when both ways have ended, close."""
    with called, caller:
        _pass_on(called, caller, None)
        there.join()


def _pass_on(source: socket.socket, target: socket.socket, counter: Counter | None) -> None:
    try:
        while data := source.recv(1 << 14):
            target.sendall(data)
            if counter:
                counter.count(len(data))
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def answer(ran: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The JSON that a client printed, which ended well."""
    assert ran.returncode == 0, ran.stderr.decode()
    told: dict[str, Any] = json.loads(ran.stdout)
    return told
