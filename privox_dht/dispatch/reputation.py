"""Reputation of producers: back-off after failures, and which have succeeded.

    busy       it asked us to wait: not a failure
    failure    it was lost in mid-job, or did not answer: not asked for 15 s, doubling to 10 min
    success    it did a job: failures are forgotten, and it counts as proven
    speed      seconds of sound per second; after three jobs it replaces the record's claim
    rejection  it rejected or failed a job, perhaps rightly: others are asked before it

Pure: the time (seconds of a monotonic clock) is an argument.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from privox_dht import limits
from privox_dht.backoff import backoff
from privox_dht.records import Record

MAX_REMEMBERED = 1024  # producers; more than a client meets, so that strangers cannot fill memory
MIN_MEASURED = 3  # jobs after which the measured speed replaces the record's
DECAY = 0.8  # weight of earlier jobs with each new one: about the last five count
MAX_ENGINES = 8  # measured of one producer; one more replaces the oldest


@dataclass(slots=True)
class _Speed:
    jobs: int = 0
    sound: float = 0.0  # seconds, older jobs weigh less
    work: float = 0.0  # seconds, likewise


@dataclass(slots=True)
class _PeerHistory:
    losses: int = 0
    backed_off_until: float = 0.0
    busy_until: float = 0.0
    busy_sequence: int = 0  # of its record when it was found busy
    rejected: bool = False  # it rejected or failed a job, and did none since
    succeeded: bool = False  # it did a job, and was not lost since
    speeds: OrderedDict[str, _Speed] = field(default_factory=OrderedDict)  # by engine


class ReputationTable:
    """What we remember of each producer, by peer id."""

    def __init__(self) -> None:
        self._histories: OrderedDict[str, _PeerHistory] = OrderedDict()

    def __repr__(self) -> str:
        return f"<ReputationTable of {len(self._histories)} producers>"

    def record_busy(self, peer_id: str, now: float, retry_after: float, sequence: int = 0) -> None:
        """It was busy for so many seconds; `sequence` is that of its record."""
        history = self._history(peer_id)
        history.busy_until = now + min(max(retry_after, 0.0), limits.WAIT)
        history.busy_sequence = sequence

    def update(self, records: Iterable[Record]) -> None:
        """Newer records with an idle slot end the busy time of their producers."""
        for record in records:
            history = self._histories.get(record.peer_id)
            if history and record.idle > 0 and record.sequence > history.busy_sequence:
                history.busy_until = 0.0

    def record_failure(self, peer_id: str, now: float) -> float:
        """It was lost; returns its back-off in seconds."""
        history = self._history(peer_id)
        history.losses += 1
        history.succeeded = False
        pause = backoff(history.losses, limits.BACKOFF_FIRST, limits.BACKOFF_LONGEST)
        history.backed_off_until = now + pause
        return pause

    def record_success(self, peer_id: str) -> None:
        """It did a job."""
        history = self._history(peer_id)
        history.losses, history.backed_off_until, history.busy_until = 0, 0.0, 0.0
        history.succeeded, history.rejected = True, False

    def record_speed(self, record: Record, sound: float, work: float) -> None:
        """It did `sound` seconds of sound in `work` seconds."""
        speeds = self._history(record.peer_id).speeds
        speed = speeds.setdefault(record.engine, _Speed())
        speeds.move_to_end(record.engine)
        if len(speeds) > MAX_ENGINES:
            speeds.popitem(last=False)
        speed.jobs += 1
        speed.sound = DECAY * speed.sound + sound
        speed.work = DECAY * speed.work + work

    def speed_of(self, record: Record) -> float | None:
        """The measured speed, in seconds of sound per second; None: measured too seldom."""
        history = self._histories.get(record.peer_id)
        speed = history.speeds.get(record.engine) if history else None
        if speed is None or speed.jobs < MIN_MEASURED or not speed.work:
            return None
        return speed.sound / speed.work

    def with_measured_speed(self, record: Record) -> Record:
        """The record, with the measured speed if there is one."""
        speed = self.speed_of(record)
        return record if speed is None else replace(record, speed=speed)

    def record_rejection(self, peer_id: str) -> None:
        """It rejected or failed a job, by its own fault or not."""
        self._history(peer_id).rejected = True

    def has_rejected(self, peer_id: str) -> bool:
        """Whether it rejected or failed a job, and did none since."""
        history = self._histories.get(peer_id)
        return history is not None and history.rejected

    def has_succeeded(self, peer_id: str) -> bool:
        """Whether it did a job for us, and was not lost since."""
        history = self._histories.get(peer_id)
        return history is not None and history.succeeded

    def is_backed_off(self, peer_id: str, now: float) -> bool:
        history = self._histories.get(peer_id)
        return history is not None and now < history.backed_off_until

    def has_recent_failures(self, now: float) -> bool:
        """Whether any producer is in back-off or has rejected: strangers may be no better."""
        return any(h.rejected or now < h.backed_off_until for h in self._histories.values())

    def busy_seconds(self, peer_id: str, now: float) -> float:
        """Seconds until it may be asked again; 0 if it may be asked now."""
        history = self._histories.get(peer_id)
        return max(0.0, history.busy_until - now) if history else 0.0

    def _history(self, peer_id: str) -> _PeerHistory:
        history = self._histories.setdefault(peer_id, _PeerHistory())
        self._histories.move_to_end(peer_id)
        if len(self._histories) > MAX_REMEMBERED:
            self._histories.popitem(last=False)
        return history
