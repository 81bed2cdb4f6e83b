"""A histogram of how long jobs took, for Prometheus. Pure."""

from bisect import bisect_left

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)  # seconds


class JobDurations:
    """The durations of the jobs of one service that were done, without failures."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0  # the sum

    def __repr__(self) -> str:
        return f"<JobDurations {sum(self._counts)} jobs>"

    def add(self, seconds: float) -> None:
        """One more job."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """The cumulative count for each step, and in all."""
        so_far, buckets = 0, []
        for step, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            so_far += count
            buckets.append((step, float(so_far)))
        return buckets
