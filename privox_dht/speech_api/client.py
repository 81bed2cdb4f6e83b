"""The client of the speech API.

    client -> server    TLS; nothing of the job is sent before the pinned key is checked
                        headers, with `Expect: 100-continue` when the body is large
    server -> client    100, or at once 503 (busy) and others
    client -> server    the body, piece by piece
    server -> client    events: a heartbeat at least every second, the answer, and its end

Every step has a time-out, and answers are limited in size and validated. Errors are
RequestRejected, ProducerBusy, EngineFailed, ProducerLost or PeerKeyMismatch, and no others.

Our own servers (`Endpoint.native`) are asked for events, so that a silent one counts as lost. An
ordinary OpenAI-style server may be silent for any time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Self

import aiohttp

from privox_dht import limits, peer_proof
from privox_dht.errors import BadMessage, ProducerLost
from privox_dht.http.client_body import RequestBody, Source, json_body, multipart_body
from privox_dht.http.client_request import (
    ClientRequest,
    answered,
    iter_body,
    mapped_errors,
    tracing,
)
from privox_dht.http.pinned_tls import AddressFilter, Endpoint, PinnedKey, connector
from privox_dht.http.sse import Events
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.speech import AudioInfo, Segment, SpeechRequest, TranscriptionRequest
from privox_dht.speech_api.openai_responses import (
    SpeechEvents,
    TranscriptionEvents,
    parse_verbose_json,
    voices_in,
)

Progress = Callable[[int, int], None]
DEFAULT_STT, DEFAULT_TTS, DEFAULT_VOICE = "whisper-1", "tts-1", "alloy"  # if one is required
SETTLE = 0.5  # seconds from the last event to the end of the answer, to reuse the connection

STATUS = "/v1/status"


class SpeechClient:
    """Sends jobs to any number of servers at a time."""

    def __init__(
        self,
        *,
        allow: AddressFilter,
        member: Membership | None = None,
        identity: Identity | None = None,
    ) -> None:
        """
        Args:
            allow: whether an address (an IP literal) may be dialled. Servers without a pinned key
                are configured by this program's owner, and may be anywhere.
            member: our membership, in a private mesh: servers with a pinned key must be members.
            identity: proved to producers with each job; None: anonymous.
        """
        self._allow, self._member, self._identity = allow, member, identity
        # aiohttp reuses connections only for the same object
        self._pin_of = lru_cache(limits.PEERS_REMEMBERED)(PinnedKey)
        self._to_peers: aiohttp.ClientSession | None = None
        self._elsewhere: aiohttp.ClientSession | None = None

    def own_connection(self) -> SpeechClient:
        """Another client, which shares no connection with this one."""
        return SpeechClient(allow=self._allow, member=self._member, identity=self._identity)

    async def __aenter__(self) -> Self:
        self._to_peers = _session(self._allow, self._member)
        self._elsewhere = _session(lambda address: True)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for session in (self._to_peers, self._elsewhere):
            if session is not None:
                await session.close()
        self._to_peers = self._elsewhere = None

    async def transcribe(
        self,
        endpoint: Endpoint,
        source: Source,
        request: TranscriptionRequest,
        *,
        filename: str = "audio",
        progress: Progress | None = None,
    ) -> AsyncGenerator[AudioInfo | Segment]:
        """The server's transcript, as it is recognised.

        Raises:
            RequestRejected, ProducerBusy, EngineFailed, ProducerLost, PeerKeyMismatch.
        """
        path = "/v1/audio/translations" if request.translate else "/v1/audio/transcriptions"
        async with multipart_body(source, _form_fields(request, endpoint), filename) as body:
            call = self._call(endpoint, path, body, progress)
            transcribe = self._transcribe_events if endpoint.native else self._transcribe_at_once
            async with aclosing(transcribe(call)) as items:
                async for item in items:
                    yield item

    async def _transcribe_events(self, call: ClientRequest) -> AsyncGenerator[AudioInfo | Segment]:
        """The transcript of one of our own servers, which sends events."""
        parser = TranscriptionEvents()
        async with aclosing(self._events(call, limits.MAX_ANSWER)) as events:
            async for event in events:
                with mapped_errors(call):
                    items = list(parser.take(event))
                for item in items:
                    yield item
                if parser.done:
                    return
        raise ProducerLost("the answer ended before its end", begun=True)

    async def _transcribe_at_once(self, call: ClientRequest) -> AsyncGenerator[AudioInfo | Segment]:
        """The transcript of another server, which answers once."""
        answer = await self._json(call, limits.MAX_ANSWER)
        with mapped_errors(call):
            items = list(parse_verbose_json(answer))
        for item in items:
            yield item

    async def speak(
        self, endpoint: Endpoint, request: SpeechRequest, format: str
    ) -> AsyncGenerator[bytes]:
        """The bytes of a sound file, in order.

        Raises:
            RequestRejected, ProducerBusy, EngineFailed, ProducerLost, PeerKeyMismatch.
        """
        body = json_body(json.dumps(_speech_fields(request, endpoint, format)).encode())
        call = self._call(endpoint, "/v1/audio/speech", body, None)
        if not endpoint.native:
            async with aclosing(self._audio(call)) as audio:
                async for piece in audio:
                    yield piece
            return
        parser = SpeechEvents()
        async with aclosing(self._events(call, 2 * limits.MAX_ANSWER_AUDIO)) as events:
            async for event in events:
                with mapped_errors(call):
                    piece = parser.take(event)
                if piece:
                    yield piece
                if parser.done:
                    return
        raise ProducerLost("the answer ended before its end", begun=True)

    async def status(self, endpoint: Endpoint, path: str = STATUS) -> dict[str, Any]:
        """The JSON object of a status page.

        Raises:
            RequestRejected, ProducerBusy, EngineFailed, ProducerLost, PeerKeyMismatch.
        """
        call = self._call(endpoint, path, None, None)
        with mapped_errors(call):
            answer = await self._json(call, limits.MAX_JSON)
            if not isinstance(answer, dict):
                raise BadMessage("shape", "the status is no object")
        return answer

    async def voices(self, endpoint: Endpoint) -> list[tuple[str, str, str]]:
        """All voices that the server has: name, engine, language ("": unknown).

        Raises:
            RequestRejected, ProducerBusy, EngineFailed, ProducerLost, PeerKeyMismatch.
        """
        call = self._call(endpoint, "/v1/audio/voices", None, None)
        with mapped_errors(call):
            answer = await self._json(call, limits.MAX_VOICES_ANSWER)
            return voices_in(answer)

    def _call(
        self, endpoint: Endpoint, path: str, body: RequestBody | None, progress: Progress | None
    ) -> ClientRequest:
        session = self._elsewhere if endpoint.key is None else self._to_peers
        if session is None:
            raise RuntimeError("the client is not open")
        pin = None if endpoint.key is None else self._pin_of(endpoint.key)
        return ClientRequest(
            session, endpoint, pin, path, body, progress, self._proof(endpoint) if body else {}
        )

    def _proof(self, endpoint: Endpoint) -> dict[str, str]:
        """Headers that prove our identity, if we have one."""
        if self._identity is None or endpoint.key is None:
            return {}
        return {peer_proof.HEADER: peer_proof.prove(self._identity, endpoint.key, time.time())}

    async def _events(self, call: ClientRequest, most: int) -> AsyncGenerator[dict[str, Any]]:
        """The events of a streamed answer; then the connection goes back to the pool."""
        async with answered(call, "text/event-stream") as response:
            parser = Events()
            async with aclosing(iter_body(call, response, most)) as all_pieces:
                async for piece in all_pieces:
                    with mapped_errors(call):
                        found = parser.feed(piece)
                    for event in found:
                        if event["type"].endswith(".done"):
                            await _settle(response)
                        yield event

    async def _json(self, call: ClientRequest, most: int) -> object:
        """A JSON answer, parsed."""
        async with (
            answered(call, "application/json") as response,
            aclosing(iter_body(call, response, most)) as all_pieces,
        ):
            body = b"".join([piece async for piece in all_pieces])
        with mapped_errors(call):
            try:
                return json.loads(body)
            except (ValueError, RecursionError) as exc:
                raise BadMessage("shape", "the answer is not JSON") from exc

    async def _audio(self, call: ClientRequest) -> AsyncGenerator[bytes]:
        """A plain sound file."""
        async with (
            answered(call, "audio/", "application/octet-stream") as response,
            aclosing(iter_body(call, response, limits.MAX_ANSWER_AUDIO)) as all_pieces,
        ):
            async for piece in all_pieces:
                yield piece


def _session(allow: AddressFilter, member: Membership | None = None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector(allow, member),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "privox"},
        timeout=aiohttp.ClientTimeout(total=None, connect=limits.CONNECT_TIMEOUT),
        trace_configs=[tracing()],
    )


async def _settle(response: aiohttp.ClientResponse) -> None:
    """Read a complete answer to its end, so that its connection can be reused."""
    try:
        async with asyncio.timeout(SETTLE):
            while not response.content.at_eof():
                await response.content.readany()
    except (TimeoutError, aiohttp.ClientError):
        pass


def _form_fields(request: TranscriptionRequest, endpoint: Endpoint) -> list[tuple[str, str]]:
    native = endpoint.native
    granularities = ["segment", "word"] if request.words else ["segment"]
    fields = [
        ("model", request.model or ("" if native else DEFAULT_STT)),
        ("language", "" if request.translate and not native else request.language),
        ("prompt", request.prompt),
        ("hotwords", request.hotwords if native else ""),
        ("temperature", f"{request.temperature:g}" if request.temperature else ""),
        ("response_format", "json" if native else "verbose_json"),
        ("stream", "true" if native else ""),
        *(("timestamp_granularities[]", granularity) for granularity in granularities),
    ]
    return [(name, value) for name, value in fields if value]


def _speech_fields(request: SpeechRequest, endpoint: Endpoint, format: str) -> dict[str, Any]:
    native = endpoint.native
    fields = {
        "model": request.model or ("" if native else DEFAULT_TTS),
        "voice": request.voice or ("" if native else DEFAULT_VOICE),
        "language": request.language if native else "",
        "speed": request.speed if request.speed != 1.0 else "",
        "stream_format": "sse" if native else "",
    }
    given = {name: value for name, value in fields.items() if value}
    return {"input": request.text, "response_format": format, **given}


__all__ = ["Endpoint", "Progress", "SpeechClient"]
