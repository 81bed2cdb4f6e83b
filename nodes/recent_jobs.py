"""The last jobs of a gateway, as its page lists them. Pure: the clock is an argument.

Neither words nor sound nor addresses nor names of keys.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nodes.gateway import gateway_limits
from privox_dht.speech_api.job_log import ServedJob

SHORT_ID = 8  # characters of a peer id that tell producers apart


class RecentJobs:
    """Those that ended, the newest first.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        most: int = gateway_limits.RECENT_JOBS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._jobs: deque[dict[str, Any]] = deque(maxlen=most)

    def __repr__(self) -> str:
        return f"<RecentJobs {len(self._jobs)}>"

    def job_changed(self, job: ServedJob) -> None:
        """A job began or ended."""
        if job.outcome:
            self._jobs.appendleft(
                {
                    "at": round(self._clock(), 3),
                    "service": job.service,
                    "seconds": round(job.seconds, 3),
                    "sound": round(job.offer.seconds, 3),
                    "outcome": job.outcome,
                    "producers": [peer[:SHORT_ID] for peer in job.offer.producers],
                }
            )

    def as_json(self) -> list[dict[str, Any]]:
        """When each ended (seconds since the epoch), what it was, how long it took, about how many
        seconds of sound it was, how it ended, and who did it."""
        return list(self._jobs)
