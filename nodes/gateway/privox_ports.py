"""Privox's two ports: its pull producers get jobs, its socket consumers are served.

    port -> who                          the other side answers within 5 s, or is disconnected
    consumer -> header, recording        ack before the recording, then the text; nak: rejected
    consumer -> header with a text       8 digits and a WAV file; nak: rejected
    producer                             see `pull_producers`

The protocol has neither encryption nor authentication, so only the addresses of --allow are served.
An error after `ack` closes the connection, since a message could be taken for a transcript.
"""

import asyncio
import io
import logging
import zipfile
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

from nodes.gateway import gateway_limits
from nodes.gateway.config import GatewayConfig
from nodes.gateway.dialects import Dialects
from nodes.gateway.keyless_server import KeylessServer, send
from nodes.gateway.privox_wire import (
    ACK,
    DIGITS,
    NAK,
    PRODUCER,
    WHO,
    parse_sound,
    parse_text,
    read_bytes,
    read_header,
    read_identity,
)
from nodes.gateway.pull_producers import PullProducers
from nodes.gateway.whisper_languages import tag_of
from nodes.service import Service
from privox_dht.addresses import join_host
from privox_dht.cli.output import log_fields
from privox_dht.errors import BadMessage, JobError, RequestRejected
from privox_dht.offer import Offer
from privox_dht.quotas import Prefixes
from privox_dht.relay import relay_limits
from privox_dht.speech import STT, TTS, TranscriptionRequest
from privox_dht.speech_api.model_selection import validate_language

log = logging.getLogger("privox.gateway")
T = TypeVar("T")
ZIP_ENTRY = "sample.wav"  # the recording in the ZIP file that some consumers send


class PrivoxPorts(Service):
    """Both ports, for as long as it is entered.

    Args:
        ports: for STT and for TTS; 0: any that is free.
        pulls: takes the pull producers.
        check: rejects a job from an address that has used up its quota of sound.
    """

    def __init__(
        self,
        config: GatewayConfig,
        ports: tuple[int, int],
        dialects: Dialects,
        pulls: PullProducers,
        check: Callable[[Prefixes], None],
    ) -> None:
        super().__init__()
        self.ports = ports
        self._host = config.host
        self._dialects, self._pulls, self._check = dialects, pulls, check
        self._servers = [
            KeylessServer(
                "Privox", partial(self._serve, service), config.allow,
                gateway_limits.PRIVOX_CONNECTIONS, relay_limits.SPLICE_CHUNK,
            )
            for service in (STT, TTS)
        ]  # fmt: skip

    def __repr__(self) -> str:
        return f"<PrivoxPorts {self.ports}, {self._pulls!r}>"

    async def _start(self) -> None:
        stt_port, tts_port = [
            await server.listen(self._stack, self._host, port)
            for server, port in zip(self._servers, self.ports, strict=True)
        ]
        self.ports = stt_port, tts_port
        log.info(
            "Privox's producers and consumers are served at %s and %d, in plain text",
            join_host(self._host, stt_port), tts_port,
            extra=log_fields("privox_ports", stt=stt_port, tts=tts_port),
        )  # fmt: skip

    @property
    def broken(self) -> Mapping[str, int]:
        """Connections that broke the protocol, by reason."""
        stt_port, tts_port = (server.broken for server in self._servers)
        return stt_port + tts_port

    def status(self) -> Mapping[str, Any]:
        """Their part of `/v1/status`."""
        producers = {service: self._pulls.slots(service) for service in (STT, TTS)}
        return {"producers": producers, "broken": dict(self.broken)}

    async def _serve(
        self,
        service: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        prefixes: Prefixes,
    ) -> None:
        writer.write(WHO)
        if await read_identity(reader) == PRODUCER:
            await self._pulls.run(service, reader, writer)
            return
        offer = Offer(prefixes, gateway_limits.QUEUE_WAIT)
        work = self._transcribe if service == STT else self._speak
        await work(offer, await read_header(reader), reader, writer)

    async def _transcribe(
        self, offer: Offer, text: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        header, begun = parse_sound(text), False
        try:
            request = TranscriptionRequest(language=validate_language(tag_of(header.language)))
            async with AsyncExitStack() as held:
                await self._job(held, STT, offer)
                writer.write(ACK)
                begun = True
                data = await read_bytes(reader, header.size, gateway_limits.PRIVOX_STALL)
                with io.BytesIO(await asyncio.to_thread(_unpacked, data)) as file:
                    work = self._dialects.transcript(file, request, offer)
                    transcript = await _until_disconnect(reader, work)
                await send(writer, transcript.text.encode())
        except JobError as exc:
            await _reject(writer, exc, begun)

    async def _speak(
        self, offer: Offer, text: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        header = parse_text(text)
        try:
            language = validate_language(tag_of(header.language))
            async with AsyncExitStack() as held:
                await self._job(held, TTS, offer)
                file = self._dialects.speech(offer, header.text, header.voice, language)
                wav = await _until_disconnect(reader, file.whole())
                if len(wav) >= 10**DIGITS:
                    raise RequestRejected("the sound is too long for eight digits", status=413)
                await send(writer, f"{len(wav):0{DIGITS}d}".encode() + wav)
        except JobError as exc:
            await _reject(writer, exc, False)

    async def _job(self, held: AsyncExitStack, service: str, offer: Offer) -> None:
        """Admit a job, for as long as `held` is open; it is counted and logged."""
        self._check(offer.prefixes)
        await held.enter_async_context(self._dialects.provider.admit(service, offer))
        held.enter_context(self._dialects.server.jobs.job(service, offer))


async def _until_disconnect(reader: asyncio.StreamReader, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is cancelled when the client disconnects.

    Raises:
        ConnectionResetError: it did.
    """
    doing, over = asyncio.create_task(work), asyncio.create_task(_disconnected(reader))
    try:
        await asyncio.wait([doing, over], return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ConnectionResetError("the client disconnected")
        return doing.result()
    finally:
        for task in (doing, over):
            task.cancel()
        await asyncio.gather(doing, over, return_exceptions=True)


async def _disconnected(reader: asyncio.StreamReader) -> None:
    """Return when the client has disconnected; what it sends until then is dropped."""
    while await reader.read(relay_limits.SPLICE_CHUNK):
        pass


async def _reject(writer: asyncio.StreamWriter, exc: JobError, begun: bool) -> None:
    """`nak` and the reason, unless `ack` was sent: then it would be taken for a transcript."""
    if not begun:
        await send(writer, NAK + str(exc).encode("utf-8", "replace"))


def _unpacked(data: bytes) -> bytes:
    """A recording, taken out of a ZIP file if it is in one.

    Raises:
        BadMessage: its content is too large, or damaged.
    """
    if not data.startswith(b"PK"):
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed, packed.open(ZIP_ENTRY) as file:
            unpacked = file.read(gateway_limits.PRIVOX_UPLOAD + 1)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, OSError) as exc:
        raise BadMessage("shape", "a ZIP file without a recording") from exc
    if len(unpacked) > gateway_limits.PRIVOX_UPLOAD:
        raise BadMessage("size", "a recording that is too long")
    return unpacked
