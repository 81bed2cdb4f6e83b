"""Recordings of which nobody hears much: nodes in this process, parked at a farm."""

from __future__ import annotations

import itertools

import pytest
from test_mesh import at
from tone_nodes import producers
from tone_talk import Talk, talk

from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.errors import NoProducer, RequestRejected
from privox_dht.scatter.cut import Cutter

pytestmark = pytest.mark.timeout(150)
SAID = talk(7, ("talk", 200), ("silence", 20), ("talk", 60))
SOUND = wav(SAID.sound.tobytes(), 16_000)


def pieces_of(said: Talk) -> list[tuple[float, str]]:
    cutter = Cutter()
    pieces = [*cutter.feed(said.sound), *cutter.finish()]
    return [
        (p.seconds, " ".join(w.text for w in said.words if p.start <= w.start < p.end))
        for p in pieces
    ]


async def test_no_producer_hears_two_neighbouring_pieces_nor_more_than_its_share(tmp_path, patch):
    async with (
        producers(tmp_path, patch, 6, reachable="no") as (farm, logs),
        Mesh.join(at(farm), hidden=True) as mesh,
    ):
        options = {"model": "tone-words", "scatter": "private"}
        done = await mesh.transcript(SOUND, **options)
        assert done.value.text == SAID.text
        assert all(a.route.startswith("relayed") for a in done.attempts)
        pieces = pieces_of(SAID)
        numbers = {words: number for number, (_, words) in enumerate(pieces)}
        whole = sum(seconds for seconds, _ in pieces)
        heard = []
        for log in logs:
            lines = log.read_text().splitlines() if log.exists() else []
            heard.append(sorted({numbers[line.partition(" ")[2]] for line in lines}))
        assert sorted(itertools.chain(*heard)) == list(range(len(pieces)))
        for some in heard:
            assert not any(b - a == 1 for a, b in itertools.pairwise(some))
            assert sum(pieces[number][0] for number in some) <= 0.25 * whole


async def test_with_one_too_few_it_is_refused_and_nobody_hears_anything(tmp_path, patch):
    async with (
        producers(tmp_path, patch, 3, reachable="no") as (farm, logs),
        Mesh.join(at(farm), hidden=True) as mesh,
    ):
        options = {"model": "tone-words", "scatter": "private"}
        with pytest.raises(NoProducer, match=r"\d more producers are needed .* nothing was sent"):
            await mesh.transcript(SOUND, **options)
        short = talk(8, ("talk", 20))
        with pytest.raises(RequestRejected, match="too short for --share"):
            await mesh.transcript(wav(short.sound.tobytes(), 16_000), **options)
        assert not any(log.exists() for log in logs)


@pytest.fixture
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch
