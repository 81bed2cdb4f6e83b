"""The engines of the gateway's own node: nearest, and the sound does not leave the machine.

A job is theirs when they can do it and are idle; a long recording is for all of the mesh, of which
they are a part. Where they are all there is, a job waits for them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import BinaryIO, Protocol

from privox_dht.errors import ProducerBusy, RequestRejected
from privox_dht.offer import Offer
from privox_dht.speech import (
    STT,
    TTS,
    AudioChunk,
    AudioInfo,
    EngineInfo,
    Provider,
    Segment,
    SpeechRequest,
    TranscriptionRequest,
)
from privox_dht.speech_api.model_selection import select


class LocalWorker(Protocol):
    """The node's own provider: see `speech.Provider`."""

    def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]: ...

    def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]: ...


class OwnEngines:
    """A provider in this very process.

    Args:
        provider: admits and does jobs; offers nothing, where the node lends nothing.
        slots: how many at a time.
        peer_id: under which others know it.
    """

    def __init__(self, provider: Provider, slots: int, peer_id: str) -> None:
        self.provider = provider
        self.peer_id = peer_id
        self._slots = slots

    def engines(self) -> Sequence[EngineInfo]:
        return self.provider.engines()

    def slots(self, service: str) -> int:
        """JobLog of a service at a time."""
        offered = any(info.service == service for info in self.engines())
        return self._slots if offered else 0

    @asynccontextmanager
    async def place(
        self, request: TranscriptionRequest | SpeechRequest, wait: float
    ) -> AsyncIterator[Provider | None]:
        """The provider while it has a place for this job; None: it cannot do it, or not now.

        Raises:
            ProducerBusy: it had no place within `wait` seconds, which are more than none.
        """
        service = STT if isinstance(request, TranscriptionRequest) else TTS
        async with AsyncExitStack() as held:
            can = can_do(self.engines(), service, request)
            if can:
                try:
                    offer = Offer(wait=wait, own=True)
                    await held.enter_async_context(self.provider.admit(service, offer))
                except ProducerBusy:
                    if wait > 0:
                        raise
                    can = False
            yield self.provider if can else None


def can_do(
    engines: Sequence[EngineInfo], service: str, request: TranscriptionRequest | SpeechRequest
) -> bool:
    """Whether one of these can do this job."""
    translate = isinstance(request, TranscriptionRequest) and request.translate
    voice = request.voice if isinstance(request, SpeechRequest) else ""
    try:
        return bool(
            select(
                engines,
                service,
                model=request.model,
                voice=voice,
                language=request.language,
                translate=translate,
            )
        )
    except RequestRejected:
        return False
