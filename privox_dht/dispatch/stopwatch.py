"""How long a producer works on how much sound. Pure: the clock is an argument.

upload ends -> what is heard, piece by piece -> the whole
|------------------- work -------------------|
"""

from __future__ import annotations

from collections.abc import Callable

from privox_dht.dispatch.job_events import Emit, Progress, Uploading
from privox_dht.speech import AudioInfo


class Stopwatch:
    """Passes a job's events on to `emit`, and looks at them."""

    def __init__(self, emit: Emit, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._clock = clock
        self._began = clock()
        self.sound = 0.0  # seconds; 0: not known

    def __call__(self, event: Progress) -> None:
        match event:
            case Uploading(sent, total) if sent >= total:
                self._began = self._clock()
            case AudioInfo(seconds):
                self.sound = seconds
        self._emit(event)

    @property
    def seconds(self) -> float:
        """Of work, until now."""
        return self._clock() - self._began
