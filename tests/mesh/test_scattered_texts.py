"""Long texts from Python, spoken by nodes in this process."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from node_kit import running
from test_mesh import at

from nodes.engines.echo import SECONDS_PER_CHARACTER, EchoSpeaker
from privox_dht import Mesh, limits
from privox_dht.dispatch.job_events import FileChunk, Scattered
from privox_dht.dispatch.job_options import SpeechOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.errors import AllProducersFailed, EngineFailed, RequestRejected
from privox_dht.scatter.passages import passages
from privox_dht.speech import AudioChunk, SpeechRequest

pytestmark = pytest.mark.timeout(150)
SENTENCE = "The old house stood on a hill above the river, and nobody lived in it. "
TEXT = SENTENCE * (limits.MAX_TEXT // len(SENTENCE) + 2)
ECHO: dict[str, Any] = {"model": "echo"}


@asynccontextmanager
async def mesh_of_two(folder: Path) -> AsyncIterator[Mesh]:
    """A mesh with two that speak, each two texts at a time."""
    async with (
        running(folder / "first") as first,
        running(folder / "a", "tts/cpu/echo", neighbour=first.dht.port, slots=2),
        running(folder / "b", "tts/cpu/echo", neighbour=first.dht.port, slots=2),
        Mesh.join(at(first)) as mesh,
    ):
        yield mesh


def seconds_of(file: bytes) -> float:
    with wave.open(io.BytesIO(file)) as sound:
        return float(sound.getnframes() / sound.getframerate())


async def test_a_long_text_is_spoken_whole_and_each_passage_is_somebodys(tmp_path: Path) -> None:
    async with mesh_of_two(tmp_path) as mesh:
        events = [event async for event in mesh.speech_events(TEXT, SpeechOptions(**ECHO))]
    done = events[-1]
    assert isinstance(done, Done)
    spoken = sum(len(passage.text) for passage in passages(TEXT)) * SECONDS_PER_CHARACTER
    assert seconds_of(done.value) == pytest.approx(spoken, rel=0.05)
    assert sum(done.shares.values()) == len(list(passages(TEXT))) > 1
    far = [event for event in events if isinstance(event, Scattered)]
    assert far[0].producers == 2 and far[0].done == 0.0
    assert far[-1].done == pytest.approx(far[-1].seconds, rel=0.05)


@pytest.mark.parametrize("format", ["wav", "pcm", "flac"])
async def test_it_comes_part_by_part_to_whoever_plays_it_and_is_not_kept(
    tmp_path: Path, format: str
) -> None:
    options = SpeechOptions(**ECHO, format=format, keep=False)
    async with mesh_of_two(tmp_path) as mesh:
        events = [event async for event in mesh.speech_events(TEXT, options)]
    done = events[-1]
    assert isinstance(done, Done) and done.value == b"", "it is not kept"
    parts = [event.data for event in events if isinstance(event, FileChunk)]
    assert len(parts) >= len(list(passages(TEXT))) or format == "flac"
    sound = b"".join(parts)
    assert sound[:4] == {"wav": b"RIFF", "flac": b"fLaC"}.get(format, sound[:4])
    if format == "pcm":
        assert len(sound) % 2 == 0 and any(sound)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a" * (limits.MAX_BOOK + 1), "2,000,001 characters; at most 2,000,000"),
        (f"<speak>{TEXT}</speak>", "SSML of more than 4,096 characters cannot be cut"),
    ],
)
async def test_a_text_that_cannot_be_cut_is_rejected_before_anybody_is_asked(
    tmp_path: Path, text: str, why: str
) -> None:
    async with running(tmp_path / "alone") as alone, Mesh.join(at(alone)) as mesh:
        with pytest.raises(RequestRejected, match=why):
            await mesh.speech(text, **ECHO)


async def test_a_passage_that_nobody_can_speak_is_named_and_the_others_are_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak = EchoSpeaker.speak

    async def choosy(self: EchoSpeaker, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        if "poison" in request.text:
            raise EngineFailed("it fails over this word, as it was told to")
        async for sound in speak(self, request):
            yield sound

    monkeypatch.setattr(EchoSpeaker, "speak", choosy)
    text = TEXT.replace(SENTENCE, "Here is poison for whoever speaks it aloud to a room. ", 1)
    heard = bytearray()
    async with mesh_of_two(tmp_path) as mesh:
        with pytest.raises(AllProducersFailed, match='no producer could speak "Here is poison'):
            async for part in mesh.audio(text, **ECHO):
                heard += part
    assert len(heard) > 1_000_000


async def test_a_producer_that_sends_more_sound_than_any_passage_has_is_not_listened_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_PASSAGE", 10_000)
    async with mesh_of_two(tmp_path) as mesh:
        with pytest.raises(AllProducersFailed, match="of sound for one passage"):
            await mesh.speech(TEXT, **ECHO)


async def test_an_error_leaves_what_was_spoken_in_a_file_that_is_written_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLAC states its length in its first bytes: all of an hour was lost with its last passage."""
    speak = EchoSpeaker.speak

    async def endless(self: EchoSpeaker, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        if "endless" in request.text:
            await asyncio.Event().wait()
        async for sound in speak(self, request):
            yield sound

    monkeypatch.setattr(EchoSpeaker, "speak", endless)
    heard = bytearray()
    async with mesh_of_two(tmp_path) as mesh:
        with pytest.raises(AllProducersFailed, match="not done within 3 s"):
            async for part in mesh.audio(
                f"{TEXT} This one is endless.", **ECHO, format="flac", timeout=3.0
            ):
                heard += part
    assert heard[:4] == b"fLaC" and len(heard) > 10_000
