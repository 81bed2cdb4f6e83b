"""When the mesh fails: the same job at one ordinary speech server, named by the user.

mesh       no producer, all busy, all failed       -> the fallback server, in the time left
fallback   done                                    -> the result, with all attempts
           rejects the input                       -> RequestRejected
           anything else                           -> AllProducersFailed, with both errors
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TypeVar
from urllib.parse import urlsplit

from privox_dht import limits
from privox_dht.addresses import is_here, without_key
from privox_dht.dispatch.event_stream import streamed
from privox_dht.dispatch.job_events import Dialing, Emit, JobEvent
from privox_dht.dispatch.job_state import DONE, LOST, Attempt, Done
from privox_dht.dispatch.work import Work
from privox_dht.errors import (
    AllProducersBusy,
    AllProducersFailed,
    ConfigError,
    JobError,
    NoProducer,
    NotJoined,
    RequestRejected,
)
from privox_dht.speech_api.client import Endpoint

T = TypeVar("T")
MESH_ERRORS = (NotJoined, NoProducer, AllProducersBusy, AllProducersFailed)
INPUT_ERRORS = (400, 413, 415, 422)  # statuses; 401 or 404 mean that the server is the wrong one


def endpoint_of(url: str, token: str) -> Endpoint:
    """The endpoint of the server at `url`.

    Raises:
        ConfigError: it is not the URL of a server, or the token would be sent unencrypted.
    """
    shown = without_key(url)
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ConfigError(f"fallback {shown!r} is not a URL such as http://host:8000")
    secret = token or parts.password
    if secret and parts.scheme == "http" and not is_here(str(parts.hostname)):
        raise ConfigError(f"fallback {shown!r} would send the token unencrypted: use https")
    base = url.rstrip("/").removesuffix("/v1")  # users give it with and without
    return Endpoint(base, None, token=token or None, native=False)


async def with_fallback(
    job: Callable[[], AsyncGenerator[JobEvent[T]]],
    server: Endpoint,
    work: Work[T],
    timeout: float | None,
) -> AsyncGenerator[JobEvent[T]]:
    """The events of `job` on the mesh; if that fails, those of `work` at `server`.

    Args:
        job: starts the job on the mesh.
        work: the same job at one server.
        timeout: seconds for both; None: as long as the mesh takes, and `limits.FALLBACK_WAIT`.

    Raises:
        RequestRejected: the input is at fault.
        AllProducersFailed: both failed.
    """
    began = time.monotonic()
    try:
        async with aclosing(job()) as events:
            async for event in events:
                yield event
        return
    except MESH_ERRORS as exc:
        left = limits.FALLBACK_WAIT
        if timeout is not None:
            left = began + timeout - time.monotonic()
        if left <= 0:
            raise
        failed = exc

    async def fallback_job(emit: Emit) -> Done[T]:
        now = time.monotonic()
        base = without_key(server.base)
        route = f"fallback {base}"
        before = getattr(failed, "attempts", ())

        def attempt(outcome: str, why: str) -> Attempt:
            return Attempt("fallback", "", route, outcome, why, time.monotonic() - now)

        emit(Dialing(None, route))
        try:
            async with asyncio.timeout(left):
                value = await work(server, None, emit)
        except TimeoutError:
            tried = attempt(LOST, f"not done within {left:.0f} s")
        except JobError as exc:
            if isinstance(exc, RequestRejected) and exc.status in INPUT_ERRORS:
                raise
            tried = attempt(exc.outcome, str(exc))
        else:
            seconds = time.monotonic() - began
            return Done(value, None, route, seconds, (*before, attempt(DONE, "")))
        message = f"{failed}; and the fallback server {base}: {tried.why}"
        raise AllProducersFailed(message, (*before, tried)) from failed

    async with aclosing(streamed(fallback_job)) as last_events:
        async for event in last_events:
            yield event
