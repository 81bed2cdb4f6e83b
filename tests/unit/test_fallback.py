"""The server that is asked when no producer can do a job: its URL and its token."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from privox_dht.dispatch.fallback import endpoint_of, with_fallback
from privox_dht.dispatch.job_events import Dialing, Waiting
from privox_dht.dispatch.job_state import Attempt, Done
from privox_dht.errors import (
    AllProducersFailed,
    ConfigError,
    JobError,
    NoProducer,
    ProducerLost,
    RequestRejected,
)

SERVER = endpoint_of("http://127.0.0.1:1", "")
BY_MESH = Attempt("aaaaaaaa", "echo", "direct 192.0.2.1:5678", "lost", "gone", 1.0)
NOBODY = NoProducer("nobody does this")


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000", "http://host", "http://localhost.evil"])
def test_a_token_does_not_travel_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigError, match="use https"):
        endpoint_of(url, "s3cret")
    assert endpoint_of(url, "").token is None
    assert endpoint_of(url.replace("http", "https", 1), "s3cret").token == "s3cret"


async def test_a_password_in_its_address_is_shown_nowhere_and_travels_not_in_the_clear() -> None:
    for url in ("http://me:hunter2@host:8000", "ftp://me@http://me:hunter2@host"):
        with pytest.raises(ConfigError) as error:
            endpoint_of(url, "")
        assert "hunter2" not in str(error.value)
    server = endpoint_of("https://me:hunter2@127.0.0.1:1", "")

    async def broken(*_: Any) -> Any:
        raise ProducerLost("gone")

    events = []
    with pytest.raises(AllProducersFailed) as failed:
        async for event in with_fallback(on_mesh(NOBODY), server, broken, None):
            events.append(event)
    assert "hunter2" not in f"{events} {failed.value} {failed.value.attempts}"
    assert "fallback server https://***@127.0.0.1:1" in str(failed.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:1"])
def test_on_this_machine_it_may(url: str) -> None:
    assert endpoint_of(url, "s3cret").token == "s3cret"


@pytest.mark.parametrize("url", ["http://host:8000", "http://host:8000/", "http://host:8000/v1/"])
def test_the_fallback_may_be_given_with_and_without_the_v1_of_its_paths(url: str) -> None:
    assert endpoint_of(url, "").base == "http://host:8000"


def on_mesh(outcome: Any) -> Callable[[], AsyncGenerator[Any]]:
    """A job there, which ends so."""

    async def job() -> AsyncGenerator[Any]:
        yield Waiting(1.0)
        if isinstance(outcome, Exception):
            raise outcome
        yield Done(outcome, None, "direct", 0.5, ())

    return job


def at_server(outcome: Any) -> Callable[..., Any]:
    """The same job at the fallback server; None: it is silent."""

    async def work(endpoint: Any, record: Any, emit: Any) -> Any:
        assert endpoint is SERVER and record is None
        if outcome is None:
            await asyncio.Event().wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return work


async def events(mesh: Any, server: Any, timeout: float | None = None) -> list[Any]:
    some = with_fallback(on_mesh(mesh), SERVER, at_server(server), timeout)
    return [event async for event in some]


async def test_what_the_mesh_can_do_is_not_asked_of_the_server() -> None:
    _, done = await events("by the mesh", AssertionError("asked"))
    assert (done.value, done.route) == ("by the mesh", "direct")


async def test_what_the_mesh_cannot_do_the_server_does_and_the_attempts_tell_the_way() -> None:
    waiting, dialing, done = await events(AllProducersFailed("all gone", [BY_MESH]), "text", 20.0)
    assert isinstance(waiting, Waiting)
    assert dialing == Dialing(None, f"fallback {SERVER.base}")
    assert (done.value, done.record, done.route) == ("text", None, dialing.route)
    assert [(a.peer_id, a.outcome) for a in done.attempts] == [
        ("aaaaaaaa", "lost"), ("fallback", "done")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mesh", "server", "raised", "said"),
    [
        (RequestRejected("no sound"), "text", RequestRejected, "no sound"),
        (NOBODY, RequestRejected("too long", status=413), RequestRejected, "too long"),
        (
            NOBODY,
            RequestRejected("no key", status=401),
            AllProducersFailed,
            "nobody does this; and the fallback server http://127.0.0.1:1: no key",
        ),
        (NOBODY, ProducerLost("it hung up"), AllProducersFailed, "it hung up"),
    ],
)
async def test_whose_fault_it_is_decides_what_is_raised(
    mesh: JobError, server: Any, raised: type[JobError], said: str
) -> None:
    with pytest.raises(raised, match=said):
        await events(mesh, server)


async def test_a_silent_server_is_given_up_when_the_time_for_both_is_over() -> None:
    with pytest.raises(AllProducersFailed, match="not done within 0 s") as failed:
        await events(NOBODY, None, timeout=0.05)
    [attempt] = failed.value.attempts
    assert ": lost (not done within" in str(attempt)
    with pytest.raises(NoProducer):
        await events(NOBODY, None, timeout=0.0)
