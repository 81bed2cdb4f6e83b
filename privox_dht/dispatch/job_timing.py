"""How long a producer works, and how long it may do so without a result.

    while the upload goes on     nothing is due: a stalled upload is noticed otherwise
    uploaded                     word of the recording's length is due: time to decode it
    the length is known          the next result is due within RESULT_SLACK times what the
                                 producer's own speed says the whole takes; all within twice that

A heartbeat shows life, not progress: a producer that sends nothing else, or a word now and then,
loses the job to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from privox_dht import limits
from privox_dht.dispatch.job_events import Emit, Progress, Uploading
from privox_dht.errors import ProducerLost
from privox_dht.records import Record
from privox_dht.speech import AudioInfo

MOST_AT_ONCE = 4  # jobs beside ours, as far as a record's slots are believed


class ResultDeadline:
    """When the next result is due. Made by `results_due`."""

    def __init__(self, timer: asyncio.Timeout, record: Record | None) -> None:
        self._timer = timer
        self._slack = float("inf") if record is None else _slack(record)
        self._ends = float("inf")
        self._seconds = 0.0

    def uploaded(self, sent: int, total: int) -> None:
        """So many bytes of the recording have gone."""
        if sent >= total:
            self._due_in(limits.RESULT_GRACE + total / limits.DECODED_PER_SECOND)

    def work_is(self, seconds: float) -> None:
        """It is known how many seconds of sound the job is."""
        self._seconds = seconds
        now = asyncio.get_running_loop().time()
        self._ends = now + 2 * (limits.RESULT_GRACE + self._slack * seconds)
        self.result()

    def result(self) -> None:
        """A part of the answer came."""
        self._due_in(limits.RESULT_GRACE + self._slack * self._seconds)

    def _due_in(self, seconds: float) -> None:
        if self._slack < float("inf") and not self._timer.expired():
            now = asyncio.get_running_loop().time()
            self._timer.reschedule(min(now + seconds, self._ends))


def _slack(record: Record) -> float:
    """Seconds of waiting for a second of sound."""
    at_once = min(max(record.slots, 1), MOST_AT_ONCE)
    return limits.RESULT_SLACK * at_once / max(record.speed or 1.0, limits.SLOWEST_SPEED)


@asynccontextmanager
async def results_due(record: Record | None) -> AsyncIterator[ResultDeadline]:
    """While this is open, the producer of `record` must bring results in time; a server elsewhere
    (None) is trusted to.

    Raises:
        ProducerLost: it did not; it had begun.
    """
    try:
        async with asyncio.timeout(None) as timer:
            yield ResultDeadline(timer, record)
    except TimeoutError as exc:
        if not timer.expired():
            raise
        raise ProducerLost("it is alive, and brought no result in time", begun=True) from exc


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
