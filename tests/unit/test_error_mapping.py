"""How a job's end is said over HTTP, and read there again."""

import asyncio
import json
import logging
import math

import pytest

from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    EngineFailed,
    JobError,
    NoProducer,
    NotJoined,
    PeerKeyMismatch,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)
from privox_dht.http.error_mapping import from_response, status_of, to_error_object, to_headers
from privox_dht.offer import Offer
from privox_dht.speech_api.job_log import (
    CANCELLED,
    DONE,
    FAILED,
    LOST,
    REFUSED,
    JobLog,
    ServedJob,
    outcome_of,
)


def over_http(exc: BaseException) -> JobError:
    body = json.dumps({"error": to_error_object(exc)}).encode()
    return from_response(status_of(exc)[0], to_headers(exc), body)


@pytest.mark.parametrize(
    ("exc", "status", "read_as"),
    [
        (
            RequestRejected("no such thing", status=404, code="x", param="model"),
            404,
            RequestRejected,
        ),
        (ProducerBusy(retry_after=7), 503, ProducerBusy),
        (AllProducersBusy("nobody was free"), 503, ProducerBusy),
        (NotJoined("no neighbour"), 503, EngineFailed),
        (NoProducer("nobody"), 503, EngineFailed),
        (NoProducer("nobody has that model", "model"), 404, RequestRejected),
        (EngineFailed("broke"), 500, EngineFailed),
        (ProducerLost("gone"), 502, ProducerLost),
        (PeerKeyMismatch("other"), 502, ProducerLost),
        (AllProducersFailed("all of them"), 502, EngineFailed),
        (ZeroDivisionError("the words of a client"), 500, EngineFailed),
    ],
)
def test_every_end_has_a_status_and_is_read_for_what_it_is(
    exc: BaseException, status: int, read_as: type[JobError]
) -> None:
    assert status_of(exc)[0] == status
    read = over_http(exc)
    assert type(read) is read_as
    if isinstance(exc, JobError):
        assert str(read) == str(exc)


@pytest.mark.parametrize("unmet", ["model", "voice", "language"])
def test_what_nobody_has_is_named_so_that_no_app_tries_again(unmet: str) -> None:
    """OpenAI's libraries repeat what ends with 503."""
    read = over_http(NoProducer("nobody has that", unmet))
    assert isinstance(read, RequestRejected)
    assert (read.status, read.code, read.param) == (404, f"{unmet}_not_found", unmet)


def test_a_refusal_keeps_its_code_and_its_parameter() -> None:
    read = over_http(RequestRejected("no", status=413, code="too_large", param="file"))
    assert isinstance(read, RequestRejected)
    assert (read.status, read.code, read.param) == (413, "too_large", "file")


def test_busy_keeps_when_to_come_back_in_whole_seconds() -> None:
    assert to_headers(ProducerBusy(retry_after=1.2)) == {"Retry-After": "2"}
    assert to_headers(ProducerBusy(retry_after=0)) == {"Retry-After": "1"}
    read = over_http(ProducerBusy(retry_after=7))
    assert isinstance(read, ProducerBusy) and read.retry_after == 7


def test_the_words_of_a_bug_stay_here() -> None:
    assert "client" not in to_error_object(ZeroDivisionError("the words of a client"))["message"]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("1e9", 60), ("-5", 0), ("nan", 1), ("inf", 60), ("soon", 1), ("9" * 500, 60)],
)
def test_nobody_can_be_talked_into_waiting_for_ever(told: str, seconds: float) -> None:
    read = from_response(503, {"Retry-After": told}, b"")
    assert isinstance(read, ProducerBusy) and math.isclose(read.retry_after, seconds)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error": 5}', b'{"error": {"message": 5}}', b"[" * 60_000]
)
def test_an_error_without_a_readable_body_is_still_an_error(body: bytes) -> None:
    assert isinstance(from_response(404, {}, body), RequestRejected)
    assert isinstance(from_response(500, {}, body), EngineFailed)
    assert "302" in str(from_response(302, {}, body))


def test_a_strangers_message_is_cut_and_cannot_move_a_cursor() -> None:
    body = json.dumps({"error": {"message": "\x1b[2J" + "x" * 10_000}}).encode()
    message = str(from_response(400, {}, body))
    assert "\x1b" not in message and len(message) <= 400


# -- jobs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exc", "outcome"),
    [
        (None, DONE),
        (RequestRejected("x"), REFUSED),
        (EngineFailed("x"), FAILED),
        (ProducerLost("x"), LOST),
        (asyncio.CancelledError(), CANCELLED),
        (ConnectionResetError(), CANCELLED),
        (KeyError("x"), FAILED),
    ],
)
def test_every_end_is_one_word(exc: BaseException | None, outcome: str) -> None:
    assert outcome_of(exc) == outcome


def test_a_job_is_told_of_at_its_beginning_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    jobs = JobLog(watcher=lambda job: told.append(job.outcome))
    with caplog.at_level(logging.INFO, "privox.jobs"):
        with jobs.job("stt", Offer()):
            assert jobs.running == 1
            assert caplog.messages == ["job 1 stt begun"]
        with pytest.raises(EngineFailed), jobs.job("tts", Offer()):
            raise EngineFailed("broke")
    assert told == ["", DONE, "", FAILED]
    assert [message.rsplit(" in ")[0] for message in caplog.messages] == [
        "job 1 stt begun", "job 1 stt done", "job 2 tts begun", "job 2 tts failed"
    ]  # fmt: skip
    assert jobs.status() == {
        "running": 0, "turned_away": 0, "done": 1, "refused": 0, "failed": 1, "cancelled": 0,
        "lost": 0,
    }  # fmt: skip


def test_an_outcome_that_is_known_stays() -> None:
    jobs = JobLog()
    with pytest.raises(ConnectionResetError), jobs.job("stt", Offer()) as job:
        job.ended(None)
        raise ConnectionResetError
    assert job.outcome == DONE
    assert str(ServedJob(3, "stt")) == "job 3 stt begun"
