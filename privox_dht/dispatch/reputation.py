"""How producers behaved towards us: who is left alone, and for how long.

    busy   asked to be left alone for a moment: it is well, ask again then
    lost   went away in mid-job, or did not answer: left alone for 15 s, doubling to 10 min
    good   did a job: all is forgiven, and it is known to be there
    doubt  refused or failed a job, perhaps rightly: others are asked before it

Pure: the time (seconds, any clock that only goes forward) is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from privox_dht import limits
from privox_dht.backoff import backoff

REMEMBERED = 1024  # producers; more than a client meets, so that strangers cannot fill memory


@dataclass(slots=True)
class _PeerHistory:
    losses: int = 0
    backed_off_until: float = 0.0
    busy_until: float = 0.0
    rejected: bool = False  # it refused or failed a job, and did none since
    succeeded: bool = False  # the last thing we know of it is that it did a job


class ReputationTable:
    """What we remember of each producer, by peer id."""

    def __init__(self) -> None:
        self._past: OrderedDict[str, _PeerHistory] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Manners of {len(self._past)} producers>"

    def record_busy(self, peer_id: str, now: float, retry_after: float) -> None:
        """It said that it is busy and when to ask again."""
        self._of(peer_id).busy_until = now + min(max(retry_after, 0.0), limits.WAIT)

    def record_failure(self, peer_id: str, now: float) -> float:
        """It went away; returns for how many seconds it is left alone."""
        past = self._of(peer_id)
        past.losses += 1
        past.succeeded = False
        ban = backoff(past.losses, limits.BACKOFF_FIRST, limits.BACKOFF_LONGEST)
        past.backed_off_until = now + ban
        return ban

    def record_success(self, peer_id: str) -> None:
        """It did a job."""
        past = self._of(peer_id)
        past.losses, past.backed_off_until, past.busy_until = 0, 0.0, 0.0
        past.succeeded, past.rejected = True, False

    def record_rejection(self, peer_id: str) -> None:
        """It refused or failed a job; whether that was its own fault is not known."""
        self._of(peer_id).rejected = True

    def has_rejected(self, peer_id: str) -> bool:
        """Whether it refused or failed a job, and did none since."""
        past = self._past.get(peer_id)
        return past is not None and past.rejected

    def has_succeeded(self, peer_id: str) -> bool:
        """Whether it did a job for us, and was not lost since."""
        past = self._past.get(peer_id)
        return past is not None and past.succeeded

    def is_backed_off(self, peer_id: str, now: float) -> bool:
        past = self._past.get(peer_id)
        return past is not None and now < past.backed_off_until

    def has_recent_failures(self, now: float) -> bool:
        """Whether somebody was lost a moment ago, or is doubted: strangers may be no better."""
        return any(past.rejected or now < past.backed_off_until for past in self._past.values())

    def busy_seconds(self, peer_id: str, now: float) -> float:
        """Seconds until it may be asked again; 0 if it may be asked now."""
        past = self._past.get(peer_id)
        return max(0.0, past.busy_until - now) if past else 0.0

    def _of(self, peer_id: str) -> _PeerHistory:
        past = self._past.setdefault(peer_id, _PeerHistory())
        self._past.move_to_end(peer_id)
        if len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
        return past
