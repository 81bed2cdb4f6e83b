"""Who is counted as having heard a piece, whatever happens to it."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.job_events import Emit, Uploading
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.selection import Requirements
from privox_dht.errors import ProducerBusy, ProducerLost
from privox_dht.records import FARM, Direct, Record, Relayed
from privox_dht.scatter.cut import RATE, Piece
from privox_dht.scatter.piece_work import PieceWork
from privox_dht.scatter.private import PrivateRecording, ShuffledPieces
from privox_dht.scatter.shares import Shares
from privox_dht.speech import Segment, Transcript
from privox_dht.speech_api.client import Endpoint, SpeechClient

FARMS = (b"f" * 32, b"g" * 32)


def piece(number: int) -> Piece:
    return Piece(number, number * 20 * RATE, np.zeros(20 * RATE, np.int16))


def producer(name: bytes) -> Record:
    return Record(
        publisher=name * 32, mesh=b"m" * 8, kind="stt", backend="cpu", engine="e", slots=1, idle=1,
        routes=tuple(map(Relayed, FARMS)),
    )  # fmt: skip


class Directory:
    """Two producers, each parked at two farms."""

    records = (producer(b"a"), producer(b"b"))

    async def find(self, kind: str, backend: str = "", *narrower: str, **how: Any) -> list[Record]:
        return [record for record in self.records if record.backend == backend]

    async def find_farm(self, public: bytes, *, fresh: bool = False) -> Record | None:
        where = Direct(f"192.0.{2 + FARMS.index(public)}.1", 1776)
        return Record(publisher=public, mesh=b"m" * 8, kind=FARM, routes=(where,))


async def test_who_was_lost_with_a_piece_has_heard_it_though_it_is_busy_by_the_next_farm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broken job held its slot when the next farm asked for it. So it counted as one that had
    heard nothing, and could get the piece beside this one."""
    asked: list[bytes] = []

    async def transcribe(
        work: PieceWork, endpoint: Endpoint, record: Record | None, emit: Emit
    ) -> Transcript:
        assert record is not None
        asked.append(record.publisher[:1])
        if len(asked) == 2:
            raise ProducerBusy(retry_after=5.0)
        emit(Uploading(16_384, 640_044))
        if len(asked) == 1:
            raise ProducerLost("the farm is gone", begun=True)
        return Transcript((Segment("word", 1.0, 2.0),), 20.0)

    monkeypatch.setattr(PieceWork, "__call__", transcribe)
    peers = {record.peer_id: record.peer_id for record in Directory.records}
    shares = Shares({0: 20.0}, 1.0)
    assert shares.plan(list(peers), random.Random(1))
    first = shares.planned(0)
    source: Any = SimpleNamespace(seconds=20.0, decode_error=None)
    dispatcher = Dispatcher(Directory(), allow=lambda host: True, rng=random.Random(1))
    async with SpeechClient(allow=lambda host: True) as client:
        job = PrivateRecording(
            dispatcher, client, ShuffledPieces([piece(0)], source),
            Requirements("stt", via_farm=True), TranscriptionOptions(scatter="private"),
            lambda event: None, shares, peers,
        )  # fmt: skip
        done = await job.run()
    (second,) = done.shares
    assert len(asked) == 3 and asked[0] == asked[1] != asked[2]
    assert second != first
    assert shares.heard(first) == shares.heard(second) == {0}
