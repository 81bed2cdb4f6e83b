"""The engines of the gateway's own node, with which the sound does not leave the machine.

They get a job if they can do it and are idle. A long recording goes to the whole mesh, which
includes them. If there is no other producer, jobs wait for them.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from privox_dht.errors import ProducerBusy, RequestRejected
from privox_dht.offer import Offer
from privox_dht.speech import (
    EngineInfo,
    Provider,
    SpeechRequest,
    TranscriptionRequest,
)
from privox_dht.speech_api.model_selection import select


class OwnEngines:
    """The node's own producer.

    Args:
        provider: admits and does jobs; has no engines if the node lends none.
        slots: jobs at a time.
        peer_id: of the node.
    """

    def __init__(self, provider: Provider, slots: int, peer_id: str) -> None:
        self.provider = provider
        self.peer_id = peer_id
        self._slots = slots

    def engines(self) -> Sequence[EngineInfo]:
        return self.provider.engines()

    def slots(self, service: str) -> int:
        """Jobs of a service that run at a time."""
        offered = any(info.service == service for info in self.engines())
        return self._slots if offered else 0

    @asynccontextmanager
    async def acquire(
        self, request: TranscriptionRequest | SpeechRequest, wait: float
    ) -> AsyncIterator[Provider | None]:
        """The provider, with a slot for this job held; None: it cannot do it, or is busy.

        Raises:
            ProducerBusy: no slot was free within `wait` seconds, if `wait` is not 0.
        """
        async with AsyncExitStack() as held:
            can = can_do(self.engines(), request)
            if can:
                try:
                    offer = Offer(wait=wait, own=True)
                    await held.enter_async_context(self.provider.admit(request.service, offer))
                except ProducerBusy:
                    if wait > 0:
                        raise
                    can = False
            yield self.provider if can else None


def can_do(engines: Sequence[EngineInfo], request: TranscriptionRequest | SpeechRequest) -> bool:
    """Whether one of these engines can do this job."""
    translate = isinstance(request, TranscriptionRequest) and request.translate
    voice = request.voice if isinstance(request, SpeechRequest) else ""
    try:
        return bool(
            select(
                engines,
                request.service,
                model=request.model,
                voice=voice,
                language=request.language,
                translate=translate,
            )
        )
    except RequestRejected:
        return False
