"""Which engines a node ends up with, and that none is left whatever happens."""

import asyncio
import logging

import pytest

from nodes import engine_startup, engines
from nodes.engine_startup import records_of, started_engines
from nodes.engines.echo import EchoTranscriber
from nodes.service_spec import ServiceSpec, parse_services
from privox_dht import speech
from privox_dht.errors import ConfigError, EngineUnavailable
from privox_dht.speech import EngineInfo


class Engine:
    """An engine that does what it is told when it is started."""

    def __init__(self, name: str, start: asyncio.Event | Exception | None = None) -> None:
        self.info = EngineInfo(speech.STT, "cpu", name)
        self.up = asyncio.Event()
        self.closed = 0
        self._start = start

    async def start(self) -> None:
        if isinstance(self._start, Exception):
            raise self._start
        if self._start:
            await self._start.wait()
        self.up.set()

    async def close(self) -> None:
        self.closed += 1


async def fine(service: str) -> None:
    """A machine that reads and writes every sound."""


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Engine]]:
    """Engines by spec, instead of those that are installed."""
    choices: dict[str, list[Engine]] = {}

    def make(service: str, backend: str, what: str, *, cache: object) -> list[Engine]:
        return choices[what]

    monkeypatch.setattr(engine_startup, "make_engines", make)
    return choices


def specs(*whats: str) -> list[ServiceSpec]:
    return parse_services("/".join(filter(None, ("stt/cpu", what))) for what in whats)


async def test_where_the_best_cannot_be_started_the_next_best_is(
    offered: dict[str, list[Engine]], caplog: pytest.LogCaptureFixture
) -> None:
    """faster-whisper is installed, but no model can be had: pocketsphinx serves, and it is said."""
    best = Engine("faster-whisper", EngineUnavailable("no model", "name a folder"))
    next_best = Engine("pocketsphinx")
    offered[""] = [best, next_best, Engine("never")]
    caplog.set_level(logging.INFO)
    async with started_engines(specs(""), None, fine) as up:
        assert up == [next_best]
    assert (best.closed, next_best.closed) == (1, 1)
    assert "by faster-whisper: no model; to fix it: name a folder; trying the next" in caplog.text
    assert "serving stt/cpu/pocketsphinx" in caplog.text


async def test_an_engine_that_breaks_in_any_way_is_only_that_engine(
    offered: dict[str, list[Engine]], caplog: pytest.LogCaptureFixture
) -> None:
    offered["odd"] = [Engine("odd", ValueError("somebody else's engine"))]
    offered["good"] = [Engine("good")]
    async with started_engines(specs("odd", "good"), None, fine) as up:
        assert [engine.info.engine for engine in up] == ["good"]
    assert "by odd: failed (ValueError: somebody else's engine)" in caplog.text


async def test_with_nothing_to_serve_of_what_was_asked_the_node_does_not_start(
    offered: dict[str, list[Engine]],
) -> None:
    offered["x"] = [Engine("x", EngineUnavailable("gone"))]
    with pytest.raises(EngineUnavailable, match="none of the services"):
        async with started_engines(specs("x"), None, fine):
            pass


async def test_a_node_that_is_stopped_while_it_loads_leaves_no_engine(
    offered: dict[str, list[Engine]],
) -> None:
    quick, slow = Engine("quick"), Engine("slow", asyncio.Event())
    offered["quick"], offered["slow"] = [quick], [slow]

    async def enter() -> None:
        async with started_engines(specs("quick", "slow"), None, fine):
            pass

    task = asyncio.create_task(enter())
    await quick.up.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (quick.closed, slow.closed) == (1, 1)


async def test_an_engine_that_cannot_be_closed_keeps_no_other_from_it(
    offered: dict[str, list[Engine]], caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Engine("bad"), Engine("good")

    async def broken() -> None:
        raise OSError("stuck")

    bad.close = broken  # type: ignore[method-assign]
    offered["bad"], offered["good"] = [bad], [good]
    async with started_engines(specs("bad", "good"), None, fine):
        pass
    assert good.closed == 1
    assert "could not be closed" in caplog.text


async def test_the_echo_engine_is_never_chosen_unless_it_is_named() -> None:
    for service in speech.SERVICES:
        names = [engine.info.engine for engine in engines.make_engines(service, "cpu")]
        assert "echo" not in names
    (named,) = engines.make_engines("stt", "cpu", "echo")
    assert isinstance(named, EchoTranscriber)


async def test_an_engine_that_there_is_not_is_a_mistake_in_the_flags() -> None:
    with pytest.raises(ConfigError, match="no engine 'nobody'"):
        async with started_engines(specs("nobody"), None, fine):
            pass


def test_one_record_for_two_models_of_an_engine() -> None:
    two = [
        EngineInfo("tts", "cpu", "piper", ("a",), ("en",), 2.0),
        EngineInfo("tts", "cpu", "piper", ("b",), ("de",), 3.0),
    ]
    (record,) = records_of(two, b"m" * 8, 2, 1)
    assert (record.models, record.languages, record.speed) == (("a", "b"), ("en", "de"), 3.0)
    assert (record.slots, record.idle) == (2, 1)


def test_an_engine_for_any_language_keeps_that_beside_one_for_few() -> None:
    """An empty list means any: merged with ("en",) it must not become English only."""
    two = [
        EngineInfo("stt", "cpu", "w", ("small.en",), ("en",)),
        EngineInfo("stt", "cpu", "w", ("small",)),
    ]
    assert records_of(two, b"m" * 8, 1, 1)[0].languages == ()


def test_a_record_says_who_translates_and_who_wants_to_be_named() -> None:
    [translates, echo] = records_of(
        [
            EngineInfo("stt", "cpu", "w", ("small.en",)),
            EngineInfo("stt", "cpu", "w", ("small",), translates=True),
            EngineInfo("stt", "cpu", "echo", only_named=True),
        ],
        b"m" * 8, 1, 1,
    )  # fmt: skip
    assert (translates.translates, translates.only_named) == (True, False)
    assert (echo.translates, echo.only_named) == (False, True)


async def test_what_cannot_be_decoded_is_not_served(offered: dict[str, list[Engine]]) -> None:
    async def deaf(service: str) -> None:
        if service == speech.STT:
            raise EngineUnavailable("a second of sound in mp3 cannot be read", "pip install av")

    offered["good"] = [engine := Engine("good")]
    troubles: list[str] = []
    with pytest.raises(EngineUnavailable, match="none of the services"):
        async with started_engines(specs("good"), None, deaf, troubles.append):
            pass
    assert troubles == [
        "cannot serve stt/cpu/good by good: a second of sound in mp3 cannot be read;"
        " to fix it: pip install av"
    ]
    assert (engine.up.is_set(), engine.closed) == (False, 1)
