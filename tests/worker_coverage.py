"""Tells `covered.py` which lines an engine's worker runs. It is put on the PYTHONPATH as
`sitecustomize`, which each Python runs first; what is no worker is left alone.

A worker is given next to nothing of our environment, may open no file once it is in its sandbox,
and is killed when it is no longer wanted. So all that is needed is loaded here, and what was run is
sent, while it works, ten times a second, and at the end, through a socket that is open already.
"""

import os

WORKER = "PRIVOX_WORKER_PARENT"  # of nodes.engines.worker_main, which would be loaded unmeasured

if WORKER in os.environ:
    import atexit
    import math
    import select
    import signal
    import socket
    import sys
    import time
    from pathlib import Path

    import coverage

    EVERY = 0.1  # seconds
    PATIENCE = 0.1  # seconds that a copy has to tell before it is killed: it may have ended its job
    PAUSE = 10  # times as long as it told, until it tells again
    WORKED = 0.001  # seconds of the processor; less is only the look whether it worked
    collector = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    collector.connect(str(Path(__file__).parent / "socket"))
    measured = coverage.Coverage(data_file=None, config_file=False, source=["privox_dht", "nodes"])
    measured.set_option("run:disable_warnings", ["module-not-imported", "no-data-collected"])
    sent: list[int] = [0]
    used: list[float] = [0.0]  # seconds of the processor, when it told last
    due: list[float] = [0.0]  # when it may tell again; infinite while it tells

    def tell_if_it_worked(*signal_and_frame: object) -> None:
        """Dozens of workers wait for work, and to see what was run takes each of them milliseconds;
        on a busy machine more than there are between two alarms."""
        began = time.monotonic()
        if began >= due[0] and time.process_time() - used[0] > WORKED:
            due[0] = math.inf  # else coverage might wait for itself
            tell()
            used[0] = time.process_time()
            due[0] = time.monotonic() + PAUSE * (time.monotonic() - began)

    def tell() -> None:
        try:
            data = measured.get_data()
            lines = sum(len(data.lines(file) or ()) for file in data.measured_files())
            if lines > sent[0]:  # or there is nothing new
                os.write(collector.fileno(), data.dumps())
                sent[0] = lines
        except Exception:
            return  # the worker goes on; what was not told now is told the next time

    def tell_last() -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # or the alarm would tell while this does
        tell()

    def leave(code: int, end: object = os._exit) -> None:
        tell_last()
        end(code)  # type: ignore[operator]

    def begin_anew() -> None:
        """A copy that the worker makes of itself counts its own lines and tells them at its end."""
        sent[0], used[0], due[0] = 0, 0.0, 0.0

    measured.get_data().dumps()  # loads what telling needs
    atexit.register(tell_last)
    os._exit = leave  # type: ignore[assignment]
    if sys.platform == "linux":  # only there are there copies
        kill_now = signal.pidfd_send_signal

        def kill(copy: int, number: int) -> None:
            select.select([copy], [], [], PATIENCE)
            kill_now(copy, number)

        signal.pidfd_send_signal = kill  # type: ignore[assignment]
    signal.signal(signal.SIGALRM, tell_if_it_worked)
    os.register_at_fork(after_in_child=begin_anew)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    measured.start()
