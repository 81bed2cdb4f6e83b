"""A seccomp filter: the system calls that a process may still make; all others fail.

    calls of a worker, by name  ->  their numbers here  ->  a BPF program  ->  seccomp(2)

A call that is not listed fails with EPERM instead of killing the process, since libraries make
calls that they can do without. Written by hand because the libraries for it need libseccomp on the
machine or are not maintained. It holds for ever, for all threads of the process and its children.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Sequence
from dataclasses import dataclass

# name: number on x86_64, number on aarch64 (None: it has no such call), from Linux's tables
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # read and write files that are open: the job's socket, the upload, the sound
    **{"read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66)},
    **{"pread64": (17, 67), "pwrite64": (18, 68), "lseek": (8, 62), "close": (3, 57)},
    **{"fstat": (5, 80), "fcntl": (72, 25), "dup": (32, 23), "dup2": (33, None)},
    **{"dup3": (292, 24), "poll": (7, None), "ppoll": (271, 73)},
    **{"select": (23, None), "pselect6": (270, 72), "shutdown": (48, 210)},
    **{"sendto": (44, 206), "recvfrom": (45, 207), "sendmsg": (46, 211), "recvmsg": (47, 212)},
    **{"getsockname": (51, 204), "getsockopt": (55, 209)},
    # memory
    **{"mmap": (9, 222), "munmap": (11, 215), "mremap": (25, 216), "mprotect": (10, 226)},
    **{"madvise": (28, 233), "brk": (12, 214), "get_mempolicy": (239, 236)},
    # locks, the process's own signals and ids, the clock, random bytes
    **{"futex": (202, 98), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135)},
    **{"rt_sigreturn": (15, 139), "sigaltstack": (131, 132), "restart_syscall": (219, 128)},
    **{"exit": (60, 93), "exit_group": (231, 94), "clock_gettime": (228, 113)},
    **{"clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101)},
    **{"gettimeofday": (96, 169), "time": (201, None), "getrandom": (318, 278)},
    **{"getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178)},
    **{"getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177)},
    **{"getrusage": (98, 165), "getrlimit": (97, 163), "times": (100, 153)},
    **{"sysinfo": (99, 179), "uname": (63, 160), "getcpu": (309, 168)},
    **{"sched_yield": (24, 124), "sched_getaffinity": (204, 123)},
    # threads
    **{"set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283)},
    **{"sched_setaffinity": (203, 122), "eventfd2": (290, 19)},
    # with conditions: see `_conditions`
    **{"newfstatat": (262, 79), "statx": (332, 291), "prlimit64": (302, 261)},
    **{"open": (2, None), "openat": (257, 56), "tgkill": (234, 131)},
    **{"clone": (56, 220), "clone3": (435, 435)},
    # read folders
    **{"getdents64": (217, 61), "readlink": (89, None), "readlinkat": (267, 78)},
    **{"stat": (4, None), "lstat": (6, None), "access": (21, None), "faccessat": (269, 48)},
    **{"faccessat2": (439, 439), "getcwd": (79, 17)},
}
# Denied to a process that works on a GPU. All others are allowed, since the calls that GPU drivers
# make are not known.
DENIED_WITH_GPU: dict[str, tuple[int | None, int | None]] = {
    # other machines and processes
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200)},
    **{"listen": (50, 201), "accept": (43, 202), "accept4": (288, 242), "execve": (59, 221)},
    **{"execveat": (322, 281), "fork": (57, None), "vfork": (58, None), "ptrace": (101, 117)},
    **{"kill": (62, 129), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138)},
    **{"rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434)},
    **{"pidfd_getfd": (438, 438), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271)},
    # files and what is mounted
    **{"openat2": (437, 437), "creat": (85, None), "truncate": (76, 45), "unlink": (87, None)},
    **{"unlinkat": (263, 35), "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276)},
    **{"mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "link": (86, None)},
    **{"linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "mknod": (133, None)},
    **{"mknodat": (259, 33), "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53)},
    **{"fchmodat2": (452, 452), "chown": (92, None), "fchown": (93, 55), "lchown": (94, None)},
    **{"fchownat": (260, 54), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51)},
    **{"open_by_handle_at": (304, 265), "unshare": (272, 97), "setns": (308, 268)},
    # the rest of the kernel
    **{"bpf": (321, 280), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218)},
    **{"perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425)},
    **{"io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
}
CONDITIONAL = ("newfstatat", "statx", "prlimit64", "open", "openat", "tgkill", "clone", "clone3")
READING = ("getdents64", "readlink", "readlinkat", "stat", "lstat", "access", "faccessat",
           "faccessat2", "getcwd")  # fmt: skip
THREADS = ("sched_setaffinity", "eventfd2")
ALWAYS = tuple(n for n in NUMBERS if n not in (*CONDITIONAL, *READING, *THREADS))

# machine: column in NUMBERS, its name in audit.h, the number of seccomp(2)
MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}
SET_MODE_FILTER, ALL_THREADS = 1, 1  # operation and flag of seccomp(2)
ALLOW, KILL, REFUSE = 0x7FFF0000, 0x80000000, 0x00050000  # REFUSE | errno
LOAD, IF_EQUAL, IF_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # of BPF, on 32 bits
OTHER_ABI = 0x40000000  # numbers from here on belong to another ABI (x32)
NUMBER_AT, MACHINE_AT, ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data, little-endian

CLONE_THREAD = 0x10000
PROT_EXEC = 4
AT_EMPTY_PATH = 0x1000  # the call is about an open file, not a path
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
LOW, HIGH = 0, 4  # halves of an argument
ALL_BITS = 0xFFFFFFFF

Condition = tuple[int, int, int, int]  # argument, half, mask, required value of the masked half
Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, value


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a process may do beyond using its open files."""

    # Open files for reading and list folders; which ones, Landlock decides, if there is any
    reading: bool = False
    threads: bool = False  # start threads of its own, never processes
    machine_code: bool = False  # make memory executable: numerical libraries generate code
    time_limit: bool = False  # set the limit of its processor time, and read no other limit
    devices: bool = False  # all calls but `DENIED_WITH_GPU`: for GPU drivers


