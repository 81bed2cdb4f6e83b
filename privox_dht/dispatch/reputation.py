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
class _Past:
    losses: int = 0
    banned_until: float = 0.0
    busy_until: float = 0.0
    doubted: bool = False  # it refused or failed a job, and did none since
    proven: bool = False  # the last thing we know of it is that it did a job


class Manners:
    """What we remember of each producer, by peer id."""

    def __init__(self) -> None:
        self._past: OrderedDict[str, _Past] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Manners of {len(self._past)} producers>"

    def busy(self, peer_id: str, now: float, retry_after: float) -> None:
        """It said that it is busy and when to ask again."""
        self._of(peer_id).busy_until = now + min(max(retry_after, 0.0), limits.WAIT)

    def lost(self, peer_id: str, now: float) -> float:
        """It went away; returns for how many seconds it is left alone."""
        past = self._of(peer_id)
        past.losses += 1
        past.proven = False
        ban = backoff(past.losses, limits.BAN_FIRST, limits.BAN_LONGEST)
        past.banned_until = now + ban
        return ban

    def good(self, peer_id: str) -> None:
        """It did a job."""
        past = self._of(peer_id)
        past.losses, past.banned_until, past.busy_until = 0, 0.0, 0.0
        past.proven, past.doubted = True, False

    def doubt(self, peer_id: str) -> None:
        """It refused or failed a job; whether that was its own fault is not known."""
        self._of(peer_id).doubted = True

    def is_doubted(self, peer_id: str) -> bool:
        """Whether it refused or failed a job, and did none since."""
        past = self._past.get(peer_id)
        return past is not None and past.doubted

    def is_proven(self, peer_id: str) -> bool:
        """Whether it did a job for us, and was not lost since."""
        past = self._past.get(peer_id)
        return past is not None and past.proven

    def is_banned(self, peer_id: str, now: float) -> bool:
        past = self._past.get(peer_id)
        return past is not None and now < past.banned_until

    def is_wary(self, now: float) -> bool:
        """Whether somebody was lost a moment ago, or is doubted: strangers may be no better."""
        return any(past.doubted or now < past.banned_until for past in self._past.values())

    def busy_for(self, peer_id: str, now: float) -> float:
        """Seconds until it may be asked again; 0 if it may be asked now."""
        past = self._past.get(peer_id)
        return max(0.0, past.busy_until - now) if past else 0.0

    def _of(self, peer_id: str) -> _Past:
        past = self._past.setdefault(peer_id, _Past())
        self._past.move_to_end(peer_id)
        if len(self._past) > REMEMBERED:
            self._past.popitem(last=False)
        return past
