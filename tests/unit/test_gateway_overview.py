"""What the page shows of a mesh, and of the gateway's last jobs."""

from nodes.gateway import gateway_limits
from nodes.gateway.overview import overview, own_producer
from privox_dht.identity import peer_id_of
from privox_dht.offer import Offer
from privox_dht.records import Direct, Record, Relayed
from privox_dht.speech import STT, TTS, EngineInfo
from privox_dht.speech_api.job_log import KEPT, JobLog

QUIET = {service: {"running": 0, "waiting": 0} for service in (STT, TTS)}


def record(number: int, kind: str, engine: str = "e", **more: object) -> Record:
    more = {"slots": 2, "idle": 1, "routes": (Direct("192.0.2.1", 5678),), **more}
    return Record(bytes([number]) * 32, b"12345678", kind, engine=engine, **more)  # type: ignore[arg-type]


def test_a_producer_is_shown_once_with_all_that_it_does_and_its_slots_count_once() -> None:
    told = overview([record(1, TTS, "piper"), record(1, STT, "whisper")], None, QUIET)
    (producer,) = told["producers"]
    assert [one["engine"] for one in producer["does"]] == ["whisper", "piper"]
    assert (producer["slots"], producer["idle"], producer["relayed"]) == (2, 1, False)
    assert told["services"][STT] == {
        "producers": 1,
        "slots": 2,
        "idle": 1,
        "running": 0,
        "waiting": 0,
    }


def test_this_node_comes_first_and_then_the_idle_ones() -> None:
    own = own_producer("own" * 10, [EngineInfo(STT, "cpu", "whisper")], slots=1, idle=0)
    told = overview([record(1, STT, idle=0), record(2, STT, idle=2)], own, QUIET)
    assert [(p["here"], p["idle"]) for p in told["producers"]] == [
        (True, 0),
        (False, 2),
        (False, 0),
    ]
    assert told["services"][STT]["slots"] == 5


def test_a_node_that_lends_nothing_is_no_producer() -> None:
    assert own_producer("own", [], slots=1, idle=1) is None


def test_who_is_called_through_farms_only_is_said_to_be() -> None:
    farm = Relayed(bytes(32))
    told = overview([record(1, STT, routes=(farm,)), record(2, STT)], None, QUIET)
    assert sorted(p["relayed"] for p in told["producers"]) == [False, True]


def test_of_very_many_producers_some_are_shown_and_all_are_counted() -> None:
    records = [record(n, STT) for n in range(gateway_limits.SHOWN_PRODUCERS + 7)]
    told = overview(records, None, QUIET)
    assert len(told["producers"]) == gateway_limits.SHOWN_PRODUCERS
    assert told["more_producers"] == 7
    assert told["services"][STT]["producers"] == len(records)
    assert (told["slots"], told["idle"]) == (2 * len(records), len(records))


def test_a_withdrawn_record_is_not_shown() -> None:
    assert overview([record(1, STT, withdrawn=True)], None, QUIET)["producers"] == []


def test_a_job_is_told_once_it_has_ended_and_by_short_names() -> None:
    jobs, whole = JobLog(clock=lambda: 1000.0), peer_id_of(bytes(32))
    with jobs.job(STT, Offer(seconds=3.5, client="kitchen", producers=(whole,))):
        assert jobs.recent() == []
    (told,) = jobs.recent()
    assert told.pop("seconds") < 60
    assert told == {
        "at": 1000.0, "service": STT, "sound": 3.5, "outcome": "done", "producers": [whole[:8]],
    }  # fmt: skip


def test_the_newest_jobs_are_kept() -> None:
    jobs = JobLog()
    for number in range(KEPT + 2):
        with jobs.job(STT, Offer(seconds=number)):
            pass
    assert [job["sound"] for job in jobs.recent()] == list(range(KEPT + 1, 1, -1))
