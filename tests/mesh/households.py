"""Households that send jobs to one producer: each address of the loopback network plays one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from api_kit import Raw, head
from kit import until

from nodes.codecs import Codecs
from nodes.engines import make_engines
from nodes.producer import Producer
from privox_dht.quotas import Prefixes
from privox_dht.speech_api.speech_server import SpeechServer

PATH = "/v1/audio/transcriptions"
LONG_ONE, HOUSEHOLD, ANOTHER = "127.0.0.66", "127.0.0.7", "127.0.0.8"


def homes(host: str) -> Prefixes:
    return (f"{host}/32", f"{host}.0/24")


@asynccontextmanager
async def producer(what: str, slots: int) -> AsyncIterator[SpeechServer]:
    engine = make_engines("stt", "cpu", what)[0]
    await engine.start()
    try:
        async with Codecs(slots + 1) as codecs:
            work = Producer([engine], slots, codecs)
            async with SpeechServer(work, host="127.0.0.1", tls=None, prefixes_of=homes) as server:
                yield server
    finally:
        await engine.close()


async def post(port: int, host: str, body: bytes, *, wait: bool = True) -> tuple[int, Any]:
    """The status of one request, and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
    raw = Raw(reader, writer)
    more = {} if wait else {"Prefer": "wait=0"}
    try:
        await raw.send(head(PATH, len(body), Connection="close", **more) + body)
        answer = await raw.answer(900)
        return answer.status, json.loads(answer.body)
    finally:
        writer.close()


async def until_taken(server: SpeechServer) -> None:
    await until(lambda: bool(server.jobs.running))
