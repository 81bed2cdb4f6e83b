"""A worker that does as it is told: what the tests of worker pools are made with."""

import errno
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from nodes.engines import worker_main
from nodes.engines.link import Link
from nodes.engines.priority_lock import PriorityLock
from nodes.engines.sandbox import Sandbox
from privox_dht.errors import RequestRejected

TURNS = PriorityLock()

FORBIDDEN: dict[str, Callable[[str], Any]] = {
    "read": lambda path: Path(path).read_bytes(),
    "write": lambda path: Path(path).write_bytes(b"mine"),
    "append": lambda path: os.open(path, os.O_WRONLY | os.O_APPEND),
    "list": os.listdir,
    "remove": os.remove,
    "socket": lambda _: socket.socket().close(),
    "datagram": lambda _: socket.socket(type=socket.SOCK_DGRAM).close(),
    "socket pair": lambda _: socket.socketpair(),
    "fork": lambda _: os.fork(),
    "run": lambda _: os.execv("/bin/true", ["true"]),
    "kill": lambda pid: os.kill(int(pid), 0),
    "limits": lambda _: _raise_a_limit(),
    "memory": lambda size: bytearray(int(size)),
}


def _raise_a_limit() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 12, 1 << 12))


def _turns(asked: dict[str, Any]) -> Generator[int]:
    """Numbers from where it was left; or the first of them, and the end of the process."""
    for number in itertools.count(asked.get("from", 0)):
        yield number
        if "crash" in asked["do"]:
            os.abort()


def no_fork() -> int:
    """As where no process may be started any more."""
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def no_pidfd(pid: int) -> int:
    """As in Linux before 5.3, and in gVisor."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def load() -> tuple[dict[str, Any], worker_main.Handler]:
    if "--broken" in sys.argv:
        raise ValueError("no model")
    return {"pid": os.getpid()}, answer


def answer(asked: dict[str, Any], payload: bytes, link: Link) -> None:
    match asked["do"]:
        case "echo":
            link.send({"pid": os.getpid()}, payload)
        case "count":
            for number in range(asked["to"]):
                made = {"made": time.monotonic()} if "timed" in asked else {}
                link.send({"number": number, **made}, bytes(asked.get("size", 0)))
        case "take a turn" | "take a turn and crash":
            for number in TURNS.each(link, _turns(asked)):
                link.send({"number": number, "at": number + 1, "pid": os.getpid()})
        case "hang":
            link.send({"pid": os.getpid()})
            busy_until = time.monotonic() + 60
            while time.monotonic() < busy_until:
                pass
        case "refuse":
            raise RequestRejected("not that", status=404, param="voice")
        case "break":
            raise ValueError("broken")
        case "try":
            try:
                FORBIDDEN[asked["what"]](asked["with"])
            except (OSError, MemoryError, ValueError) as exc:
                link.send({"refused by": type(exc).__name__})
            else:
                link.send({"refused by": ""})
        case "crash":
            os.abort()
        case "garble":
            os.write(0 if asked["where"] == "control" else link.socket.fileno(), payload)
            link.receive()  # until the other side hangs up
        case "end by":
            signal.raise_signal(asked["signal"])
        case "work":
            until = time.process_time() + asked["seconds"]
            while time.process_time() < until:
                pass
        case "environment":
            link.send(dict(os.environ))
        case "write to what came":
            link.send({"wrote": os.write(link.files[0], payload)})
        case "spin":
            while True:
                pass
        case "print":
            print("stray words")
            link.send({})


if __name__ == "__main__":
    mode = next(
        (m for m in (worker_main.ALONE, worker_main.THREADS) if f"--{m}" in sys.argv),
        worker_main.FORK,
    )
    if "--no-pidfds" in sys.argv:
        os.pidfd_open = no_pidfd  # type: ignore[assignment]
    if "--one-job" in sys.argv:
        forks = iter((os.fork, os.fork))  # a trial of the sandbox, and the first copy
        os.fork = lambda: next(forks, no_fork)()
    threads = mode == worker_main.THREADS
    gpu = "--gpu" in sys.argv
    worker_main.serve(load, Sandbox(memory=64 << 20, seconds=2, threads=threads, gpu=gpu), mode)
