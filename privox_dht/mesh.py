"""The mesh from Python: join it, transcribe recordings, speak texts.

    async with Mesh.join(["host:5678"]) as mesh:
        text = await mesh.transcribe("meeting.ogg")
        audio = await mesh.speak("Good day")
        async for segment in mesh.segments("meeting.ogg"):
            print(segment.text)

A `Mesh` is a guest: it reads the DHT, and no node keeps it as a contact.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, TypeVar

from privox_dht import limits
from privox_dht.addresses import parse_neighbours
from privox_dht.directory.failover import Directory
from privox_dht.directory.guest_join import GuestJoin
from privox_dht.dispatch.dispatcher import Dispatcher
from privox_dht.dispatch.event_stream import file_of, last_of
from privox_dht.dispatch.fallback import endpoint_of, with_fallback
from privox_dht.dispatch.job_events import JobEvent
from privox_dht.dispatch.job_options import (
    DEFAULT_SPEECH,
    DEFAULT_TRANSCRIPTION,
    PRIVATE,
    JobOptions,
    SpeechOptions,
    TranscriptionOptions,
    takes_keywords,
)
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.joined_segments import segments_of
from privox_dht.dispatch.voice_search import find_voices
from privox_dht.dispatch.work import SpeechWork, TranscriptionWork, Work
from privox_dht.errors import ConfigError, NotJoined
from privox_dht.identity import Identity
from privox_dht.interfaces import has_route
from privox_dht.membership.secret_file import membership_of
from privox_dht.records import FARM, Record
from privox_dht.scatter.scattered_text import speech_job
from privox_dht.scatter.transcription import transcription_job
from privox_dht.speech import BACKENDS, SERVICES, STT, TTS, Segment, Transcript
from privox_dht.speech_api.client import Endpoint, SpeechClient
from privox_dht.voices import Voices

T = TypeVar("T")
Recording = bytes | str | Path | BinaryIO


@dataclass(slots=True)
class Mesh:
    """A joined mesh. Made by `Mesh.join`."""

    dht: Directory
    client: SpeechClient
    dispatcher: Dispatcher
    fallback: Endpoint | None = None
    joining: GuestJoin | None = None  # None: the DHT node was joined elsewhere

    @classmethod
    @asynccontextmanager
    async def join(
        cls,
        neighbours: str | Sequence[str | tuple[str, int]] = (),
        *,
        identity: Identity | None = None,
        lan: bool = False,
        network: str = "privox",
        secret_file: Path | str | None = None,
        state: Path | None = None,
        timeout: float = 5.0,
        fallback: str = "",
        fallback_token: str = "",
        hidden: bool = False,
    ) -> AsyncIterator[Mesh]:
        """Join the mesh through any of `neighbours` ("host:port"), as a guest.

        Args:
            neighbours: any nodes of the mesh, in a list or in one string with commas between
                them; several may be dead. No others are contacted, except
                nodes met through them before. Empty: those in `state` from the last time.
            identity: proved to producers with each job, for those that lend to chosen clients only
                (`Identity.load(folder)` keeps one); None: anonymous.
            lan: join through nodes that announce themselves in the local network, in place of
                `neighbours` (needs the extra `lan`).
            network: the name of the mesh.
            secret_file: a file with the secret of a private mesh, which every member has.
            state: a folder to remember nodes in, for the next time.
            timeout: seconds to wait for a neighbour to answer.
            fallback: base URL of an OpenAI-style server to use when the mesh cannot do a job.
            fallback_token: a bearer token for it.
            hidden: contact the neighbours only, which look up for us (over HTTPS), so that a job
                with `via_farm` can go to any other producer without revealing our address to it.
                Otherwise more nodes learn our address, and fewer producers can be used.

        Raises:
            NotJoined: no node answered, and there is no fallback. (With one, joining is retried in
                the background until a node answers.)
            ConfigError: a neighbour or the fallback is not an address; the secret cannot be used;
                both neighbours and `lan` are given; what `lan` needs is not installed.
        """
        endpoint = endpoint_of(fallback, fallback_token) if fallback else None
        wanted = parse_neighbours(neighbours)
        if lan and wanted:
            raise ConfigError("give neighbours, or lan to find some in the local network: not both")
        member = membership_of(Path(secret_file), network) if secret_file else None
        dht = Directory(
            Identity.generate(), network=network, host=None, guest=True, state=state,
            hidden=hidden, member=member,
        )  # fmt: skip
        async with dht, SpeechClient(allow=dht.allows, member=member, identity=identity) as client:
            mesh = cls.over(dht, client, endpoint)
            mesh.joining = GuestJoin(dht, wanted, lan, timeout)
            try:
                await mesh.joining.join()
            except NotJoined:
                if endpoint is None:
                    raise
            later = asyncio.create_task(mesh.joining.keep_trying())
            try:
                yield mesh
            finally:
                later.cancel()
                await asyncio.gather(later, return_exceptions=True)

    @classmethod
    def over(cls, dht: Directory, client: SpeechClient, fallback: Endpoint | None = None) -> Mesh:
        """The mesh over a DHT node that is managed elsewhere, such as a node's own."""
        dispatcher = Dispatcher(
            dht, allow=dht.allows, probe=client.status, has_route=has_route,
            online=dht.hears_anybody, contacted=dht.has_contacted, clock_advice=dht.clock_advice,
            wait_for_silent=fallback is None,
        )  # fmt: skip
        return cls(dht, client, dispatcher, fallback)

    @takes_keywords(TranscriptionOptions)
    async def transcribe(self, audio: Recording, options: TranscriptionOptions) -> str:
        """The text of a recording in any common format; see `transcript`."""
        return (await last_of(self.transcription_events(audio, options))).value.text

    @takes_keywords(SpeechOptions)
    async def speak(self, text: str, options: SpeechOptions) -> bytes:
        """`text` as audio (a WAV file unless `format` says otherwise); see `speech`."""
        return (await last_of(self.speech_events(text, options))).value

    @takes_keywords(TranscriptionOptions)
    async def transcript(self, audio: Recording, options: TranscriptionOptions) -> Done[Transcript]:
        """A recording's segments with times, and the producer.

        Args:
            audio: a file in any common format: its bytes, its path, or a seekable binary file,
                which stays open. Sent as it is.
            options: each as a keyword; see `TranscriptionOptions`.

        Raises:
            RequestRejected, NoProducer, AllProducersBusy, AllProducersFailed, NotJoined.
            TypeError: there is no such option.
            ConfigError: an option's value is invalid.
        """
        return await last_of(self.transcription_events(audio, options))

    @takes_keywords(SpeechOptions)
    async def speech(self, text: str, options: SpeechOptions) -> Done[bytes]:
        """`text` as a whole audio file, and the producer.

        Args:
            text: at most `limits.MAX_BOOK` characters. One of more than `limits.MAX_TEXT` is cut
                between its sentences, and spoken by several producers with one voice.
            options: each as a keyword; see `SpeechOptions`.

        Raises: see `transcript`.
        """
        return await last_of(self.speech_events(text, options))

    @takes_keywords(TranscriptionOptions)
    def segments(self, audio: Recording, options: TranscriptionOptions) -> AsyncGenerator[Segment]:
        """A recording's segments as they are recognised. No word comes twice: if a producer is lost
        in mid-job, the next one goes on from there. Closing the generator cancels the job.

        Args and errors: see `transcript`. An error may come after segments.
        """
        return segments_of(self.transcription_events(audio, options))

    @takes_keywords(SpeechOptions)
    def audio(self, text: str, options: SpeechOptions) -> AsyncGenerator[bytes]:
        """The file that `speech` makes, in pieces as they are spoken, to be played at once. The
        header of a WAV file has no length then. Closing the generator cancels the job.

        Args and errors: see `speech`. One more: if the producer is lost after the first piece, this
            ends with AllProducersFailed, since another one would start over.
        """
        return file_of(self.speech_events(text, replace(options, keep=False)))

    def transcription_events(
        self, audio: Recording, options: TranscriptionOptions = DEFAULT_TRANSCRIPTION
    ) -> AsyncGenerator[JobEvent[Transcript]]:
        """The events of a transcription; the last one is what `transcript` returns. See
        `job_events`. Errors: see `transcript`."""
        source = Path(audio) if isinstance(audio, str) else audio
        needs = options.needs(STT, translate=options.translate)

        def job() -> AsyncGenerator[JobEvent[Transcript]]:
            return transcription_job(self._joined().dispatcher, self.client, source, needs, options)

        whole = TranscriptionWork(self.client, source, options)
        return self._events(job, None if options.scatter == PRIVATE else whole, options)

    def speech_events(
        self, text: str, options: SpeechOptions = DEFAULT_SPEECH
    ) -> AsyncGenerator[JobEvent[bytes]]:
        """The events of a speech job; the last one is what `speech` returns. See `job_events`.
        Errors: see `speech`."""
        whole = SpeechWork(self.client, text, options)

        def job() -> AsyncGenerator[JobEvent[bytes]]:
            needs = options.needs(TTS, voice=options.voice)
            return speech_job(self._joined().dispatcher, self.client, text, needs, options)

        return self._events(job, whole if len(text) <= limits.MAX_TEXT else None, options)

    async def producers(self, services: Sequence[str] = (*SERVICES, FARM)) -> list[Record]:
        """The records of all producers that are found."""
        dht = self._joined().dht
        keys = [(s, b) for s in services for b in (("",) if s == FARM else BACKENDS)]
        found = await asyncio.gather(*(dht.find(*key, want=limits.LIST_WANT) for key in keys))
        return [record for records in found for record in records]

    async def voices(self) -> Voices:
        """Every voice on the mesh, with the producers that have it."""
        return await find_voices(await self.producers([TTS]), self.dispatcher, self.client)

    def clock_advice(self) -> str:
        """A sentence if our clock is so wrong that valid records look invalid; else empty."""
        return self.dht.clock_advice()

    def _events(
        self,
        job: Callable[[], AsyncGenerator[JobEvent[T]]],
        work: Work[T] | None,
        options: JobOptions,
    ) -> AsyncGenerator[JobEvent[T]]:
        """The events of `job`; if the mesh cannot do it, those of `work` at the fallback server.
        None: the job must not, or cannot, go to a single server."""
        if self.fallback is None or work is None:
            return job()
        return with_fallback(job, self.fallback, work, options.timeout)

    @property
    def not_joined(self) -> NotJoined | None:
        """Why the mesh is not joined yet, if there is a fallback; None: it is joined."""
        return self.joining.failure if self.joining else None

    def _joined(self) -> Mesh:
        if self.not_joined is not None:
            raise self.not_joined
        return self
