"""The worker's side of work that is done in a process of its own.

The parent holds the other end of file descriptor 0, a socket for orders. Each job has a socket of
its own, which comes with the order. Frames are spoken on both (see `link`).

    orders  worker -> {"ready": true, "mode": ..., "sandbox": [...], ...}    once, loaded and warm
            parent -> {"job": 1, "nice": ...} + the job's socket; nice: it is long, and leaves the
                                              processor to others where the mode is "fork"
            parent -> {"kill": 1}             where the mode is "fork"
            worker -> {"ended": 1, "why": ""} the job is over; why: the signal that ended it, if any
            worker -> {"turn": 1}             where the mode is "threads": it works on this job now
    a job   parent -> {what is asked}         + bytes, + open files
            worker -> {a piece of the answer} + bytes             as many as there are
            worker -> {"done": true}          or {"refused": why, ...} or {"failed": why}

The mode says who does a job:

    fork      a copy of the loaded process, in the sandbox, for this one job. It can be ended at
              any moment, and nothing of one job is there for the next. The next copy is made, and
              its sandbox entered, before there is a job for it. Linux only
    threads   a thread of the process, which is in the sandbox as a whole; any number at a time
    alone     the process itself, one job at a time; it is killed to end one

The parent ends a worker by killing its process group. A worker whose parent is gone ends by itself:
Linux kills it, elsewhere it reads the end of file, or sees that it was adopted.
"""

import gc
import json
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from nodes.engines import sandbox
from nodes.engines.link import HungUp, Link, frame
from nodes.engines.sandbox import Sandbox
from privox_dht import errors

PARENT = "PRIVOX_WORKER_PARENT"  # environment variable: the process id of the parent
LONG_NICENESS = 3  # more of it, for a long job: a short one on its core has two parts of three
NICENESS = 5  # the node answers the network first, and works then
FORK, THREADS, ALONE = "fork", "threads", "alone"
NEXT = 0  # the number of no job: of the copy that waits for the next one
ROOM_FOR_NAMES = 1 << 12  # bytes; what a trial says of its sandbox is much shorter

Say = Link  # call it with (head, payload=b"")
Answerer = Callable[[dict[str, Any], bytes, Link], None]
Load = Callable[[], tuple[dict[str, Any], Answerer]]


class InputRefused(Exception):
    """The question is at fault; `.status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int, param: str, code: str = "") -> None:
        super().__init__(message)
        self.head = {"refused": message, "status": status, "param": param, "code": code}


def serve(load: Load, around: Sandbox | None = None, mode: str = FORK) -> None:
    """Load, say so, and do jobs in the sandbox until the parent hangs up.

    `load` returns what to say about itself, and what answers one question.
    """
    parent = int(os.environ.get(PARENT, os.getppid()))
    sandbox.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to decide about
    os.nice(NICENESS)
    orders = Link(socket.socket(fileno=0))
    if mode == FORK and not hasattr(os, "pidfd_open"):
        mode = ALONE
    try:
        hello, answer = load()
        jobs = MODES[mode](orders, answer, around or Sandbox(), parent)
    except errors.EngineUnavailable as exc:
        orders({"failed": exc.why, "fix": exc.fix})
        return
    except Exception as exc:
        orders({"failed": f"{type(exc).__name__}: {exc}"})
        return
    try:
        orders({"ready": True, "mode": mode, "sandbox": jobs.sandbox, **hello})
        while True:
            jobs.serve_some()
    except HungUp:
        os._exit(0)  # not waiting for threads


class OneAtATime:
    """One job after the other, in this very process."""

    def __init__(self, orders: Link, answer: Answerer, around: Sandbox, parent: int) -> None:
        self._orders, self._answer = orders, answer
        self.sandbox = sandbox.enter(around, parent)

    def serve_some(self) -> None:
        order, _ = self._orders.hear()
        answer_one(_job_socket(self._orders), self._answer)
        self._orders({"ended": order["job"], "why": ""})


class Threads:
    """Each job in a thread. The engine sees to it that its library is used as it allows."""

    def __init__(self, orders: Link, answer: Answerer, around: Sandbox, parent: int) -> None:
        self._orders, self._answer = orders, answer
        self._telling = threading.Lock()
        self.sandbox = sandbox.enter(around, parent)

    def serve_some(self) -> None:
        order, _ = self._orders.hear()
        job = order["job"], _job_socket(self._orders)
        threading.Thread(target=self._do, args=job, daemon=True).start()

    def _do(self, job: int, link: Link) -> None:
        link.take_turn = lambda: self._tell({"turn": job})
        answer_one(link, self._answer)
        self._tell({"ended": job, "why": ""})

    def _tell(self, what: dict[str, Any]) -> None:
        with self._telling:
            self._orders(what)


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of this process that waits for its one job, or does it."""

    process: int
    handle: int  # of the process; readable once it has ended
    link: Link  # the job's socket is sent there


