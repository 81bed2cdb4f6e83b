"""Recordings of which nobody hears much: nodes in this process, parked at a farm."""

import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_mesh import at
from tone_nodes import producers
from tone_talk import Talk, talk

from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.errors import NoProducer, RequestRejected
from privox_dht.scatter.cut import Cutter, Piece

pytestmark = pytest.mark.timeout(150)
SAID = talk(7, ("talk", 200), ("silence", 20), ("talk", 60))
SOUND = wav(SAID.sound.tobytes(), 16_000)


def cut(said: Talk) -> list[Piece]:
    cutter = Cutter()
    return [*cutter.feed(said.sound), *cutter.finish()]


def pieces_of(said: Talk) -> list[tuple[float, str]]:
    return [
        (p.seconds, " ".join(w.text for w in said.words if p.start <= w.start < p.end))
        for p in cut(said)
    ]


def keeps_the_promise(logs: list[list[str]], said: Talk, share: float) -> None:
    """Every piece was heard, neighbours by different ones, and too much by nobody."""
    pieces = pieces_of(said)
    numbers = {words: number for number, (_, words) in enumerate(pieces)}
    whole = sum(seconds for seconds, _ in pieces)
    heard = [sorted({numbers[line.partition(" ")[2]] for line in lines}) for lines in logs]
    assert sorted(itertools.chain(*heard)) == list(range(len(pieces)))
    for some in heard:
        assert not any(b - a == 1 for a, b in itertools.pairwise(some))
        assert sum(pieces[number][0] for number in some) <= share * whole


async def test_no_producer_hears_two_neighbouring_pieces_nor_more_than_its_share(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    async with (
        producers(tmp_path, patch, 6, reachable="no") as (farm, logs),
        Mesh.join(at(farm), hidden=True) as mesh,
    ):
        options: dict[str, Any] = {"model": "tone-words", "scatter": "private"}
        done = await mesh.transcript(SOUND, **options)
        assert done.value.text == SAID.text
        assert all(a.route.startswith("relayed") for a in done.attempts)
        keeps_the_promise([_lines(log) for log in logs], SAID, 0.25)


@pytest.mark.parametrize(
    ("seed", "jobs"),
    [
        (0, 3),
        *(
            pytest.param(seed, 125, marks=[pytest.mark.soak, pytest.mark.timeout(900)])
            for seed in range(1, 9)  # a thousand in all
        ),
    ],
)
async def test_the_promise_holds_for_any_recording_and_with_one_too_few_nothing_is_sent(
    tmp_path: Path, patch: pytest.MonkeyPatch, seed: int, jobs: int
) -> None:
    """As many producers as the client says are needed suffice; with one fewer it sends nothing."""
    rng, done, enough = random.Random(seed), 0, 0
    async with (
        producers(tmp_path, patch, 10, reachable="no") as (farm, logs),
        Mesh.join(at(farm), hidden=True) as mesh,
    ):
        peers = [record.peer_id for record in await mesh.producers(["stt"])]
        assert len(peers) == 10
        while done < jobs:
            said = talk(rng.randrange(1 << 30), ("talk", rng.uniform(60, 200)))
            share = rng.uniform(0.2, 0.5)

            async def ask(
                count: int, logs: list[Path] = logs, said: Talk = said, share: float = share
            ) -> tuple[list[list[str]], int]:
                """What each heard; or nothing, and how many more there should be."""
                before = [_lines(log) for log in logs]
                sound, only = wav(said.sound.tobytes(), 16_000), rng.sample(peers, count)
                how: dict[str, Any] = {
                    "scatter": "private",
                    "share": share,
                    "only": only,
                    "model": "tone-words",
                }
                missing = 0
                try:
                    assert (await mesh.transcript(sound, **how)).value.text == said.text
                except NoProducer as exc:
                    missing = int(re.findall(r"^(\d+) more producers are needed", str(exc))[0])
                after = [_lines(log) for log in logs]
                return [a[len(b) :] for a, b in zip(after, before, strict=True)], missing

            pieces = cut(said)
            if any(p.overlaps or p.seconds > 0.9 * share * said.seconds for p in pieces):
                continue
            heard, missing = await ask(1)
            assert not any(heard)
            enough = 1 + missing
            if enough > len(peers):
                continue
            heard, missing = await ask(enough - 1)
            assert missing
            assert not any(heard)
            heard, missing = await ask(enough)
            assert not missing, "it said that so many suffice"
            keeps_the_promise(heard, said, share)
            done += 1
    print(f"{done} private jobs kept it; {2 * done} were refused with no word in any log")


def _lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


async def test_with_one_too_few_it_is_refused_and_nobody_hears_anything(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    async with (
        producers(tmp_path, patch, 3, reachable="no") as (farm, logs),
        Mesh.join(at(farm), hidden=True) as mesh,
    ):
        options: dict[str, Any] = {"model": "tone-words", "scatter": "private"}
        with pytest.raises(NoProducer, match=r"\d more producers are needed .* nothing was sent"):
            await mesh.transcript(SOUND, **options)
        short = talk(8, ("talk", 20))
        with pytest.raises(RequestRejected, match="too short for --share"):
            await mesh.transcript(wav(short.sound.tobytes(), 16_000), **options)
        assert not any(log.exists() for log in logs)


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch
