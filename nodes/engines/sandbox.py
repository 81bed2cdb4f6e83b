"""The sandbox of processes that work on clients' files and texts.

    enter(Sandbox(...))  ->  ("other user", "limits", "no new privileges", "Landlock 7", "seccomp")

It returns the names of the parts in force, which are logged when the node starts; parts that this
system does not have are left out.

    part               on                what it prevents
    limits             any system        more memory and time than needed, writing into files
    other user         any, if root      access to files that not all users can read
    no new privileges  Linux             gaining rights by running another program
    Landlock           Linux 5.13        files, TCP, signals: see `landlock`
    seccomp            Linux             sockets, processes, opening files: see `seccomp`

It is entered once everything is loaded, and before any input of a client is read. Landlock does not
hold for threads that exist by then, so a library that starts threads while it loads is loaded after
`confine`. The other parts hold for all threads.
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
NOBODY = 65_534  # user and group, where the system has no user "nobody"
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # of prctl(2)
STATM = Path("/proc/self/statm")  # its first number: pages of address space
STATM_SIZE = 128  # bytes of it
SYSTEM = tuple(map(Path, ("/usr", "/lib", "/lib64", "/opt", "/etc", "/sys", "/proc/driver")))
DEVICES = (Path("/dev"),)
PYTHON = ("stdlib", "platstdlib", "purelib", "platlib")  # folders of Python and its packages


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What one worker may use."""

    memory: int = 256 * MIB  # bytes of address space beyond those it has when it enters; 0: any
    seconds: int = 120  # of processor time for a job; 0: any
    file_size: int = 0  # bytes; 0: it cannot write to any file
    files: int = 64  # open at a time
    readable: tuple[Path, ...] = ()  # folders that it may still read (Landlock)
    threads: bool = False  # it may start threads (never processes)
    machine_code: bool = False  # its libraries generate machine code
    several_jobs: bool = False  # one after the other: `limit_time` begins each
    gpu: bool = False  # it uses GPU drivers, which read system folders and make unknown calls


def enter(sandbox: Sandbox, parent: int) -> tuple[str, ...]:
    """Put this process into `sandbox` for ever; it is killed with its `parent` (a process id).
    Returns the names of the parts in force."""
    active = []
    mapped = _address_space()
    system = SYSTEM if sandbox.gpu else ()
    handles = _opened([*sandbox.readable, *system])
    devices = _opened(DEVICES if sandbox.gpu else ())
    if os.geteuid() == 0:  # after `_opened`: the other user may not have access to those folders
        with suppress(OSError):  # root in a container may lack the right to
            drop_privileges()
            active.append("other user")
    die_with_parent(parent)  # again: Linux clears this when the user changes
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
        reading = bool(handles)  # without Landlock any file: the engine reads its data
        allowed = seccomp.Allowed(
            reading, sandbox.threads, sandbox.machine_code, sandbox.several_jobs, sandbox.gpu
        )
        seccomp.install(allowed)
        active.append("seccomp")
    return tuple(active)


def confine(readable: Iterable[Path]) -> None:
    """Give up all files but `readable` and Python's packages, for this thread and its children,
    before the sandbox is entered. Does nothing without Landlock."""
    if not LINUX:
        return
    with suppress(OSError):
        _statm()
    handles = _opened([*readable, *(Path(sysconfig.get_path(name)) for name in PYTHON)])
    with suppress(OSError):
        no_new_privileges()
        landlock.restrict(handles)
    for handle in handles:
        os.close(handle)


def _opened(paths: Iterable[Path]) -> list[int]:
    """The existing ones of `paths`, opened for Landlock."""
    return [os.open(path, os.O_PATH) for path in paths if path.exists()] if LINUX else []


def die_with_parent(parent: int) -> None:
    """Have Linux kill this process with its parent; end it now if the parent has ended."""
    if LINUX:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
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
    """Set system limits, which can only be lowered later. `mapped`: see `_address_space`."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, sandbox.file_size)
    _lower(resource.RLIMIT_NOFILE, sandbox.files)
    if sandbox.seconds and not sandbox.several_jobs:
        _lower(resource.RLIMIT_CPU, _seconds_used() + sandbox.seconds, 1)
    if sandbox.memory and mapped:
        _lower(resource.RLIMIT_AS, mapped + sandbox.memory)


def limit_time(seconds: int) -> None:
    """Set the limit of processor time for the next job of a process that does several; 0: any."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    to = _seconds_used() + seconds
    if seconds and (hard == resource.RLIM_INFINITY or to < hard):
        resource.setrlimit(resource.RLIMIT_CPU, (to, hard))


def _seconds_used() -> int:
    """Of processor time, rounded up."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return int(used.ru_utime + used.ru_stime) + 1


def _address_space() -> int:
    """Bytes of address space that this process has; 0: unknown."""
    try:
        statm = os.pread(_statm().fileno(), STATM_SIZE, 0)
    except OSError:
        return 0
    return int(statm.split()[0]) * resource.getpagesize()


@cache
def _statm() -> BinaryIO:
    """/proc/self/statm, opened once, while this process still may."""
    return STATM.open("rb", buffering=0)


def no_new_privileges() -> None:
    """Set no_new_privs: no program that this process runs gets more rights than it has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs was refused")


def _lower(which: int, to: int, grace: int = 0) -> None:
    """Lower a limit, never raise it. `grace`: how much beyond its signal until the kill."""
    _, hard = resource.getrlimit(which)
    most = to + grace if hard == resource.RLIM_INFINITY else min(to + grace, hard)
    resource.setrlimit(which, (min(to, most), most))
