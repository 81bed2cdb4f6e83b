"""The mesh as a `speech.Provider`, for the API's pages.

admit        wait for a turn: as many jobs run as the mesh has slots for
transcribe   one job on the mesh -> its length, then segments as they come
speak        one job on the mesh -> sound, as it comes
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, BinaryIO, TypeVar

from nodes.gateway import gateway_limits, mesh_engines
from nodes.gateway.job_turns import JobTurns
from nodes.gateway.mesh_view import MeshView
from nodes.gateway.own_engines import OwnEngines, can_do
from nodes.gateway.pull_producers import NAME as PULLED
from nodes.gateway.pull_producers import PullProducer, PullProducers
from privox_dht.audio import wav_header
from privox_dht.dht import dht_limits
from privox_dht.dispatch.event_stream import file_of, last_of
from privox_dht.dispatch.job_events import Dialing, JobEvent
from privox_dht.dispatch.job_options import SpeechOptions, TranscriptionOptions
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.joined_segments import JoinedSegments
from privox_dht.errors import EngineFailed, NoProducer, ProducerLost
from privox_dht.mesh import Mesh
from privox_dht.offer import Offer
from privox_dht.records import Record
from privox_dht.speech import (
    SERVICES,
    AudioChunk,
    AudioInfo,
    EngineInfo,
    Provider,
    Segment,
    SpeechRequest,
    TranscriptionRequest,
)

T = TypeVar("T")
LocalWorker = Provider | PullProducer
LOCAL_CLIENT = "this machine"  # whose programs count as one client
_ADMITTED: ContextVar[Offer] = ContextVar("admitted")  # the offer of the job that this task does


class MeshProvider:
    """A `speech.Provider` whose work is done by a mesh.

    Args:
        wait: seconds that a job retries while all producers are busy, or the last one is lost.
        own: the engines of this node, which are preferred.
        joined: set once the node has joined the mesh; None: it starts a mesh of its own.
    """

    def __init__(
        self,
        mesh: Mesh,
        wait: float,
        own: OwnEngines,
        joined: asyncio.Event | None,
    ) -> None:
        self.own = own
        self.pulls = PullProducers(self._view_changed)
        self._joined = joined
        self._mesh = mesh
        self._wait = wait
        self._view = MeshView(mesh, own.peer_id, self._view_changed)
        self._turns = {service: JobTurns(partial(self._capacity, service)) for service in SERVICES}

    def __repr__(self) -> str:
        return f"<MeshProvider {self._view!r}, {self._turns!r}>"

    async def run(self) -> None:
        """Look up the producers regularly, until cancelled."""
        if self._joined is not None:
            await self._joined.wait()  # before that there are no records
        await self._view.run()

    async def _join(self) -> None:
        """Wait until the node has joined, for requests that come just after its start."""
        if self._joined is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(dht_limits.JOIN_TIMEOUT):
                    await self._joined.wait()

    def engines(self) -> Sequence[EngineInfo]:
        return [*self.own.engines(), *self._view.engines, *self.pulls.engines()]

    @property
    def records(self) -> Sequence[Record]:
        """The records of the other producers, some seconds old."""
        return self._view.records

    async def refresh(self) -> None:
        """Look up the producers now."""
        await self._view.refresh()

    def status(self) -> Mapping[str, Any]:
        return {service: self._status(service) for service in SERVICES}

    def _status(self, service: str) -> Mapping[str, int]:
        records, queue = self._view.records, self._turns[service].queue
        slots, idle = mesh_engines.slots(records, service)
        return {
            "producers": len({r.publisher for r in records if r.kind == service}),
            "slots": slots,
            "idle": idle,
            "running": queue.running,
            "waiting": queue.waiting,
        }

    @asynccontextmanager
    async def admit(self, service: str, offer: Offer) -> AsyncGenerator[None]:
        if not (self._view.offers(service) or self._local_slots(service)):
            await self._join()
            await self._view.refresh()
            if not (self._view.offers(service) or self._local_slots(service)):
                raise NoProducer(f"no producer on the mesh offers {service} now")
        client = offer.client or (offer.prefixes[0] if offer.prefixes else LOCAL_CLIENT)
        async with self._turns[service].enter(client, offer.wait):
            _ADMITTED.set(offer)
            yield

    def transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        def here(worker: LocalWorker) -> AsyncGenerator[AudioInfo | Segment]:
            items = worker.transcribe(upload, request)
            return items if request.streamed else _at_the_end(items)

        is_long = upload.seek(0, os.SEEK_END) > gateway_limits.OWN_UPLOAD
        there = partial(self._transcribe, upload, request)
        return self._local_or_mesh(request, is_long, here, there)

    def speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        def here(worker: LocalWorker) -> AsyncGenerator[AudioChunk]:
            return worker.speak(request)

        return self._local_or_mesh(request, False, here, partial(self._speak, request))

    async def _local_or_mesh(
        self,
        request: TranscriptionRequest | SpeechRequest,
        is_long: bool,
        here: Callable[[LocalWorker], AsyncGenerator[T]],
        there: Callable[[], AsyncGenerator[T]],
    ) -> AsyncGenerator[T]:
        """The local worker's results; without one, or if it fails before the first result, those of
        the mesh."""
        begun = False
        try:
            async with self._local_worker(request, is_long) as worker:
                if worker is not None:
                    async with aclosing(here(worker)) as items:
                        async for item in items:
                            begun = begun or not isinstance(item, AudioInfo)
                            yield item
                    return
        except (EngineFailed, ProducerLost):
            if begun or not can_do(self._view.engines, request):
                raise
        async with aclosing(there()) as items:
            async for item in items:
                yield item

    @asynccontextmanager
    async def _local_worker(
        self, request: TranscriptionRequest | SpeechRequest, is_long: bool
    ) -> AsyncGenerator[LocalWorker | None]:
        """The local worker for a job; None: the mesh should do it. Our own engines are preferred.
        Privox's producers load their model for each job, so they get only jobs that name them, or
        for which no other producer is found or idle."""
        service = request.service
        alone = not self._view.offers(service)
        named = request.model.partition(":")[0] == PULLED
        pulled = named or alone or not mesh_engines.slots(self._view.records, service)[1]
        pulled = pulled and self.pulls.slots(service) > 0
        async with AsyncExitStack() as held:
            worker: LocalWorker | None = None
            if alone or not is_long:
                wait = self._wait if alone and not pulled else 0.0
                worker = await held.enter_async_context(self.own.acquire(request, wait))
                if worker:
                    _set_producers(self.own.peer_id)
            if worker is None and pulled:
                wait = self._wait if alone or named else 0.0
                worker = await held.enter_async_context(self.pulls.acquire(request, wait))
            yield worker

    async def _transcribe(
        self, upload: BinaryIO, request: TranscriptionRequest
    ) -> AsyncGenerator[AudioInfo | Segment]:
        """Segments as they come if the request is streamed, none twice even if a producer is lost;
        else those of the last producer, without joints."""
        options = TranscriptionOptions.of(
            request, max_seconds=gateway_limits.MAX_SECONDS, wait=self._wait
        )
        events = _with_producers_set(self._mesh.transcription_events(upload, options))
        if not request.streamed:
            whole = (await last_of(events)).value
            yield AudioInfo(whole.seconds)
            for segment in whole.segments:
                yield segment
            return
        joined = JoinedSegments()
        async with aclosing(events):
            async for event in events:
                if isinstance(event, AudioInfo) and not joined.seconds:
                    yield event
                if not isinstance(event, Done) and (new := joined.take(event)):
                    yield new

    async def _speak(self, request: SpeechRequest) -> AsyncGenerator[AudioChunk]:
        options = SpeechOptions.of(request, wait=self._wait)
        events = self._mesh.speech_events(request.text, options)
        async with aclosing(file_of(_with_producers_set(events))) as file:
            async for sound in sounds_of(file):
                yield sound

    def _capacity(self, service: str) -> int:
        slots, _ = mesh_engines.slots(self._view.records, service)
        return max(1, slots + self._local_slots(service))

    def _local_slots(self, service: str) -> int:
        """Jobs that our own engines and the connected pull producers do at a time."""
        return self.own.slots(service) + self.pulls.slots(service)

    def _view_changed(self) -> None:
        for turns in self._turns.values():
            turns.capacity_changed()


async def _at_the_end(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """The same items, once all of them have come."""
    async with aclosing(items):
        kept = [item async for item in items]
    for item in kept:
        yield item


def _set_producers(*peer_ids: str) -> None:
    """Set the producers of this task's job."""
    if (offer := _ADMITTED.get(None)) is not None:
        offer.producers = peer_ids


async def _with_producers_set(events: AsyncGenerator[JobEvent[T]]) -> AsyncGenerator[JobEvent[T]]:
    """The same events; sets the job's producers."""
    async with aclosing(events):
        async for event in events:
            match event:
                case Done(shares=shares) if shares:
                    _set_producers(*shares)
                case Done(record=Record() as record) | Dialing(record=Record() as record):
                    _set_producers(record.peer_id)
            yield event


async def sounds_of(file: AsyncGenerator[bytes]) -> AsyncGenerator[AudioChunk]:
    """The sound in a streamed WAV file.

    Raises:
        EngineFailed: it is not WAV, or not 16-bit mono.
    """
    head, rate, odd = b"", 0, b""
    async for piece in file:
        if not rate:
            head += piece
            form = wav_header.parse_header(head)
            if form is None and len(head) < wav_header.LONGEST_HEADER:
                continue
            if form is None or not form.is_plain or form.rate <= 0:
                raise EngineFailed("the producer did not answer with 16-bit mono WAV")
            rate, piece = form.rate, head[form.begins :]
        pcm = odd + piece
        whole = len(pcm) - len(pcm) % wav_header.SAMPLE
        odd = pcm[whole:]
        if whole:
            yield AudioChunk(rate, pcm[:whole])
