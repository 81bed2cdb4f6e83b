"""How long jobs took, in the steps of a histogram."""

from nodes.gateway.job_durations import BUCKETS, DurationsByService, JobDurations
from privox_dht.speech_api.job_log import ServedJob


def test_each_step_counts_all_that_took_at_most_so_long() -> None:
    durations = JobDurations()
    for seconds in (0.05, 0.06, 2.0, 1e6):
        durations.add(seconds)
    told = dict(durations.buckets())
    assert (told["0.05"], told["0.1"], told["1.0"], told["2.5"]) == (1, 2, 2, 3)
    assert told[str(BUCKETS[-1])] == 3 and told["+Inf"] == 4
    assert durations.seconds == 1e6 + 2.11


def test_only_jobs_that_were_done_are_counted() -> None:
    counted = DurationsByService(["stt"])
    for outcome in ("", "done", "failed", "cancelled"):
        counted.job_changed(ServedJob(1, "stt", outcome=outcome, seconds=1.0))
    counted.job_changed(ServedJob(2, "other", outcome="done"))
    assert counted.of["stt"].buckets()[-1] == ("+Inf", 1.0)
