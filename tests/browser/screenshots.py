"""Takes the pictures of the gateway's page that the README shows: a desk by day, a phone by night.

    python tests/browser/screenshots.py docs      after tests/browser/install.sh

The mesh behind it is real; its engines say what stands here.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import BinaryIO

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), *map(str, (HERE.parent / "mesh", *HERE.parents[:2]))]
sys.path.append(str(Path(sys.prefix) / "browser" / "python"))

from api_kit import Counting, clip  # noqa: E402
from browser_kit import Screen, chromium  # noqa: E402
from gateway_kit import GatewayMesh  # noqa: E402

from privox_dht.speech import (  # noqa: E402
    STT,
    TTS,
    AudioInfo,
    EngineInfo,
    Segment,
    TranscriptionRequest,
)

SENTENCES = (
    "Good morning everybody, and welcome.",
    "Today we look at who waters the garden while the others are away.",
    "Ana has the key, Jonas knows where the hose is, and I will write the list.",
    "If nobody objects, we meet again on Thursday at nine.",
)
DESK, PHONE = (1200, 1560, 1.0), (390, 844, 2.0)


class Lender(Counting):
    """A producer with engines of these names."""

    def __init__(self, slots: int, *engines: EngineInfo) -> None:
        super().__init__(slots)
        self._engines = engines

    def engines(self) -> Sequence[EngineInfo]:
        return self._engines

    async def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        yield AudioInfo(15.2)
        for n, sentence in enumerate(SENTENCES):
            yield Segment(sentence, 3.8 * n, 3.8 * n + 3.6, language="en")


LENDERS = (
    (2, EngineInfo(STT, "gpu", "faster-whisper", ("large-v3", "small"), translates=True)),
    (1, EngineInfo(STT, "cpu", "faster-whisper", ("small",)),
     EngineInfo(TTS, "cpu", "piper", ("en_US-joe-medium", "de_DE-thorsten-medium"))),
    (4, EngineInfo(TTS, "cpu", "espeak-ng", ("en-us", "de", "fr-fr"))),
)  # fmt: skip


def use(page: Screen, recording: Path) -> None:
    """One job of each kind."""
    page.until("#now-text", "3 producers")
    page.find("#file").send_keys(str(recording))
    page.until("#hear-status", "Done.")
    page.find("#text").send_keys(" ".join(SENTENCES[:2]))
    page.find("#say").click()
    page.until("#speak-status", "Done")
    page.until("#jobs", "Speech to text", "Text to speech")


def take(url: str, folder: Path, recording: Path) -> None:
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as page:
        page.driver.get(url)
        use(page, recording)
        for name, size, theme in (("desk", DESK, "light"), ("phone", PHONE, "dark")):
            page.size(*size)
            page.media(prefers_color_scheme=theme, prefers_reduced_motion="reduce")
            page.script("scrollTo(0, 0); document.activeElement.blur()")
            page.driver.save_screenshot(str(folder / f"page-{name}.png"))


async def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "thursday.wav"
        recording.write_bytes(clip(15.2))
        async with GatewayMesh.opened(Path(scratch)) as mesh:
            for slots, *engines in LENDERS:
                await mesh.lend(Lender(slots, *engines))
            await mesh.see()
            await asyncio.to_thread(take, mesh.url, folder, recording)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
