"""Landlock: this process may still read some folders, and no other file.

    restrict([handle, ...])     these files, and those below these folders, can be read; nothing can
                                be written, created, moved or run; no TCP, no abstract sockets of
                                other processes, no signals to them

It needs no privileges. It holds for the calling thread and its children: call it before other
threads exist. What it covers depends on the kernel (5.13: files; 6.7: TCP; 6.12: signals). Written
by hand because there is no maintained library for it.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # on all architectures
VERSION_FLAG = 1  # flag of CREATE_RULESET
BENEATH = 1  # kind of rule: a folder
WRITE_FILE, READ_FILE, READ_FOLDER, IOCTL = 1 << 1, 1 << 2, 1 << 3, 1 << 15
IOCTL_SINCE = 5  # version
FILE_RIGHTS = ((1, 0x1FFF), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))  # since version: these bits
TCP_RIGHTS, TCP_SINCE = 0b11, 4  # listen, connect
SCOPES, SCOPES_SINCE = 0b11, 6  # abstract Unix sockets, signals


def version() -> int:
    """The version of this kernel's Landlock; 0: it has none."""
    try:
        return _call(CREATE_RULESET, None, 0, VERSION_FLAG)
    except (OSError, AttributeError):  # no Landlock; not Linux
        return 0


def restrict(readable: Iterable[int] = (), devices: Iterable[int] = ()) -> None:
    """Give up all files but `readable` and `devices`: files, and folders with all below them,
    opened with O_PATH. Devices may be written to as well. The process must have set no_new_privs.

    Raises:
        OSError: this kernel has no Landlock.
    """
    have = version()
    if not have:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    attributes = _attributes(have)
    ruleset = _call(CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for handle in readable:
            _allow(ruleset, handle, READ_FILE)
        for handle in devices:
            _allow(ruleset, handle, READ_FILE | WRITE_FILE | (IOCTL if have >= IOCTL_SINCE else 0))
        _call(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, handle: int, rights: int) -> None:
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        rights |= READ_FOLDER
    _call(ADD_RULE, ruleset, BENEATH, struct.pack("=Qi", rights, handle), 0)


def _attributes(have: int) -> bytes:
    """struct landlock_ruleset_attr of a version: all that is denied unless a rule allows it."""
    files = sum(bits for since, bits in FILE_RIGHTS if have >= since)
    parts = [files]
    if have >= TCP_SINCE:
        parts.append(TCP_RIGHTS)
    if have >= SCOPES_SINCE:
        parts.append(SCOPES)
    return struct.pack(f"={len(parts)}Q", *parts)


def _call(number: int, *arguments: int | bytes | None) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(number, *(_as_long(argument) for argument in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def _as_long(argument: int | bytes | None) -> object:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
