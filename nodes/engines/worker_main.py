"""The worker's side of worker processes.

File descriptor 0 is a socket to the parent, for control messages. Each job has a socket of its own,
which comes with the message that starts it. See `link` for the frames on both.

    control worker -> {"ready": true, "mode": ..., "sandbox": [...], ...}    once, loaded and warm
            parent -> {"job": 1, "nice": ...} + the job's socket; nice: give it a lower
                                              priority than others, in mode "fork"
            parent -> {"kill": 1}             in mode "fork"
            worker -> {"ended": 1, "why": ""} the job is over; why: the signal that ended it, if any
            worker -> {"turn": 1}             in mode "threads": it works on this job now
    a job   parent -> {the request}           + bytes, + open files
            worker -> {a part of the answer}  + bytes             any number
            worker -> {"done": true}          or {"refused": why, ...} or {"failed": why}

The mode says where a job runs:

    fork      a copy of the loaded process, in the sandbox, for this one job. It can be killed at
              any moment, and no job sees anything of another. A spare copy, already in its sandbox,
              waits for the next job. Linux 5.3 and later only
    threads   a thread of the process, which is in the sandbox as a whole; any number at a time
    alone     the process itself, one job at a time; to end a job, it is killed

The parent ends a worker by killing its process group. A worker whose parent has ended ends by
itself: Linux kills it; elsewhere it reads the end of the socket, or sees that its parent changed.
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
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from nodes.engines import sandbox
from nodes.engines.link import Disconnected, Link, frame
from nodes.engines.sandbox import Sandbox
from privox_dht import errors

PARENT = "PRIVOX_WORKER_PARENT"  # environment variable: the process id of the parent
LONG_JOB_NICENESS = 3  # added for a long job: a short one on the same core gets two thirds of it
NICENESS = 5  # below the node itself, which answers the network
FORK, THREADS, ALONE = "fork", "threads", "alone"
SPARE = 0  # in place of a job's number: the copy that waits for the next job
MAX_SANDBOX_NAMES = 1 << 12  # bytes of the list of a sandbox's parts

Handler = Callable[[dict[str, Any], bytes, Link], None]
Load = Callable[[], tuple[dict[str, Any], Handler]]


def serve(load: Load, confinement: Sandbox | None = None, mode: str = FORK) -> None:
    """Load, report to the parent, and do jobs in the sandbox until the parent closes the socket.

    Args:
        load: returns what the worker reports about itself, and the handler of one request.
        confinement: the sandbox; None: the default one.
        mode: `FORK`, `THREADS` or `ALONE`.
    """
    parent = int(os.environ.get(PARENT, os.getppid()))
    sandbox.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    os.nice(NICENESS)
    control = Link(socket.socket(fileno=0))
    if mode == FORK and not _has_pidfds():
        mode = ALONE
    try:
        hello, handler = load()
        jobs = MODES[mode](control, handler, confinement or Sandbox(), parent)
    except errors.EngineUnavailable as exc:
        control.send({"failed": exc.why, "fix": exc.fix})
        return
    except Exception as exc:
        control.send({"failed": f"{type(exc).__name__}: {exc}"})
        return
    try:
        control.send({"ready": True, "mode": mode, "sandbox": jobs.sandbox, **hello})
        while True:
            jobs.serve_some()
    except Disconnected:
        os._exit(0)  # without waiting for threads


class OneAtATime:
    """One job after the other, in this process."""

    def __init__(self, control: Link, handler: Handler, confinement: Sandbox, parent: int) -> None:
        self._control, self._handler, self._seconds = control, handler, confinement.seconds
        self.sandbox = sandbox.enter(replace(confinement, several_jobs=True), parent)

    def serve_some(self) -> None:
        message, _ = self._control.receive()
        sandbox.limit_time(self._seconds)
        serve_job(_job_socket(self._control), self._handler)
        self._control.send({"ended": message["job"], "why": ""})


class Threads:
    """Each job in a thread. The handler must lock what only one thread may use."""

    def __init__(self, control: Link, handler: Handler, confinement: Sandbox, parent: int) -> None:
        self._control, self._handler = control, handler
        self._control_lock = threading.Lock()
        self.sandbox = sandbox.enter(confinement, parent)

    def serve_some(self) -> None:
        message, _ = self._control.receive()
        job = message["job"], _job_socket(self._control)
        threading.Thread(target=self._do, args=job, daemon=True).start()

    def _do(self, job: int, link: Link) -> None:
        link.take_turn = lambda: self._report({"turn": job})
        serve_job(link, self._handler)
        self._report({"ended": job, "why": ""})

    def _report(self, what: dict[str, Any]) -> None:
        with self._control_lock:
            self._control.send(what)


@dataclass(frozen=True, slots=True)
class Copy:
    """A forked copy of this process: it waits for its job, or works on it."""

    process: int
    handle: int  # of the process; readable once it has ended
    link: Link  # the job's socket is sent there


class Fork:
    """Each job in a forked copy of this process, which itself never reads a request."""

    def __init__(self, control: Link, handler: Handler, confinement: Sandbox, parent: int) -> None:
        self._control, self._handler, self._sandbox = control, handler, confinement
        self._jobs: dict[int, Copy] = {}  # by job number; the spare one by `SPARE`
        self._prepares_next = True
        self._selector = selectors.DefaultSelector()
        self._selector.register(control.socket, selectors.EVENT_READ)
        self.sandbox = self._trial_sandbox()
        gc.freeze()  # what is loaded stays shared with the copies

    def serve_some(self) -> None:
        lacks_next = self._prepares_next and SPARE not in self._jobs
        ready = self._selector.select(0 if lacks_next else None)
        if not ready:  # no event: fork the next copy
            self._prepares_next = False  # if that fails, until the next job
            with suppress(OSError):
                self._jobs[SPARE] = self._copy()
                self._prepares_next = True
        for key, _ in ready:
            if key.data is None:
                self._handle_control()
            else:  # looked up again: a message just handled may have given it a job
                self._reap(self._selector.get_key(key.fileobj).data)

    def _handle_control(self) -> None:
        message, _ = self._control.receive()
        if "job" in message:
            self._begin(message["job"], _job_socket(self._control), nice=message["nice"])
        elif message["kill"] in self._jobs:
            signal.pidfd_send_signal(self._jobs[message["kill"]].handle, signal.SIGKILL)

    def _begin(self, job: int, link: Link, *, nice: bool) -> None:
        self._prepares_next = True
        try:
            copy = self._jobs.pop(SPARE, None) or self._copy()
        except OSError as exc:
            link.end({"failed": f"no process can be started ({exc.strerror})"})
            self._control.send({"ended": job, "why": ""})
            return
        if nice:
            with suppress(OSError):  # it has just died
                os.setpriority(os.PRIO_PROCESS, copy.process, NICENESS + LONG_JOB_NICENESS)
        with suppress(OSError):  # it died just now: the job ends as if it died later
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
            self._run_copy(Link(theirs), parent)
        theirs.close()
        copy = Copy(process, os.pidfd_open(process), Link(ours))
        self._selector.register(copy.handle, selectors.EVENT_READ, SPARE)
        return copy

    def _run_copy(self, link: Link, parent: int) -> NoReturn:
        try:
            self._control.socket.close()
            self._selector.close()
            _close_all([copy.handle for copy in self._jobs.values()])
            sandbox.enter(self._sandbox, parent)
            link.receive()
            serve_job(_job_socket(link), self._handler)
        finally:
            os._exit(0)

    def _reap(self, job: int) -> None:
        copy = self._jobs.pop(job)
        self._selector.unregister(copy.handle)
        os.close(copy.handle)
        _, status = os.waitpid(copy.process, 0)
        if job == SPARE:
            copy.link.socket.close()
            self._prepares_next = False  # or one might die after the other without any job
            return
        why = signal_name(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else ""
        self._control.send({"ended": job, "why": why})

    def _trial_sandbox(self) -> Sequence[str]:
        """The parts of a copy's sandbox, reported by a trial copy that enters it and ends."""
        reading, writing = os.pipe()
        parent = os.getpid()
        process = os.fork()
        if not process:
            try:
                os.write(writing, json.dumps(sandbox.enter(self._sandbox, parent)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as report:
            names = report.read(MAX_SANDBOX_NAMES)
        os.waitpid(process, 0)
        return [str(name) for name in json.loads(names)]


MODES: dict[str, type[Fork] | type[Threads] | type[OneAtATime]] = {
    FORK: Fork,
    THREADS: Threads,
    ALONE: OneAtATime,
}


def serve_job(link: Link, handler: Handler) -> None:
    """Answer the one request that arrives on `link`, and close it."""
    try:
        request, payload = link.receive()
        files = link.files
        try:
            handler(request, payload, link)
        except errors.RequestRejected as exc:
            link.send({
                "refused": exc.message, "status": exc.status, "code": exc.code, "param": exc.param
            })  # fmt: skip
        except Disconnected:
            raise
        except Exception as exc:
            link.send({"failed": f"{type(exc).__name__}: {exc}"})
        else:
            link.send({"done": True})
        finally:
            _close_all(files)
    except Disconnected:
        pass
    finally:
        link.socket.close()


def signal_name(number: int) -> str:
    """Such as "SIGSEGV"; of the real-time signals only the first and the last have names."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _has_pidfds() -> bool:
    """Linux has them from 5.3 on; gVisor does not, and a container may forbid them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def _job_socket(control: Link) -> Link:
    """The socket that came with the last control message."""
    [handle] = control.files
    return Link(socket.socket(fileno=handle))


def _close_all(files: Sequence[int]) -> None:
    for file in files:
        os.close(file)
