"""The sandbox around whatever works on strangers' files and texts.

    enter(Sandbox(...))  ->  ("other user", "limits", "no new privileges", "Landlock 7", "seccomp")

What stands is returned, and told at the node's start; what cannot be had here is left out.

    stands             on                what it keeps a worker from
    limits             any system        more memory and time than it needs, writing into files
    other user         any, if root      what is not open to everybody
    no new privileges  Linux             rights of a program that has some
    Landlock           Linux 5.13        files, TCP, signals: see `landlock`
    seccomp            Linux             sockets, processes, opening files: see `seccomp`

It closes once everything is loaded, and before a byte of a stranger's is looked at. Of threads
that are there by then, Landlock holds for none: a library that starts some while it loads is loaded
behind `confine`. The rest holds for all threads.
"""

import ctypes
import os
import pwd
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from nodes.engines import landlock, seccomp

MIB = 1 << 20
LINUX = sys.platform == "linux"
NOBODY = 65_534  # user and group, where the system does not name one
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # of prctl(2)
PAGES = Path("/proc/self/statm")  # its first number: pages of address space
ENOUGH_OF_PAGES = 128  # bytes of it
SYSTEM = tuple(map(Path, ("/usr", "/lib", "/lib64", "/opt", "/etc", "/sys", "/proc/driver")))
DEVICES = (Path("/dev"),)
PYTHON = ("stdlib", "platstdlib", "purelib", "platlib")  # folders of Python and its packages


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How much room one worker has."""

    memory: int = 256 * MIB  # bytes of address space above what it has when it is entered; 0: any
    seconds: int = 120  # of processor time; 0: any
    file_size: int = 0  # bytes; 0: it cannot write to any file
    files: int = 64  # open at a time
    readable: tuple[Path, ...] = ()  # folders with what it must still read; Landlock keeps it there
    threads: bool = False  # it may start threads (never processes)
    machine_code: bool = False  # its libraries write machine code
    gpu: bool = False  # the drivers of a GPU read system folders, and make calls that nobody lists


def enter(sandbox: Sandbox, parent: int) -> tuple[str, ...]:
    """Put this process into `sandbox`, for good. It goes with the process `parent`. The names of
    what stands."""
    active = []
    mapped = _mapped()
    system = SYSTEM if sandbox.gpu else ()
    handles = _opened([*sandbox.readable, *system])
    devices = _opened(DEVICES if sandbox.gpu else ())
    if os.geteuid() == 0:  # who may not even look at what is above those folders
        with suppress(OSError):  # root in a container may not have the right to
            drop_privileges()
            active.append("other user")
    die_with_parent(parent)  # again: Linux forgets it with the rights
    limit(sandbox, mapped)
    active.append("limits")
    if not LINUX:
        return tuple(active)
    with suppress(OSError):
        no_new_privileges()
        active.append("no new privileges")
    with suppress(OSError):
        landlock.restrict(handles, devices)
        active.append(f"Landlock {landlock.version()}")
    for handle in (*handles, *devices):
        os.close(handle)
    with suppress(OSError):
        reading = bool(handles)  # without Landlock of anything, or the engine could not work
        allowed = seccomp.Allowed(reading, sandbox.threads, sandbox.machine_code, sandbox.gpu)
        seccomp.install(allowed)
        active.append("seccomp")
    return tuple(active)


def confine(readable: Iterable[Path]) -> None:
    """Give up all files but these, and Python's packages, before the sandbox is entered: for this
    thread and all that it starts. Nothing happens where there is no Landlock."""
    if not LINUX:
        return
    with suppress(OSError):
        _pages()
    handles = _opened([*readable, *(Path(sysconfig.get_path(name)) for name in PYTHON)])
    with suppress(OSError):
        no_new_privileges()
        landlock.restrict(handles)
    for handle in handles:
        os.close(handle)


def _opened(paths: Iterable[Path]) -> list[int]:
    """Those of `paths` that are there, as Landlock takes them."""
    return [os.open(path, os.O_PATH) for path in paths if path.exists()] if LINUX else []


def die_with_parent(parent: int) -> None:
    """Ask Linux to kill this process with its parent; elsewhere, end it if that is gone."""
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it went before it was asked
        os._exit(0)


def drop_privileges() -> None:
    """Give up being root, and every group."""
    try:
        nobody = pwd.getpwnam("nobody")
        user, group = nobody.pw_uid, nobody.pw_gid
    except KeyError:
        user = group = NOBODY
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def limit(sandbox: Sandbox, mapped: int) -> None:
    """Limits of the system, which can only be lowered from here on. `mapped`: see `_mapped`."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, sandbox.file_size)
    _lower(resource.RLIMIT_NOFILE, sandbox.files)
    if sandbox.seconds:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + sandbox.seconds, 1)
    if sandbox.memory and mapped:
        _lower(resource.RLIMIT_AS, mapped + sandbox.memory)


def _mapped() -> int:
    """Bytes of address space that this process has; 0: nobody says."""
    try:
        said = os.pread(_pages().fileno(), ENOUGH_OF_PAGES, 0)
    except OSError:
        return 0
    return int(said.split()[0]) * resource.getpagesize()


@cache
def _pages() -> BinaryIO:
    """Opened once, for this very process, while that is still allowed."""
    return PAGES.open("rb", buffering=0)


def no_new_privileges() -> None:
    """Nothing that this process runs gets more rights than it has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")


def _lower(which: int, to: int, grace: int = 0) -> None:
    """A limit that was lower before stays. `grace`: between its signal and the end."""
    _, hard = resource.getrlimit(which)
    most = to + grace if hard == resource.RLIM_INFINITY else min(to + grace, hard)
    resource.setrlimit(which, (min(to, most), most))
