"""Transcription by a server that returns only text: block by block, each one segment."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from nodes.engines import benchmark, pauses
from nodes.engines.remote import ServerEngine
from nodes.engines.remote_openai import max_text_length
from privox_dht import errors, speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PROBE_SECONDS = 2  # of audio


class BlockTranscriber(ServerEngine):
    """Speech to text at a server whose API does not translate."""

    service = speech.STT
    rate = 16_000  # Hz
    dialect = ""  # the API's name, for messages
    block = 0.0  # seconds of audio in one request, and in one segment

    async def transcribe(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> AsyncGenerator[speech.Segment]:
        """See `speech.Transcriber`."""
        if request.translate:
            raise errors.RequestRejected(
                f"servers that speak {self.dialect} do not translate", code="not_supported"
            )
        for start, end in await asyncio.to_thread(pauses.blocks, pcm, self.rate, self.block):
            text, language = await self._block(pcm[start:end], request)
            if len(text) > max_text_length(self.block):
                raise self.server.bad_answer(f"more text than {self.block:.0f} s of sound hold")
            if text:
                span = round(start / self.rate, 2), round(end / self.rate, 2)
                yield speech.Segment(text, *span, (), language or request.language)

    @abstractmethod
    async def _block(
        self, pcm: NDArray[np.float32], request: speech.TranscriptionRequest
    ) -> tuple[str, str]:
        """The text of one block, and its language ("": the server does not say)."""

    async def _measure(self) -> float:
        return await benchmark.transcribing_speed(self, benchmark.babble(PROBE_SECONDS, self.rate))
