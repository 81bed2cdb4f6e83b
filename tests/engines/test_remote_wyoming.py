"""Servers elsewhere that speak Wyoming: of the library's own classes, and a real one."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_whisper
from numpy.typing import NDArray

from nodes import engines
from nodes.codecs import Codecs
from nodes.engine_watch import EngineWatch
from nodes.engines import remote_wyoming
from nodes.producer import Producer
from privox_dht import errors, speech
from privox_dht.offer import Offer

pytest.importorskip("wyoming")
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import (
    AsrModel,
    AsrProgram,
    Attribution,
    Describe,
    Info,
    TtsProgram,
    TtsVoice,
    TtsVoiceSpeaker,
)
from wyoming.tts import Synthesize

RATE = 16_000
WHERE_FROM = Attribution("tests", "")
ABOUT: dict[str, Any] = {
    "attribution": WHERE_FROM,
    "installed": True,
    "description": "",
    "version": "",
}
SMALL = AsrModel("small", languages=["en", "de_DE"], **ABOUT)
AMY = TtsVoice("amy", languages=["en_US"], speakers=[TtsVoiceSpeaker("low")], **ABOUT)
BOB = TtsVoice("bob", languages=["en_GB"], **ABOUT)
INFO = Info(
    asr=[AsrProgram("counter", models=[SMALL], **ABOUT)],
    tts=[TtsProgram("toner", voices=[AMY, BOB], **ABOUT)],
)
Answer = Callable[[Event, asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[str]:
    """The address of a server that answers each first event of a connection with `answer`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if event := await async_read_event(reader):
                await answer(event, reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"wyoming://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def good(event: Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Counts samples; speaks a tone of ten samples a character, in the voice's pitch."""
    if Describe.is_type(event.type):
        await async_write_event(INFO.event(), writer)
    elif Transcribe.is_type(event.type):
        asked, samples = Transcribe.from_event(event), 0
        while (part := await async_read_event(reader)) and not AudioStop.is_type(part.type):
            samples += len(part.payload or b"") // 2
        text = f"{samples} samples by {asked.name} in {asked.language}"
        await async_write_event(Transcript(text, language="en").event(), writer)
    elif Synthesize.is_type(event.type):
        voice = Synthesize.from_event(event).voice
        pitch = {"amy": 1, "bob": 2}.get(voice.name if voice and voice.name else "amy", 3)
        await async_write_event(AudioStart(RATE, 2, 1).event(), writer)
        for _ in Synthesize.from_event(event).text:
            pcm = np.full(10, pitch, "<i2").tobytes()
            await async_write_event(AudioChunk(RATE, 2, 1, pcm).event(), writer)
        await async_write_event(AudioStop().event(), writer)


@asynccontextmanager
async def started(service: str, url: str) -> AsyncIterator[Any]:
    engine: Any = engines.make_engines(service, "cpu", url)[0]
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


def sound(seconds: float) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


async def test_it_hears_in_blocks_with_their_places() -> None:
    async with served(good) as url, started("stt", url) as engine:
        assert engine.info.models == ("small",) and engine.info.languages == ("de", "en")
        asked = speech.TranscriptionRequest(language="en-GB", model="wyoming:small")
        heard = [s async for s in engine.transcribe(sound(70), asked)]
    assert heard[0].text.endswith("samples by small in en") and heard[0].start == 0
    assert sum(int(s.text.split()[0]) for s in heard) == 70 * RATE
    assert all(s.end - s.start <= remote_wyoming.WyomingTranscriber.block for s in heard)
    assert heard[-1].end == 70


async def test_it_speaks_with_the_voice_that_is_named() -> None:
    async with served(good) as url, started("tts", url) as engine:
        assert engine.info.models == ("amy", "bob")
        assert engine.info.voice_languages == {"amy": "en-US", "bob": "en-GB"}
        assert engine.info.speakers["amy"] == ("low",)
        for voice, pitch in (("", 1), ("bob", 2), ("amy+low", 1)):
            asked = speech.SpeechRequest("four", voice=voice)
            pcm = b"".join([s.pcm async for s in engine.speak(asked)])
            assert pcm == np.full(40, pitch, "<i2").tobytes()


async def test_a_server_with_nothing_for_the_service_is_not_served() -> None:
    async def describes_nothing(event: Event, _: Any, writer: asyncio.StreamWriter) -> None:
        await async_write_event(Info().event(), writer)

    async with served(describes_nothing) as url:
        with pytest.raises(errors.EngineUnavailable, match="has nothing for stt"):
            await engines.make_engines("stt", "cpu", url)[0].start()


LIES: list[tuple[str, bytes, str]] = [
    ("endless_line", b"x" * 1_000_000, "not Wyoming"),
    ("no_json", b"hello\n", "not Wyoming"),
    ("a_number", b"5\n", "not Wyoming"),
    ("far_too_much_data", b'{"type": "info", "data_length": 999999999999}\n', "not Wyoming"),
    ("far_too_much_sound", b'{"type": "info", "payload_length": 99999999}\n', "not Wyoming"),
    ("negative", b'{"type": "info", "data_length": -5}\n', "not Wyoming"),
    ("deep", b'{"type": "info", "data": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n", "not Wyoming"),
    ("hangs_up", b'{"type": "info", "data_length": 50}\n{', "closed the connection"),
    ("silence", b"", "closed the connection"),
    ("junk", b'{"type": "info", "data": {"asr": [5, {"models": 7}, {"models": [{"name": 3}]}]}}\n',
     "nothing for stt"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "said"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
async def test_what_a_hostile_server_says_is_told_and_does_no_harm(lie: bytes, said: str) -> None:
    async def lies(event: Event, _: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(lie)
        await writer.drain()

    async with served(lies) as url:
        with pytest.raises(errors.EngineUnavailable, match=said):
            await engines.make_engines("stt", "cpu", url)[0].start()


async def test_an_error_there_is_a_failed_job_in_its_words() -> None:
    async def fails(
        event: Event, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if Describe.is_type(event.type):
            await good(event, reader, writer)
        else:
            await async_write_event(Error("out of\n memory").event(), writer)

    async with served(fails) as url:
        with pytest.raises(errors.EngineUnavailable, match="failed: out of memory"):
            await engines.make_engines("tts", "cpu", url)[0].start()


async def test_a_server_that_goes_is_not_offered_until_it_is_back() -> None:
    """Its record is withdrawn meanwhile, since there is nothing to say of it."""
    changed = asyncio.Event()
    async with served(good) as url, started("stt", url) as engine, Codecs(1) as codecs:
        watch = EngineWatch([engine], changed.set, every=0.01)
        producer = Producer([engine], 1, codecs, is_up=watch.is_up)
        watching = asyncio.create_task(watch.run())
        port, engine.server._port = engine.server._port, free_port()  # as if it had gone
        async with asyncio.timeout(10):
            await changed.wait()
        assert not producer.engines() and repr(watch) == "<EngineWatch 1 of 1 servers down>"
        with pytest.raises(errors.ProducerBusy, match="is down"):
            producer.admit("stt", Offer())
        changed.clear()
        engine.server._port = port
        async with asyncio.timeout(10):
            await changed.wait()
        assert producer.engines() == [engine.info]
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("address", ["wyoming://host", "wyoming://", "wyoming://host:0x1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(errors.ConfigError, match="not the address of a server"):
        engines.make_engines("stt", "cpu", address)


# -- a real one ------------------------------------------------------------------------------------

REAL = Path(sys.prefix, "wyoming-server")
SCRIPT = "hello from the small scripted model"
UP_WITHIN = 60.0  # seconds; it imports and loads on a busy machine


@pytest.mark.timeout(120)
async def test_a_real_wyoming_faster_whisper_hears(tmp_path: Path) -> None:
    """PyPI's, in a folder of its own, on a tiny model."""
    if not (REAL / "wyoming_faster_whisper").is_dir():
        pytest.skip("cannot be had here: wyoming-faster-whisper (see install_wyoming.sh)")
    pytest.importorskip("faster_whisper")
    model, port = tiny_whisper.make(tmp_path / "model", SCRIPT), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "wyoming_faster_whisper", "--model", str(model), "--language", "en",
        "--uri", f"tcp://127.0.0.1:{port}", "--data-dir", str(tmp_path),
        env={**os.environ, "PYTHONPATH": str(REAL), "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    try:
        engine = await once_up(f"wyoming://127.0.0.1:{port}")
        heard = [s async for s in engine.transcribe(sound(4), speech.TranscriptionRequest())]
        assert [s.text for s in heard] == [SCRIPT]
        assert (heard[0].start, heard[0].end) == (0, 4)
    finally:
        process.kill()
        await process.wait()


async def once_up(url: str) -> Any:
    """An engine for the server there, which may still be loading."""
    async with asyncio.timeout(UP_WITHIN):
        while True:
            engine: Any = engines.make_engines("stt", "cpu", url)[0]
            try:
                await engine.start()
                return engine
            except errors.EngineUnavailable:
                await asyncio.sleep(0.1)  # before the next try


def free_port() -> int:
    """That program tells nobody which port it took."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
