"""Starts the engines a node was told to serve, and says why some cannot be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nodes.engines import make_engine
from nodes.services import ServiceSpec
from privox_dht.errors import EngineUnavailable, PrivoxError
from privox_dht.records import Record
from privox_dht.speech import Ability, Engine

log = logging.getLogger("privox.node")


@asynccontextmanager
async def started_engines(
    specs: Sequence[ServiceSpec], cache: Path | None
) -> AsyncIterator[list[Engine]]:
    """The engines of `specs` that could be started, closed on leaving.

    What cannot be served is logged, with what mends it; a node serves the rest.

    Raises:
        EngineUnavailable: something was to be served, and nothing can be.
    """
    made = [engine for spec in specs if (engine := _made(spec, cache)) is not None]
    outcomes = await asyncio.gather(*(_started(*pair) for pair in made))
    engines = [engine for engine in outcomes if engine is not None]
    try:
        if specs and not engines:
            wanted = ", ".join(map(str, specs))
            raise EngineUnavailable(f"nothing of what was asked ({wanted}) can be served here")
        yield engines
    finally:
        await asyncio.gather(*(engine.close() for engine in engines))


def records_of(abilities: Sequence[Ability], mesh: bytes, slots: int, idle: int) -> list[Record]:
    """What to publish: one record per service, backend and engine, models and languages merged."""
    merged: dict[tuple[str, str, str], list[Ability]] = {}
    for ability in abilities:
        merged.setdefault((ability.service, ability.backend, ability.engine), []).append(ability)
    return [
        Record(
            publisher=b"",
            mesh=mesh,
            kind=service,
            backend=backend,
            engine=engine,
            models=tuple(dict.fromkeys(m for a in group for m in a.models)),
            languages=tuple(dict.fromkeys(lang for a in group for lang in a.languages)),
            slots=slots,
            idle=idle,
            speed=max(a.speed for a in group),
        )
        for (service, backend, engine), group in merged.items()
    ]


def _made(spec: ServiceSpec, cache: Path | None) -> tuple[ServiceSpec, Engine] | None:
    try:
        return spec, make_engine(spec.service, spec.backend, spec.what, cache=cache)
    except EngineUnavailable as exc:
        log.error("cannot serve %s: %s", spec, exc)
        return None


async def _started(spec: ServiceSpec, engine: Engine) -> Engine | None:
    try:
        await engine.start()
    except PrivoxError as exc:
        log.error("cannot serve %s: %s", spec, exc)
        await engine.close()
        return None
    a = engine.ability
    speed = f", {a.speed:.3g} times real time" if a.speed else ""
    log.info("serving %s/%s/%s%s", a.service, a.backend, a.engine, speed)
    return engine
