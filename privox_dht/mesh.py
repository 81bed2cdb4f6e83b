"""The mesh from Python: join it, have something transcribed, have something spoken.

    async with Mesh.join(["host:5678"]) as mesh:
        text = await mesh.transcribe("meeting.ogg")
        audio = await mesh.speak("Good day")

A `Mesh` is a guest: it reads the DHT and is remembered by nobody.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO

from privox_dht import limits, openai_names
from privox_dht.audio import mend_wav
from privox_dht.directory.failover import Directory
from privox_dht.dispatch.dial_budget import DialBudget
from privox_dht.dispatch.dispatcher import Caller
from privox_dht.dispatch.fallback import endpoint_of, fall_back
from privox_dht.dispatch.job_state import Done
from privox_dht.dispatch.result_deadline import results_due
from privox_dht.dispatch.selection import ANY, Wish
from privox_dht.errors import AllBusy, AllFailed, JobError, NoProducer, NotJoined
from privox_dht.hostport import parse_neighbours
from privox_dht.identity import Identity
from privox_dht.interfaces import has_route
from privox_dht.records import FARM, Direct, Record, newest
from privox_dht.speech import (
    BACKENDS,
    SERVICES,
    STT,
    TTS,
    Listening,
    Segment,
    SpeechRequest,
    Transcript,
    TranscriptionRequest,
)
from privox_dht.speech_api.client import Endpoint, SpeechClient

RETRY_FIRST, RETRY_LONGEST = 2.0, 60.0  # seconds between tries to join, doubling
MESH_FAILED = (NotJoined, NoProducer, AllBusy, AllFailed)  # what a fallback server is for


@dataclass(slots=True)
class Watch:
    """Callbacks that tell how a job goes; each may be replaced."""

    uploaded: Callable[[int, int], None] = lambda sent, total: None  # bytes
    heard: Callable[[float, float], None] = lambda done, total: None  # seconds of audio
    spoken: Callable[[int], None] = lambda received: None  # bytes of audio so far
    waiting: Callable[[float], None] = lambda left: None  # everybody is busy; seconds left
    calling: Callable[[Endpoint, Record | None], None] = lambda endpoint, record: None


@dataclass(frozen=True, slots=True)
class Voices:
    """The voices that could be found."""

    found: Mapping[tuple[str, str], tuple[str, ...]]  # (voice, engine): peer ids, in order
    languages: Mapping[tuple[str, str], str]  # (voice, engine): a BCP 47 tag, "" if unknown
    silent: tuple[str, ...]  # peer ids of producers that have more and did not say which


@dataclass(slots=True)
class Mesh:
    """A joined mesh. Made by `Mesh.join`."""

    dht: Directory
    client: SpeechClient
    caller: Caller
    fallback: Endpoint | None = None
    not_joined: NotJoined | None = None  # while nobody has answered, and there is a fallback

    @classmethod
    @asynccontextmanager
    async def join(
        cls,
        neighbours: str | Sequence[str | tuple[str, int]] = (),
        *,
        network: str = "privox",
        state: Path | None = None,
        timeout: float = 5.0,
        fallback: str = "",
        fallback_token: str = "",
        hidden: bool = False,
    ) -> AsyncIterator[Mesh]:
        """Join the mesh through any of `neighbours` ("host:port"), as a guest.

        Args:
            neighbours: any nodes of the mesh, in a list or in one string with commas between
                them; several may be dead. Nobody else is asked, but nodes
                met through them before. Empty: those that `state` knows from the last time.
            network: the name of the mesh.
            state: a folder to remember nodes in, for the next time.
            timeout: seconds to wait for a neighbour to answer.
            fallback: base URL of an OpenAI-style server to use when the mesh cannot do a job.
            fallback_token: a bearer token for it.
            hidden: speak to the neighbours only, which look up in one's stead (over HTTPS), so that
                a job with `via_farm` can go to any other producer without its learning our address.
                A mesh that was joined without knows more nodes, and hides from fewer.

        Raises:
            NotJoined: nobody answered, and there is no fallback. (With one, joining is tried again
                behind the jobs until somebody answers.)
            ConfigError: a neighbour or the fallback is no address.
        """
        endpoint = endpoint_of(fallback, fallback_token) if fallback else None
        wanted = parse_neighbours(neighbours)
        dht = Directory(
            Identity.generate(), network=network, host=None, guest=True, state=state, hidden=hidden
        )
        async with dht, SpeechClient(allow=dht.allows) as client:
            caller = Caller(
                dht, allow=dht.allows, knock=client.status, has_route=has_route,
                online=dht.hears_anybody, contacted=dht.has_contacted,
            )  # fmt: skip
            mesh = cls(dht, client, caller, endpoint)
            try:
                await mesh._join(wanted, timeout)
            except NotJoined:
                if endpoint is None:
                    raise
            later = asyncio.create_task(mesh._join_later(wanted, timeout))
            try:
                yield mesh
            finally:
                later.cancel()
                await asyncio.gather(later, return_exceptions=True)

    async def _join(self, neighbours: Sequence[tuple[str, int]], timeout: float) -> None:
        try:
            if not neighbours and not self.dht.remembered():
                raise NotJoined(
                    f"no node of mesh {self.dht.network!r} is known: give --neighbours host:port"
                )
            await self.dht.join(neighbours, timeout)
        except NotJoined as exc:
            self.not_joined = exc
            raise
        self.not_joined = None

    async def _join_later(self, neighbours: Sequence[tuple[str, int]], timeout: float) -> None:
        """Once a neighbour answers, the fallback is but a fallback."""
        pause = RETRY_FIRST
        while self.not_joined is not None:
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_LONGEST)
            with suppress(NotJoined):
                await self._join(neighbours, timeout)

    async def transcribe(self, audio: bytes | str | Path | BinaryIO, **options: Any) -> str:
        """The text of a recording in any common format. Options and errors: see `transcript`."""
        return (await self.transcript(audio, **options)).value.text

    async def speak(self, text: str, **options: Any) -> bytes:
        """`text` as audio (a WAV file unless `format` says otherwise); see `speech`."""
        return (await self.speech(text, **options)).value

    async def transcript(
        self,
        audio: bytes | str | Path | BinaryIO,
        *,
        language: str = "",
        model: str = "",
        translate: bool = False,
        words: bool = False,
        watch: Watch | None = None,
        **how: Any,
    ) -> Done[Transcript]:
        """A recording's segments with times, and who did it.

        Args:
            audio: a file in any common format: its bytes, its path, or a seekable binary file,
                which stays open. Sent as it is.
            language: spoken language as a BCP 47 tag; empty: the engine detects it.
            model: an engine, a model, or "engine:model"; empty: any.
            translate: into English.
            words: times of words too, from engines that have them.
            watch: callbacks that tell how it goes.
            how: `backend`, `only`, `prefer`, `avoid`, `via_farm`, `wait`, `timeout`.

        Raises:
            Refused, NoProducer, AllBusy, AllFailed, NotJoined.
        """
        watch = watch or Watch()
        source = Path(audio) if isinstance(audio, str) else audio

        async def work(endpoint: Endpoint, record: Record | None) -> Transcript:
            watch.calling(endpoint, record)
            request = TranscriptionRequest(
                model=_model_for(record, model), language=language, translate=translate, words=words
            )
            seconds, segments = 0.0, []

            def uploaded(sent: int, total: int) -> None:
                due.uploaded(sent, total)
                watch.uploaded(sent, total)

            async with results_due(record) as due:
                heard = self.client.transcribe(endpoint, source, request, progress=uploaded)
                async with aclosing(heard) as events:
                    async for event in events:
                        match event:
                            case Listening():
                                seconds = event.seconds
                                due.work_is(seconds)
                            case Segment():
                                due.result()
                                segments.append(event)
                                watch.heard(event.end, seconds)
            spoken = next((s.language for s in segments if s.language), language)
            return Transcript(tuple(segments), seconds, spoken)

        return await self._run(
            STT, work, watch, model=model, language=language, translate=translate, **how
        )

    async def speech(
        self,
        text: str,
        *,
        voice: str = "",
        language: str = "",
        model: str = "",
        speed: float = 1.0,
        format: str = "wav",
        watch: Watch | None = None,
        **how: Any,
    ) -> Done[bytes]:
        """`text` as a whole audio file, and who did it.

        Args:
            text: at most 4,096 characters.
            voice: a voice; empty: the producer's default for the language.
            language: a BCP 47 tag.
            model: an engine or "engine:voice"; empty: any.
            speed: 0.25 to 4.
            format: wav, mp3, flac, opus, aac, m4a or pcm.
            watch: callbacks that tell how it goes.
            how: `backend`, `only`, `prefer`, `avoid`, `via_farm`, `wait`, `timeout`.

        Raises:
            Refused, NoProducer, AllBusy, AllFailed, NotJoined.
        """
        watch = watch or Watch()

        async def work(endpoint: Endpoint, record: Record | None) -> bytes:
            watch.calling(endpoint, record)
            request = SpeechRequest(text, voice, language, _model_for(record, model), speed)
            audio = bytearray()
            async with (
                results_due(record) as due,
                aclosing(self.client.speak(endpoint, request, format)) as chunks,
            ):
                due.work_is(len(text) * limits.SPEECH_PER_CHARACTER)
                async for chunk in chunks:
                    due.result()
                    audio += chunk
                    watch.spoken(len(audio))
            return _mended(audio) if format == "wav" else bytes(audio)

        return await self._run(
            TTS, work, watch, model=model, voice=voice, language=language, **how
        )  # fmt: skip

    async def producers(self, services: Sequence[str] = (*SERVICES, FARM)) -> list[Record]:
        """Everybody who could be found, by service."""
        dht = self._joined().dht
        keys = [(s, b) for s in services for b in (("",) if s == FARM else BACKENDS)]
        found = await asyncio.gather(*(dht.find(*key, want=limits.LIST_WANT) for key in keys))
        return [record for records in found for record in records]

    async def voices(self) -> Voices:
        """Every voice on the mesh, with those who have it. A record holds only a few, without their
        languages: 32 producers at most are asked for more."""
        records = sorted(newest(await self.producers([TTS])), key=lambda r: not r.more)
        dials, asked = DialBudget(), records[: limits.VOICES_ASKED]
        answers = await asyncio.gather(*(self._all_voices(record, dials) for record in asked))
        found: dict[tuple[str, str], list[str]] = {}
        languages: dict[tuple[str, str], str] = {}
        told = {record.peer_id for record, answer in zip(asked, answers, strict=True) if answer}
        for record, answer in zip_longest(records, answers):
            own = {voice: "" for voice in record.models}
            own |= {v: language for v, engine, language in answer or () if engine == record.engine}
            for voice, language in own.items():
                found.setdefault((voice, record.engine), []).append(record.peer_id)
                languages[voice, record.engine] = (
                    languages.get((voice, record.engine), "") or language
                )
        silent = {record.peer_id for record in records if record.more} - told
        return Voices(
            {key: tuple(found[key]) for key in sorted(found)}, languages, tuple(sorted(silent))
        )

    async def _all_voices(
        self, record: Record, dials: DialBudget
    ) -> list[tuple[str, str, str]] | None:
        """None: it does not answer, or not in words that we know."""
        for _, endpoint in await self.caller.reach(record, dials):
            try:
                async with asyncio.timeout(limits.VOICES_TIMEOUT):
                    return await self.client.voices(endpoint)
            except (JobError, TimeoutError):
                continue
        return None

    def missing_family(self, records: Sequence[Record]) -> str:
        """A sentence if some of these are only at addresses of a family that this machine has not;
        else empty."""
        found = [
            hosts
            for record in records
            if (hosts := [r.host for r in record.routes if isinstance(r, Direct)])
        ]
        out = [hosts for hosts in found if not any(map(has_route, hosts))]
        if not out:
            return ""
        families = {"IPv6" if ":" in host else "IPv4" for hosts in out for host in hosts}
        named = " or ".join(sorted(families))
        return (
            f"{len(out)} of {len(found)} with an address have {named} only, which this machine has "
            "not: they can be called through farms that have both"
        )

    def clock_is_off(self) -> str:
        """A sentence if our clock is so wrong that good records look bad; else empty."""
        offset = self.dht.clock_offset()
        if offset is None or abs(offset) <= limits.CLOCK_SKEW:
            return ""
        return (
            f"this machine's clock is {-offset:+.0f} s off the mesh's, so that good records look "
            "expired or not yet valid: set it (sudo timedatectl set-ntp true)"
        )

    async def _run(self, service: str, work: Any, watch: Watch, **how: Any) -> Done[Any]:
        wait, timeout = how.pop("wait", limits.WAIT), how.pop("timeout", None)
        wish = Wish(service, **{"backend": ANY, **how})
        began = time.monotonic()
        try:
            caller = self._joined().caller
            return await caller.run(wish, work, wait=wait, timeout=timeout, on_wait=watch.waiting)
        except MESH_FAILED as exc:
            left = limits.FALLBACK_WAIT if timeout is None else began + timeout - time.monotonic()
            if self.fallback is not None and left > 0:
                return await fall_back(self.fallback, work, exc, began, left)
            if isinstance(exc, NoProducer) and (why := self.clock_is_off()):
                raise NoProducer(f"{exc}; {why}") from exc
            raise

    def _joined(self) -> Mesh:
        if self.not_joined is not None:
            raise self.not_joined
        return self


def _mended(streamed: bytearray) -> bytes:
    """A WAV file whose header says how long it is: a stream's could not know."""
    file = io.BytesIO(streamed)
    mend_wav(file)
    return file.getvalue()


def _model_for(record: Record | None, model: str) -> str:
    """What to call the model in a request to this producer: never empty for a node with several
    engines, so that the engine whose record was picked is the one that does it."""
    if record is None:
        return model
    return openai_names.model(model, record.models) or record.engine
