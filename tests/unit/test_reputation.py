from dataclasses import replace

import pytest

from privox_dht import limits
from privox_dht.dispatch.reputation import MAX_ENGINES, MAX_REMEMBERED, ReputationTable
from privox_dht.records import Record


def test_a_lost_producer_is_left_alone_for_15_s_doubling_to_10_min() -> None:
    reputation, now, bans = ReputationTable(), 0.0, []
    for _ in range(8):
        bans.append(reputation.record_failure("a", now))
    assert bans == [15, 30, 60, 120, 240, 480, 600, 600]


def test_a_ban_ends() -> None:
    reputation = ReputationTable()
    reputation.record_failure("a", 100.0)
    assert reputation.is_backed_off("a", 114.9)
    assert not reputation.is_backed_off("a", 115.0)


def test_busy_is_not_dead() -> None:
    reputation = ReputationTable()
    reputation.record_busy("a", 100.0, 2.0)
    assert not reputation.is_backed_off("a", 100.0)
    assert reputation.busy_seconds("a", 101.5) == 0.5
    assert reputation.busy_seconds("a", 103.0) == 0.0


def test_a_newer_record_that_says_idle_ends_the_wait_and_an_older_one_does_not() -> None:
    asked = Record(b"p" * 32, b"m" * 8, "stt", backend="cpu", engine="e", idle=1, sequence=5)
    reputation = ReputationTable()
    reputation.record_busy(asked.peer_id, 0.0, 60.0, asked.sequence)
    for other in (asked, replace(asked, idle=0, sequence=6)):
        reputation.update([other])
        assert reputation.busy_seconds(asked.peer_id, 0.0) == 60.0
    reputation.update([replace(asked, sequence=6)])
    assert reputation.busy_seconds(asked.peer_id, 0.0) == 0.0


def test_a_producer_cannot_ask_to_be_left_alone_for_ever() -> None:
    reputation = ReputationTable()
    reputation.record_busy("a", 0.0, 1e9)
    assert reputation.busy_seconds("a", 0.0) == limits.WAIT


def test_a_job_well_done_forgives_everything() -> None:
    reputation = ReputationTable()
    reputation.record_failure("a", 0.0)
    reputation.record_success("a")
    assert not reputation.is_backed_off("a", 0.0)
    assert reputation.record_failure("a", 0.0) == limits.BACKOFF_FIRST


def test_strangers_cannot_fill_memory() -> None:
    reputation = ReputationTable()
    for i in range(MAX_REMEMBERED * 2):
        reputation.record_failure(f"peer {i}", 0.0)
    assert repr(reputation) == f"<ReputationTable of {MAX_REMEMBERED} producers>"
    assert reputation.is_backed_off(f"peer {MAX_REMEMBERED * 2 - 1}", 0.0)
    assert not reputation.is_backed_off("peer 0", 0.0)


def test_after_three_jobs_the_measured_speed_is_believed_and_not_the_record() -> None:
    reputation = ReputationTable()
    claims = Record(b"p" * 32, b"m" * 8, "stt", backend="cpu", engine="e", speed=200.0)
    for _ in range(2):
        reputation.record_speed(claims, 20.0, 10.0)
        assert reputation.speed_of(claims) is None
        assert reputation.with_measured_speed(claims) == claims
    reputation.record_speed(claims, 20.0, 10.0)
    assert reputation.speed_of(claims) == pytest.approx(2.0)
    assert reputation.with_measured_speed(claims).speed == pytest.approx(2.0)
    assert reputation.speed_of(replace(claims, engine="another")) is None


def test_the_last_jobs_count_most() -> None:
    reputation = ReputationTable()
    one = Record(b"p" * 32, b"m" * 8, "stt", backend="cpu", engine="e")
    for work in [1.0] * 20 + [10.0] * 10:
        reputation.record_speed(one, 20.0, work)
    assert reputation.speed_of(one) == pytest.approx(2.0, rel=0.2)


def test_records_of_many_engines_do_not_fill_memory() -> None:
    reputation = ReputationTable()
    for number in range(1000):
        one = Record(b"p" * 32, b"m" * 8, "stt", backend="cpu", engine=f"e{number}")
        reputation.record_speed(one, 1.0, 1.0)
    assert len(reputation._histories[one.peer_id].speeds) <= MAX_ENGINES
