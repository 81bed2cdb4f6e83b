"""Starts the engines of `--services`, and reports why some cannot be started.

    stt/cpu/pocketsphinx    this engine; if it fails, an error tells why, and how to fix it
    stt/cpu                 the best engine that starts: if one fails, that is logged, and the next
                            best is tried

A node serves what can be started. If starting is interrupted (Ctrl-C), all engines are closed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nodes.engines import make_engines
from nodes.engines.pooled_engine import EngineOptions, PooledEngine
from nodes.service_spec import ServiceSpec
from privox_dht.errors import EngineUnavailable, PrivoxError
from privox_dht.records import Record
from privox_dht.speech import Engine, EngineInfo

log = logging.getLogger("privox.node")


@asynccontextmanager
async def started_engines(
    specs: Sequence[ServiceSpec],
    cache: Path | None,
    check_sound: Callable[[str], Awaitable[None]],
    trouble: Callable[[str], None] = log.error,
    options: EngineOptions | None = None,
) -> AsyncIterator[list[Engine]]:
    """The engines of `specs` that could be started, closed on leaving; `trouble` is called with the
    reason for each of the others. `check_sound` raises `EngineUnavailable` for a service whose
    audio files cannot be decoded or encoded here; see `nodes.sound_check`.

    Raises:
        EngineUnavailable: there are specs, and none can be served.
        ConfigError: a spec is invalid.
    """
    choices = [(spec, _choice(spec, cache, trouble)) for spec in specs]
    settings = options or EngineOptions()
    for engine in (engine for _, able in choices for engine in able):
        if isinstance(engine, PooledEngine):
            engine.configure(settings)
    engines: list[Engine] = []
    try:
        await _all_started(choices, engines, check_sound, trouble)
        if specs and not engines:
            wanted = ", ".join(map(str, specs))
            raise EngineUnavailable(f"none of the services {wanted} can be served here")
        yield engines
    finally:
        await asyncio.gather(*map(_closed, engines))


def records_of(engines: Sequence[EngineInfo], mesh: bytes, slots: int, idle: int) -> list[Record]:
    """One record per service, backend and engine, with the models and languages of all in it."""
    merged: dict[tuple[str, str, str], list[EngineInfo]] = {}
    for info in engines:
        merged.setdefault((info.service, info.backend, info.engine), []).append(info)
    return [
        Record(
            publisher=b"",
            mesh=mesh,
            kind=service,
            backend=backend,
            engine=engine,
            models=tuple(dict.fromkeys(m for a in group for m in a.models)),
            languages=_languages(group),
            slots=slots,
            idle=idle,
            speed=max(a.speed for a in group),
            translates=any(a.translates for a in group),
            only_named=all(a.only_named for a in group),
        )
        for (service, backend, engine), group in merged.items()
    ]


def _languages(group: Sequence[EngineInfo]) -> tuple[str, ...]:
    """The languages of all; () means any, so one engine without a list makes it ()."""
    if not all(info.languages for info in group):
        return ()
    return tuple(dict.fromkeys(lang for info in group for lang in info.languages))


def _choice(spec: ServiceSpec, cache: Path | None, trouble: Callable[[str], None]) -> list[Engine]:
    """The engines that may serve `spec`, best first."""
    try:
        return make_engines(spec.service, spec.backend, spec.engine, cache=cache)
    except EngineUnavailable as exc:
        trouble(f"cannot serve {spec}: {exc}")
        return []


async def _all_started(
    choices: Sequence[tuple[ServiceSpec, Sequence[Engine]]],
    engines: list[Engine],
    check_sound: Callable[[str], Awaitable[None]],
    trouble: Callable[[str], None],
) -> None:
    """Start one engine of each choice, all at the same time, and add them to `engines` in order."""
    tasks = [
        asyncio.create_task(_first_started(*choice, check_sound, trouble)) for choice in choices
    ]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        engines += [e for e in outcomes if e is not None and not isinstance(e, BaseException)]


async def _first_started(
    spec: ServiceSpec,
    choice: Sequence[Engine],
    check_sound: Callable[[str], Awaitable[None]],
    trouble: Callable[[str], None],
) -> Engine | None:
    for left, engine in zip(range(len(choice) - 1, -1, -1), choice, strict=True):
        name = engine.info.engine
        try:
            await check_sound(engine.info.service)
            await engine.start()
        except Exception as exc:
            await _closed(engine)
            why = exc if isinstance(exc, PrivoxError) else f"failed ({type(exc).__name__}: {exc})"
            if left:
                log.warning("cannot serve %s by %s: %s; trying the next best", spec, name, why)
            else:
                trouble(f"cannot serve {spec} by {name}: {why}")
        except BaseException:
            await _closed(engine)
            raise
        else:
            _log_started(engine.info)
            return engine
    return None


def _log_started(a: EngineInfo) -> None:
    speed = f", {a.speed:.3g} times real time" if a.speed else ""
    log.info("serving %s/%s/%s%s", a.service, a.backend, a.engine, speed)


async def _closed(engine: Engine) -> None:
    """Close an engine; if that fails, the others are closed all the same."""
    try:
        await engine.close()
    except Exception:
        log.exception("the engine %r could not be closed", engine)
