"""Tells `covered.py` which lines an engine's worker runs. It is put on the PYTHONPATH as
`sitecustomize`, which each Python runs first; what is no worker is left alone.

A worker is given next to nothing of our environment, may open no file once it is in its sandbox,
and is killed when it is no longer wanted. So all that is needed is loaded here, and what was run is
sent, while it works, ten times a second, and at the end, through a socket that is open already.
"""

import os

WORKER = "PRIVOX_WORKER_PARENT"  # of nodes.engines.worker_main, which would be loaded unmeasured

if WORKER in os.environ:
    import signal
    import socket
    import time
    from pathlib import Path

    import coverage

    EVERY = 0.1  # seconds
    WORKED = 0.001  # seconds of the processor; less is only the look whether it worked
    collector = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    collector.connect(str(Path(__file__).parent / "socket"))
    measured = coverage.Coverage(data_file=None, config_file=False, source=["privox_dht", "nodes"])
    sent: list[int] = [0]
    used: list[float] = [0.0]  # seconds of the processor, when it told last

    def tell_if_it_worked(*signal_and_frame: object) -> None:
        """Dozens of workers wait for work: to see what was run takes each of them milliseconds. The
        next alarm may come before this one is done: coverage would wait for itself."""
        if time.process_time() - used[0] > WORKED:
            signal.signal(signal.SIGALRM, signal.SIG_IGN)
            tell()
            used[0] = time.process_time()
            signal.signal(signal.SIGALRM, tell_if_it_worked)

    def tell() -> None:
        try:
            data = measured.get_data()
            lines = sum(len(data.lines(file) or ()) for file in data.measured_files())
            if lines > sent[0]:  # or there is nothing new
                os.write(collector.fileno(), data.dumps())
                sent[0] = lines
        except Exception:
            return  # the worker goes on; what was not told now is told the next time

    def leave(code: int, end: object = os._exit) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # or the alarm would tell while this does
        tell()
        end(code)  # type: ignore[operator]

    def begin_anew() -> None:
        """A copy that the worker makes of itself counts its own lines and tells them at its end."""
        sent[0], used[0] = 0, 0.0

    measured.get_data().dumps()  # loads what telling needs
    os._exit = leave  # type: ignore[assignment]
    signal.signal(signal.SIGALRM, tell_if_it_worked)
    os.register_at_fork(after_in_child=begin_anew)
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    measured.start()
