"""Errors of a job as HTTP responses, and back.

    error                              status         code              headers
    RequestRejected                    its own (4xx)  its own
    ProducerBusy, AllProducersBusy     503            busy              Retry-After
    NotJoined                          503            not_joined
    NoProducer                         503            no_producer
      with .unmet                      404            model_not_found and so on: do not try again
    AllProducersFailed, ProducerLost   502            all_failed, lost
    EngineFailed, our own bug          500            failed

The body is OpenAI's: {"error": {"message", "type", "param", "code"}}. In a stream that has begun
the same object travels in an `error` event, with the status in it.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from privox_dht import limits
from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    EngineFailed,
    JobError,
    NoProducer,
    NotJoined,
    ProducerBusy,
    ProducerLost,
    RequestRejected,
)

_STATUSES: tuple[tuple[type[JobError], int, str], ...] = (
    (ProducerBusy, 503, "busy"),
    (AllProducersBusy, 503, "busy"),
    (NotJoined, 503, "not_joined"),
    (NoProducer, 503, "no_producer"),
    (AllProducersFailed, 502, "all_failed"),
    (ProducerLost, 502, "lost"),
)
_INTERNAL = "internal server error; see the log of the server"


def status_of(exc: BaseException) -> tuple[int, str]:
    """The HTTP status and the code of a job's error."""
    if isinstance(exc, RequestRejected):
        return exc.status, exc.code
    if isinstance(exc, NoProducer) and exc.unmet:
        return 404, f"{exc.unmet}_not_found"
    for kind, status, code in _STATUSES:
        if isinstance(exc, kind):
            return status, code
    return 500, "failed"


def to_error_object(exc: BaseException) -> dict[str, Any]:
    """The error object. The message of a bug is not sent to clients."""
    status, code = status_of(exc)
    return {
        "message": str(exc) if isinstance(exc, JobError) else _INTERNAL,
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": _param_of(exc),
        "code": code,
    }


def _param_of(exc: BaseException) -> str | None:
    """The field of the request that is at fault."""
    if isinstance(exc, NoProducer):
        return exc.unmet or None
    return exc.param if isinstance(exc, RequestRejected) else None


def to_headers(exc: BaseException) -> dict[str, str]:
    """Headers that go with the status."""
    if isinstance(exc, RequestRejected) and exc.status == 401:
        return {"WWW-Authenticate": "Bearer"}
    seconds: float | None = getattr(exc, "retry_after", None)
    if isinstance(exc, AllProducersBusy):
        seconds = limits.RETRY_AFTER
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def from_response(status: int, headers: Mapping[str, str], body: bytes) -> JobError:
    """The error that a response other than 200 means."""
    return read_error_object(status, _error_in(body), headers.get("Retry-After"))


def read_error_object(status: int, error: Mapping[str, Any], retry_after: object) -> JobError:
    """The error that a stranger's error object means, in a response or in a stream."""
    code = _short(error.get("code")) or "failed"
    message = _short(error.get("message")) or f"it answered with status {status}"
    if code == "busy" or status == 429 or (status == 503 and retry_after is not None):
        return ProducerBusy(message, _seconds(retry_after))
    if status == 408 or code == "lost":
        return ProducerLost(message, begun=True)
    if 400 <= status < 500:
        param = _short(error.get("param")) or None
        return RequestRejected(message, status=status, code=code, param=param)
    return EngineFailed(message)


def _error_in(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    error = value.get("error") if isinstance(value, dict) else None
    return error if isinstance(error, dict) else {}


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else limits.RETRY_AFTER
    except (ValueError, OverflowError):
        return limits.RETRY_AFTER
    return min(max(seconds, 0.0), limits.LONGEST_RETRY_AFTER) if seconds == seconds else 1.0


def _short(value: object) -> str:
    """A stranger's text, cut, and without control characters."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value[: limits.MAX_MESSAGE])
