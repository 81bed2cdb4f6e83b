"""How long jobs took, in the steps of a histogram."""

from nodes.gateway.job_durations import BUCKETS, JobDurations


def test_each_step_counts_all_that_took_at_most_so_long() -> None:
    durations = JobDurations()
    for seconds in (0.05, 0.06, 2.0, 1e6):
        durations.add(seconds)
    told = dict(durations.buckets())
    assert (told["0.05"], told["0.1"], told["1.0"], told["2.5"]) == (1, 2, 2, 3)
    assert told[str(BUCKETS[-1])] == 3 and told["+Inf"] == 4
    assert durations.seconds == 1e6 + 2.11
