"""Workers killed in mid-job, as the system or their owner may do it."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress


def kill_all(pids: Iterable[int]) -> None:
    """Kill them; some may be gone, since what they said last may still be under way."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
