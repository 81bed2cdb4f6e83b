"""What a gateway knows of its mesh; the mesh says what a test wants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from nodes.gateway import gateway_limits
from nodes.gateway.mesh_view import MeshView
from privox_dht.errors import NoProducer
from privox_dht.identity import Identity
from privox_dht.records import Record
from privox_dht.voices import Voices

ONE, OTHER = Identity(b"1" * 32), Identity(b"2" * 32)


def record(of: Identity, **more: Any) -> Record:
    fields: dict[str, Any] = {
        "kind": "tts", "backend": "cpu", "engine": "piper", "models": ("amy",), "slots": 1,
        "idle": 1, "sequence": 1, "issued": 0, "expires": 120, **more,
    }  # fmt: skip
    return Record(publisher=of.public, mesh=b"m" * 8, **fields)


class Mesh:
    """Finds these, or fails so; counts how often it was asked."""

    def __init__(self, *found: Record) -> None:
        self.found: list[Record] = list(found)
        self.fails: Exception | None = None
        self.lookups = self.asked_for_voices = 0
        self.silent = 0  # how often nobody answers who is asked for voices
        self.slow: asyncio.Event | None = None

    async def producers(self, services: Any) -> list[Record]:
        self.lookups += 1
        if self.slow is not None:
            await self.slow.wait()
        if self.fails is not None:
            raise self.fails
        return self.found

    async def voices(self) -> Voices:
        self.asked_for_voices += 1
        if self.asked_for_voices <= self.silent:
            return Voices({}, {}, (ONE.peer_id,))
        told = {("amy", "piper"): (ONE.peer_id,), ("bob", "piper"): (ONE.peer_id,)}
        return Voices(told, {("bob", "piper"): "de"}, ())


def view_of(mesh: Mesh, own: str = "", on_change: Callable[[], None] = lambda: None) -> MeshView:
    return MeshView(mesh, own, on_change)  # type: ignore[arg-type]  # no more is asked of it


async def test_the_newest_word_of_each_but_ourselves_and_who_withdrew_is_known() -> None:
    changes: list[int] = []
    gone = record(Identity(b"3" * 32), slots=0, idle=0, withdrawn=True)
    newer = record(OTHER, sequence=2, idle=0)
    mesh = Mesh(record(ONE), record(OTHER), newer, gone)
    view = view_of(mesh, ONE.peer_id, lambda: changes.append(1))
    assert not view.offers("tts") and repr(view) == "<MeshView 0 records, 0 engines>"
    await view.refresh()
    assert list(view.records) == [newer] and [e.engine for e in view.engines] == ["piper"]
    assert view.offers("tts") and not view.offers("stt")
    assert changes == [1] and repr(view) == "<MeshView 1 records, 1 engines>"


@pytest.mark.parametrize("error", [NoProducer("nobody is online"), ValueError("a bug")])
async def test_what_was_known_stays_known_while_the_mesh_cannot_be_looked_up(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    mesh = Mesh(record(ONE))
    view = view_of(mesh)
    await view.refresh()
    mesh.fails = error
    await view.refresh()
    assert [r.publisher for r in view.records] == [ONE.public] and mesh.lookups == 2
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert bool(errors) is isinstance(error, ValueError), "a bug is logged"


async def test_voices_that_a_record_has_no_room_for_are_asked_for_once() -> None:
    mesh = Mesh(record(ONE, more=True))
    view = view_of(mesh)
    for _ in range(2):
        await view.refresh()
    assert mesh.asked_for_voices == 1
    assert {voice for engine in view.engines for voice in engine.models} >= {"amy", "bob"}
    mesh.found = [replace(mesh.found[0], more=False)]
    await view.refresh()
    assert mesh.asked_for_voices == 1
    assert "bob" not in {voice for engine in view.engines for voice in engine.models}


async def test_voices_of_a_producer_that_did_not_answer_are_asked_for_again_ever_less_often() -> (
    None
):
    """They were missing until its record changed."""
    mesh = Mesh(record(ONE, more=True))
    mesh.silent = 3
    view = view_of(mesh)
    asked = []
    for _ in range(20):
        await view.refresh()
        asked.append(mesh.asked_for_voices)
    assert asked == [1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4]
    assert {voice for engine in view.engines for voice in engine.models} >= {"amy", "bob"}


async def test_a_slow_look_up_is_shared_and_waited_for_a_while_only() -> None:
    mesh = Mesh(record(ONE))
    mesh.slow = asyncio.Event()
    view = view_of(mesh)
    await asyncio.gather(view.refresh(0.01), view.refresh(0.01))
    assert (mesh.lookups, len(view.records)) == (1, 0)
    mesh.slow.set()
    await view.refresh()
    assert (mesh.lookups, len(view.records)) == (1, 1)


async def test_it_looks_again_and_again_until_it_is_ended_amid_a_look_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gateway_limits, "REFRESH_EVERY", 0.0)
    mesh, looked = Mesh(record(ONE)), asyncio.Event()

    def stop_answering() -> None:
        if mesh.lookups == 3:
            mesh.slow = asyncio.Event()
            looked.set()

    view = view_of(mesh, on_change=stop_answering)
    running = asyncio.create_task(view.run())
    await asyncio.wait_for(looked.wait(), 10.0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert view._refreshing is not None
    await asyncio.wait([view._refreshing], timeout=10.0)
    assert view._refreshing.done(), "nothing of it goes on"
