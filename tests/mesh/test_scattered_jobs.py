"""Scattered recordings from Python, nodes in this process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest
from test_mesh import at
from tone_nodes import producers
from tone_talk import talk

from privox_dht import Mesh
from privox_dht.audio import wav
from privox_dht.dispatch.job_events import Scattered
from privox_dht.dispatch.job_options import TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed
from privox_dht.scatter import scattered_job
from privox_dht.transcript import render

pytestmark = pytest.mark.timeout(150)
SAID = talk(11, ("talk", 70), ("breathless", 50), ("silence", 10), ("talk", 40))
SOUND = wav(SAID.sound.tobytes(), 16_000)


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.soak)])
async def test_not_one_byte_depends_on_who_works_on_how_much_of_it(
    tmp_path: Path, patch: pytest.MonkeyPatch, times: int
) -> None:
    rng = random.Random(times)
    srt = set()
    async with producers(tmp_path, patch, 4) as (farm, _), Mesh.join(at(farm)) as mesh:
        peers = [record.peer_id for record in await mesh.producers(["stt"])]
        for _ in range(times):
            only = rng.sample(peers, rng.randint(2, len(peers)))
            done = await mesh.transcript(
                SOUND, model="tone-words", words=True, jobs=rng.randint(1, 8), only=only
            )
            assert set(done.shares) <= set(only)
            assert done.value.text == SAID.text
            srt.add(render(done.value, "srt"))
    assert len(srt) == 1


async def test_how_far_it_is_counts_all_producers_and_all_of_the_recording(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "together").write_text("3")
    async with producers(tmp_path, patch, 3) as (farm, _), Mesh.join(at(farm)) as mesh:
        asked = TranscriptionOptions(model="tone-words")
        events = [event async for event in mesh.transcription_events(SOUND, asked)]
    far = [event for event in events if isinstance(event, Scattered)]
    assert all(event.seconds == pytest.approx(SAID.seconds, abs=0.1) for event in far)
    assert [event.producers for event in far[:2]] == [3, 3], "at first, and after one piece"
    assert all(1 <= event.producers <= 3 for event in far)
    assert far[0].done == 0.0 < far[-1].done <= SAID.seconds


async def test_a_piece_that_nobody_can_do_is_left_out_and_named(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    at_word = next(i for i, word in enumerate(SAID.words) if word.start > 30)
    while sum(w.text == SAID.words[at_word].text for w in SAID.words) > 1:
        at_word += 1
    poison = SAID.words[at_word]
    (tmp_path / "poison").write_text(poison.text)
    told = []
    async with producers(tmp_path, patch, 3) as (farm, _), Mesh.join(at(farm)) as mesh:
        with pytest.raises(AllProducersFailed, match=r"could transcribe \d:\d\d to \d:\d\d: "):
            async for segment in mesh.segments(SOUND, model="tone-words"):
                told.append(segment)
    text = " ".join(segment.text for segment in told)
    assert poison.text not in text
    assert text.startswith(" ".join(word.text for word in SAID.words[:15]))
    assert text.endswith(" ".join(word.text for word in SAID.words[-80:]))


async def test_all_of_it_is_in_the_language_of_most_of_its_beginning(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """One producer takes whatever it hears for German, and all can do what they are asked for."""
    languages = ("de,en", "en,de", "en,de")
    async with (
        producers(tmp_path, patch, 3, languages=languages) as (farm, _),
        Mesh.join(at(farm)) as mesh,
    ):
        done = await mesh.transcript(SOUND, model="tone-words")
        asked = await mesh.transcript(SOUND, model="tone-words", language="de")
    assert done.value.language in ("de", "en")
    assert {segment.language for segment in done.value.segments} == {done.value.language}
    assert done.value.text == asked.value.text == SAID.text
    assert {segment.language for segment in asked.value.segments} == {"de"}


async def test_music_before_the_first_words_is_no_end(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """More pieces without a word than are kept, before those that decide the language."""
    patch.setattr(scattered_job, "MAX_HELD", 1)
    beats = np.zeros(150 * 16_000, np.int16)
    for begin in range(0, beats.size, 4_800):
        beats[begin : begin + 80] = 12_000
    said = talk(3, ("talk", 80))
    sound = wav(np.concatenate([beats, said.sound]).tobytes(), 16_000)
    async with producers(tmp_path, patch, 2) as (farm, _), Mesh.join(at(farm)) as mesh:
        done = await mesh.transcript(sound, model="tone-words", jobs=2)
    assert done.value.text == said.text
    assert done.value.seconds == pytest.approx(150 + said.seconds, abs=0.1)


async def test_a_run_that_was_interrupted_goes_on_with_what_was_not_heard(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    part = tmp_path / "meeting.srt.part"
    async with producers(tmp_path, patch, 2) as (farm, given), Mesh.join(at(farm)) as mesh:

        def pieces() -> int:
            return sum(len(file.read_text().splitlines()) for file in given if file.exists())

        whole = await mesh.transcript(SOUND, model="tone-words", words=True)
        all_of_it = pieces()
        async with aclosing(
            mesh.segments(SOUND, model="tone-words", words=True, jobs=1, resume=part)
        ) as heard:
            async for _ in heard:
                break
        before = pieces()
        assert part.exists() and before < 2 * all_of_it - 1, "it was interrupted"
        asked = TranscriptionOptions(model="tone-words", words=True, resume=part)
        events = [event async for event in mesh.transcription_events(SOUND, asked)]
    done = events[-1]
    assert isinstance(done, Done) and done.value == whole.value
    kept = max(event.resumed for event in events if isinstance(event, Scattered))
    assert 0 < kept < SAID.seconds
    assert pieces() - before < all_of_it
    assert not part.exists()


async def test_a_part_is_never_taken_for_the_whole(
    tmp_path: Path, patch: pytest.MonkeyPatch
) -> None:
    """Whatever mistake of ours keeps pieces from being given out."""
    async with producers(tmp_path, patch, 2) as (farm, _), Mesh.join(at(farm)) as mesh:
        with pytest.raises(RuntimeError, match="never requested"):
            await mesh.transcript(SOUND, model="tone-words", jobs=0)
