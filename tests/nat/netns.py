"""The kernel's side of the lab: network namespaces, and what may be had of them here.

A namespace of the lab is called `privox-<pid>-<start>-<number>-<host>`: the process that made it,
when that process started (pids come round again), which of its labs, and who lives there. So
whatever a crashed run left behind is known to be nobody's, and goes when the next lab is built.

A socket belongs for ever to the namespace it was opened in, whoever uses it afterwards. That is
all that is needed to talk, listen or capture inside from an ordinary test: `inside()` lends a
throw-away thread to open it there.
"""

import contextlib
import ctypes
import functools
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PREFIX = "privox"
FOLDER = Path("/run/netns")
COMMAND_SECONDS = 20.0  # bound on one ip or nft call; they take milliseconds
CLONE_NEWNET = 0x40000000
_NAME = re.compile(rf"{PREFIX}-(\d+)-(\d+)-\d+-.+")
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # where Debian keeps ip and nft


class LabError(Exception):
    """The lab could not be built, or something in it did not come in time."""


def tool(name: str) -> str:
    """The path of a program, also where a user's PATH leaves out sbin; itself if there is none."""
    return shutil.which(name, path=_PATH) or name


def command(*argv: str, text: str = "") -> str:
    """Run a tool to its end and return its output; `text` is its input."""
    try:
        done = subprocess.run(
            [tool(argv[0]), *argv[1:]],
            input=text,
            text=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise LabError(f"{' '.join(argv)}: {exc}") from exc
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}\n{text}")
    return done.stdout


def within(namespace: str, *argv: str) -> list[str]:
    """The command line that runs `argv` there, and that does not outlive whoever started it."""
    enter = ["nsenter", f"--net={FOLDER / namespace}", "--"]
    return [tool("setpriv"), "--pdeathsig", "KILL", tool(enter[0]), *enter[1:], *argv]


def inside(namespace: str, work: Callable[[], T]) -> T:
    """What `work` returns when it runs in that namespace (in a thread that ends there)."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with open(FOLDER / namespace) as there:
                _set_namespace(there.fileno())
            results.append(work())
        except BaseException as exc:
            errors.append(exc)

    thread = threading.Thread(target=run, name=f"inside {namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _set_namespace(descriptor: int) -> None:
    if sys.version_info >= (3, 12):
        os.setns(descriptor, CLONE_NEWNET)
    elif ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def sysctl(namespace: str, values: dict[str, int]) -> None:
    """Set kernel variables, by their path under /proc/sys/net; those not here are passed over."""

    def write() -> None:
        for path, value in values.items():
            with contextlib.suppress(FileNotFoundError):
                Path("/proc/sys/net", path).write_text(str(value))

    inside(namespace, write)


def forget_flows(namespace: str) -> None:
    """Empty the connection tracking table: netlink's "delete" with nothing said about which."""
    netfilter, delete, request_and_ack, error = 12, (1 << 8) | 2, 0x05, 2
    message = struct.pack("=IHHII", 20, delete, request_and_ack, 1, 0) + bytes(4)
    link = inside(namespace, lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter))
    with link:
        link.settimeout(COMMAND_SECONDS)
        link.send(message)
        answer = link.recv(4096)
    kind, code = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
    if kind != error or code:
        raise LabError(f"cannot forget flows in {namespace}: {os.strerror(-code)}")


# -- names, and what is left of the dead -----------------------------------------------------------


def started(pid: int) -> int | None:
    """When a process started, in the kernel's ticks; None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[19])


def prefix(number: int) -> str:
    """What the names of this process's lab of that number start with."""
    return f"{PREFIX}-{os.getpid()}-{started(os.getpid())}-{number}-"


def living() -> list[str]:
    """The namespaces of labs whose process still runs."""
    return [name for name in _ours() if not _is_stale(name)]


def remove_stale() -> list[str]:
    """Remove what dead processes left behind; returns the names."""
    stale = [name for name in _ours() if _is_stale(name)]
    remove(stale)
    return stale


def remove(names: Iterable[str]) -> None:
    """Remove namespaces, and kill whatever still runs in them. Another lab may remove what is stale
    at the same time."""
    names = list(names)
    if not names:
        return
    for pid in _inhabitants(names):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    lines = "".join(f"netns del {name}\n" for name in names)
    try:
        command("ip", "-force", "-batch", "-", text=lines)
    except LabError:
        if any((FOLDER / name).exists() for name in names):
            raise


def _ours() -> list[str]:
    if not FOLDER.is_dir():
        return []
    return sorted(name for name in os.listdir(FOLDER) if _NAME.fullmatch(name))


def _is_stale(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and started(int(match[1])) != int(match[2])


def _inhabitants(names: Iterable[str]) -> list[int]:
    places = set()
    for name in names:
        with contextlib.suppress(OSError):
            places.add(os.stat(FOLDER / name).st_ino)
    pids = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.stat(f"/proc/{entry}/ns/net").st_ino in places:
                pids.append(int(entry))
    return [pid for pid in pids if pid != os.getpid()]


# -- what may be had here --------------------------------------------------------------------------

_TRIALS = {
    "a pair of interfaces": ("ip", "link add va type veth peer name vb\n"),
    "a bridge": ("ip", "link add br0 type bridge\n"),
    "NAT": (
        "nft",
        "table ip t { chain c { type nat hook postrouting priority 100; "
        'oifname "va" masquerade fully-random; }; }\n',
    ),
    "loss on a bridge": (
        "nft",
        "table bridge t { chain c { type filter hook forward priority 0; "
        "numgen random mod 10 < 3 drop; }; }\n",
    ),
}


@functools.cache
def probe() -> str:
    """Why no lab can be built on this machine; empty if one can. Leaves nothing behind."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("ip", "nft", "nsenter", "setpriv") if tool(name) == name]
    if missing:
        return f"not installed: {', '.join(missing)} (tests/nat/install.sh installs them)"
    trial = prefix(0) + "probe"
    try:
        command("ip", "netns", "add", trial)
    except LabError as exc:
        return f"no network namespace may be made here: {exc}"
    try:
        return next((why for what in _TRIALS if (why := _try(trial, what))), "")
    finally:
        remove([trial])


def _try(namespace: str, what: str) -> str:
    program, text = _TRIALS[what]
    argv = [program, "-batch", "-"] if program == "ip" else [program, "-f", "-"]
    try:
        command(*within(namespace, tool(argv[0]), *argv[1:]), text=text)
    except LabError as exc:
        return f"this kernel does not do {what}: {exc}"
    return ""


def can_delay() -> bool:
    """Whether links may be slowed down here (by a user-space wire, which needs TAP devices)."""
    return os.path.exists("/dev/net/tun")