def install(allowed: Allowed) -> None:
    """Allow this process and all its threads only `allowed` from now on. The process must have
    set no_new_privs, or be root.

    Raises:
        OSError: this Linux has no seccomp, or there is no filter for this kind of machine.
    """
    column, machine, seccomp = _this_machine()
    instructions = program(allowed, column, machine, os.getpid())
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    head = ctypes.create_string_buffer(
        struct.pack("@HP", len(instructions), ctypes.addressof(buffer))
    )
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(seccomp, SET_MODE_FILTER, ALL_THREADS, head):
        raise OSError(ctypes.get_errno(), "seccomp refused the filter")


def program(allowed: Allowed, column: int, machine: int, pid: int) -> list[Instruction]:
    """The filter as a BPF program. Pure."""
    if allowed.devices:
        return _denylist(column, machine, pid)
    names = [*ALWAYS, *(READING if allowed.reading else ()), *(THREADS if allowed.threads else ())]
    conditions = _conditions(allowed, pid)
    lines = _prologue(machine)
    for name in names:
        if name not in conditions and (number := NUMBERS[name][column]) is not None:
            lines += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, ALLOW)]
    for name, wanted in conditions.items():
        if (number := NUMBERS[name][column]) is not None:
            block = _block(wanted)
            lines += [(IF_EQUAL, 0, len(block), number), *block]
    return [*lines, *_no_clone3(column), (RETURN, 0, 0, REFUSE | errno.EPERM)]


def _denylist(column: int, machine: int, pid: int) -> list[Instruction]:
    lines = [
        *_prologue(machine),
        (IF_AT_LEAST, 0, 1, OTHER_ABI),
        (RETURN, 0, 0, REFUSE | errno.EPERM),
    ]
    for numbers in DENIED_WITH_GPU.values():
        if (number := numbers[column]) is not None:
            lines += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    conditions = _conditions(Allowed(threads=True), pid)
    for name in ("tgkill", "clone"):
        number, block = NUMBERS[name][column], _block(conditions[name])
        assert number is not None
        lines += [(IF_EQUAL, 0, len(block), number), *block]
    return [*lines, *_no_clone3(column), (RETURN, 0, 0, ALLOW)]


def _prologue(machine: int) -> list[Instruction]:
    """Kill the process at a call of another architecture; else load the number of the call."""
    return [
        (LOAD, 0, 0, MACHINE_AT),
        (IF_EQUAL, 1, 0, machine),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]


def _no_clone3(column: int) -> list[Instruction]:
    """Let clone3 fail: a filter cannot see its arguments; libc falls back to clone."""
    number = NUMBERS["clone3"][column]
    assert number is not None
    return [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]


def _conditions(allowed: Allowed, pid: int) -> dict[str, Sequence[Condition]]:
    """Calls that are allowed only with certain arguments: all conditions of a call must hold."""
    conditions: dict[str, Sequence[Condition]] = {
        "tgkill": [(0, LOW, ALL_BITS, pid)],  # only to itself, as abort() does
        "prlimit64": [(2, LOW, ALL_BITS, 0), (2, HIGH, ALL_BITS, 0)],  # to read limits only
    }
    if allowed.reading:
        conditions |= {"newfstatat": [], "statx": [], "open": [(1, LOW, WRITING, 0)]}
        conditions["openat"] = [(2, LOW, WRITING, 0)]
    else:
        conditions |= {
            "newfstatat": [(3, LOW, AT_EMPTY_PATH, AT_EMPTY_PATH)],
            "statx": [(2, LOW, AT_EMPTY_PATH, AT_EMPTY_PATH)],
        }
    if allowed.time_limit:
        conditions["prlimit64"] = [(0, LOW, ALL_BITS, 0), (1, LOW, ALL_BITS, resource.RLIMIT_CPU)]
    if allowed.threads:
        conditions["clone"] = [(0, LOW, CLONE_THREAD, CLONE_THREAD)]
    if not allowed.machine_code:
        conditions |= {"mmap": [(2, LOW, PROT_EXEC, 0)], "mprotect": [(2, LOW, PROT_EXEC, 0)]}
    return conditions


def _block(conditions: Sequence[Condition]) -> list[Instruction]:
    """Allow the call if all conditions hold. This overwrites the loaded number of the call."""
    lines: list[Instruction] = []
    for argument, half, mask, value in conditions:
        lines += [
            (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument + half),
            (AND, 0, 0, mask),
            (IF_EQUAL, 1, 0, value),
            (RETURN, 0, 0, REFUSE | errno.EPERM),
        ]
    return [*lines, (RETURN, 0, 0, ALLOW)]


def _this_machine() -> tuple[int, int, int]:
    try:
        return MACHINES[platform.machine()]
    except KeyError:
        raise OSError(errno.ENOSYS, f"no filter for {platform.machine()}") from None
