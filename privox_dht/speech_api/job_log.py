"""The jobs of a server: begin and end of each are logged; the latest are kept for the page.

    job 3 stt begun                  when a slot was granted, before the upload
    job 3 stt done in 1.24 s         or refused, failed, cancelled, lost

Texts, audio, addresses and names of keys are never logged: not only the client reads the log.
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from privox_dht.errors import JobError
from privox_dht.offer import Offer

log = logging.getLogger("privox.jobs")

DONE, REFUSED, FAILED, CANCELLED, LOST = "done", "refused", "failed", "cancelled", "lost"
OUTCOMES = (DONE, REFUSED, FAILED, CANCELLED, LOST)
KEPT = 30  # ended jobs: more than a screen shows
SHORT_ID = 8  # characters of a peer id that tell producers apart


@dataclass(slots=True)
class ServedJob:
    """One request for one service."""

    number: int
    service: str
    offer: Offer = field(default_factory=Offer, repr=False)
    outcome: str = ""  # "" while it runs, then one of OUTCOMES
    seconds: float = 0.0  # of wall time, set when it ended

    def __str__(self) -> str:
        ended = f"{self.outcome} in {self.seconds:.2f} s" if self.outcome else "begun"
        return f"job {self.number} {self.service} {ended}"

    @property
    def fields(self) -> dict[str, Any]:
        """Its fields in a JSON log."""
        fields: dict[str, Any] = {"event": "job", "job": self.number, "service": self.service}
        if not self.outcome:
            return {**fields, "outcome": "begun"}
        numbers = {"seconds": round(self.seconds, 3), "sound": round(self.offer.seconds, 3)}
        client = {"client": self.offer.client} if self.offer.client else {}
        return {**fields, "outcome": self.outcome, **numbers, **client}

    def ended(self, exc: BaseException | None) -> None:
        """Set the outcome from what was raised, unless it is known already."""
        if not self.outcome:
            self.outcome = outcome_of(exc)


def outcome_of(exc: BaseException | None) -> str:
    """The outcome of a job that raised `exc`, or nothing."""
    if exc is None:
        return DONE
    if isinstance(exc, asyncio.CancelledError | GeneratorExit | ConnectionError):
        return CANCELLED  # the client disconnected
    return exc.outcome if isinstance(exc, JobError) else FAILED


@dataclass
class JobLog:
    """The jobs of one server. `watcher` is called when each begins and when it ends."""

    watcher: Callable[[ServedJob], None] | None = None
    running: int = 0
    turned_away: int = 0  # requests that found every slot in use
    outcomes: Counter[str] = field(default_factory=Counter)
    sound: dict[str, float] = field(default_factory=dict)  # seconds of sound, by service
    clock: Callable[[], float] = time.time
    _last: int = 0
    _ended: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))

    @contextmanager
    def job(self, service: str, offer: Offer) -> Iterator[ServedJob]:
        """A job, whose slot is held while the context is open."""
        self._last += 1
        job, begun = ServedJob(self._last, service, offer), time.monotonic()
        self.running += 1
        self._notify(job)
        try:
            yield job
        except BaseException as exc:
            job.ended(exc)
            raise
        finally:
            job.ended(None)
            job.seconds = time.monotonic() - begun
            self.running -= 1
            self.outcomes[job.outcome] += 1
            self.sound[job.service] = self.sound.get(job.service, 0.0) + job.offer.seconds
            self._remember(job)
            self._notify(job)

    def recent(self) -> list[dict[str, Any]]:
        """The latest jobs, newest first: when each ended (seconds since the epoch), its service,
        duration, seconds of sound (estimated), outcome and producers."""
        return list(self._ended)

    def status(self) -> dict[str, Any]:
        """Their counts in `/v1/status`."""
        return {
            "running": self.running,
            "turned_away": self.turned_away,
            **{outcome: self.outcomes[outcome] for outcome in OUTCOMES},
        }

    def _remember(self, job: ServedJob) -> None:
        self._ended.appendleft(
            {
                "at": round(self.clock(), 3),
                "service": job.service,
                "seconds": round(job.seconds, 3),
                "sound": round(job.offer.seconds, 3),
                "outcome": job.outcome,
                "producers": [peer[:SHORT_ID] for peer in job.offer.producers],
            }
        )

    def _notify(self, job: ServedJob) -> None:
        log.info(str(job), extra={"fields": job.fields})  # now, since a handler may format later
        if self.watcher:
            self.watcher(job)