class Fork:
    """Each job in a copy of this process, which itself never sees a question."""

    def __init__(self, orders: Link, answer: Answerer, around: Sandbox, parent: int) -> None:
        self._orders, self._answer, self._sandbox = orders, answer, around
        self._jobs: dict[int, Copy] = {}  # by number; and the one that waits, by `NEXT`
        self._makes_next = True
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders.socket, selectors.EVENT_READ)
        self.sandbox = self._tried()
        gc.freeze()  # what is loaded stays shared with the copies

    def serve_some(self) -> None:
        lacks_next = self._makes_next and NEXT not in self._jobs
        ready = self._selector.select(0 if lacks_next else None)
        if not ready:  # nobody waits: time for the next copy
            self._jobs[NEXT] = self._copy()
        for key, _ in ready:
            if key.data is None:
                self._obey()
            else:  # by what it is now: an order heard just before may have given it a job
                self._bury(self._selector.get_key(key.fileobj).data)

    def _obey(self) -> None:
        order, _ = self._orders.hear()
        if "job" in order:
            self._begin(order["job"], _job_socket(self._orders), nice=order["nice"])
        elif order["kill"] in self._jobs:
            signal.pidfd_send_signal(self._jobs[order["kill"]].handle, signal.SIGKILL)

    def _begin(self, job: int, link: Link, *, nice: bool) -> None:
        self._makes_next = True
        copy = self._jobs.pop(NEXT, None) or self._copy()
        if nice:
            with suppress(OSError):  # it died just now
                os.setpriority(os.PRIO_PROCESS, copy.process, NICENESS + LONG_NICENESS)
        with suppress(OSError):  # it died just now: the job ends like any whose copy dies
            socket.send_fds(copy.link.socket, [frame({})], [link.socket.fileno()])
        link.socket.close()
        copy.link.socket.close()
        self._jobs[job] = copy
        self._selector.modify(copy.handle, selectors.EVENT_READ, job)

    def _copy(self) -> Copy:
        parent = os.getpid()
        ours, theirs = socket.socketpair()
        process = os.fork()
        if not process:
            ours.close()
            self._be_the_copy(Link(theirs), parent)
        theirs.close()
        copy = Copy(process, os.pidfd_open(process), Link(ours))
        self._selector.register(copy.handle, selectors.EVENT_READ, NEXT)
        return copy

    def _be_the_copy(self, link: Link, parent: int) -> NoReturn:
        try:
            self._orders.socket.close()
            self._selector.close()
            _close_all([copy.handle for copy in self._jobs.values()])
            sandbox.enter(self._sandbox, parent)
            link.hear()
            answer_one(_job_socket(link), self._answer)
        finally:
            os._exit(0)

    def _bury(self, job: int) -> None:
        copy = self._jobs.pop(job)
        self._selector.unregister(copy.handle)
        os.close(copy.handle)
        _, status = os.waitpid(copy.process, 0)
        if job == NEXT:
            copy.link.socket.close()
            self._makes_next = False  # or it might die again and again, while nobody asks
            return
        why = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
        self._orders({"ended": job, "why": why})

    def _tried(self) -> Sequence[str]:
        """What the sandbox of a copy is made of."""
        reading, writing = os.pipe()
        parent = os.getpid()
        process = os.fork()
        if not process:
            try:
                os.write(writing, json.dumps(sandbox.enter(self._sandbox, parent)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as said:
            names = said.read(ROOM_FOR_NAMES)
        os.waitpid(process, 0)
        return [str(name) for name in json.loads(names)]


MODES: dict[str, type[Fork] | type[Threads] | type[OneAtATime]] = {
    FORK: Fork,
    THREADS: Threads,
    ALONE: OneAtATime,
}


def answer_one(link: Link, answer: Answerer) -> None:
    """Answer the one question that comes by `link`, and hang up."""
    try:
        asked, payload = link.hear()
        files = link.files
        try:
            answer(asked, payload, link)
        except InputRefused as refusal:
            link(refusal.head)
        except HungUp:
            raise
        except Exception as exc:
            link({"failed": f"{type(exc).__name__}: {exc}"})
        else:
            link({"done": True})
        finally:
            _close_all(files)
    except HungUp:
        pass
    finally:
        link.socket.close()


def _job_socket(orders: Link) -> Link:
    """The socket that came with the last order."""
    [handle] = orders.files
    return Link(socket.socket(fileno=handle))


def _close_all(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)
