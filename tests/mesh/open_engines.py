"""Engines for apps that name none: one hears words made of tones, one speaks a tone for each word.

Nodes that are started after `knows_open_engines` have both, as if they were installed.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest
from api_kit import RATE, TONE, tone
from tone_talk import knows_tones
from tone_words import CONTROL, ToneWords

from nodes.engines import echo
from privox_dht.speech import AudioChunk, SpeechRequest

EARS, VOICE = "stt/cpu/open-tones", "tts/cpu/open-voice"
PITCH = 210.0  # Hz of every word
WORD = 2 * round(TONE * RATE)  # bytes of its sound


class OpenTones(ToneWords):
    """Hears tones for whoever names nobody."""

    name = "open-tones"

    def __init__(self, **how: object) -> None:
        super().__init__(**how)  # type: ignore[arg-type]
        self.info = replace(
            self.info, engine=self.name, models=("tones",), languages=("en",), only_named=False
        )


class OpenVoice(echo.EchoSpeaker):
    """Speaks for whoever names nobody; with a number in its name, as many words in a second."""

    name = "open-voice"

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        super().__init__(backend=backend)
        self._rate = float(model or 0)
        self.info = replace(
            self.info, engine=self.name, models=("low",), languages=("en",), only_named=False
        )

    async def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        for _ in request.text.split():
            if self._rate:
                await asyncio.sleep(1 / self._rate)
            yield AudioChunk(RATE, tone(TONE / request.speed, PITCH))


def knows_open_engines(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Nodes that are started from now on have them; `folder` is there, and theirs."""
    knows_tones(folder, patch)
    package = folder / "site" / "open_engines-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: open-engines\nVersion: 1\n")
    (package / "entry_points.txt").write_text(
        "[privox_dht.transcribers]\nopen-tones = open_engines:OpenTones\n"
        "[privox_dht.speakers]\nopen-voice = open_engines:OpenVoice\n"
    )
    patch.setenv(CONTROL, str(folder))
