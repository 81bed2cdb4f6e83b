"""Older apps at the gateway: whisper-asr-webservice's, SOVA's and Privox's own, as they ask."""

import base64
import io
import json
import logging
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from api_kit import RATE, TONE, Counting, clip, tone
from gateway_kit import GatewayMesh

from nodes.engines import remote_sova
from nodes.gateway import gateway_limits, whisper_asr
from privox_dht import __version__, limits
from privox_dht.audio.decoding import length_hint
from privox_dht.speech import SpeechRequest, TranscriptionRequest

TEXT = "16000 samples 8000 samples"  # of a second and a half
PCM = clip(1.5)[44:]
SOUND = int(2 * TONE * RATE) * 2  # bytes of two words


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[GatewayMesh]:
    async with GatewayMesh.opened(tmp_path) as mesh:
        yield mesh


@pytest.fixture
async def provider(mesh: GatewayMesh) -> Counting:
    provider = Counting()
    await mesh.lend(provider)
    await mesh.see()
    return provider


@pytest.fixture
async def http(mesh: GatewayMesh) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(mesh.url) as http:
        yield http


def form(**files: bytes) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False)
    for name, content in files.items():
        data.add_field(name, io.BytesIO(content), filename="a.wav", content_type="audio/wav")
    return data


async def posted(
    http: aiohttp.ClientSession, path: str, data: Any = None, **more: Any
) -> tuple[int, str]:
    async with http.post(path, data=data, **more) as answer:
        return answer.status, await answer.text()


# -- whisper-asr-webservice ------------------------------------------------------------------------


async def test_bazarr_gets_a_subtitle_of_a_film_without_a_header(
    http: aiohttp.ClientSession, provider: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    """Its own line, of its provider `whisperai`."""
    caplog.set_level(logging.DEBUG)
    asked = {
        "task": "transcribe", "language": "en", "output": "srt", "encode": "false",
        "video_file": "/films/secret.mkv",
    }  # fmt: skip
    status, text = await posted(http, "/asr", form(audio_file=PCM), params=asked)
    assert status == 200
    assert text == (
        "1\n00:00:00,000 --> 00:00:01,000\n16000 samples\n\n"
        "2\n00:00:01,000 --> 00:00:01,500\n8000 samples\n"
    )
    assert "secret" not in caplog.text


async def test_every_output_of_asr(http: aiohttp.ClientSession, provider: Counting) -> None:
    async def asr(output: str) -> str:
        asked = {"output": output, "word_timestamps": "true"}
        status, text = await posted(http, "/asr", form(audio_file=clip(1.5)), params=asked)
        assert status == 200
        return text

    assert await asr("txt") == "16000 samples\n8000 samples\n"
    assert (await asr("vtt")).startswith("WEBVTT\n\n00:00:00.000 -->")
    assert (
        await asr("tsv") == "start\tend\ttext\n0\t1000\t16000 samples\n1000\t1500\t8000 samples\n"
    )
    told = json.loads(await asr("json"))
    assert (told["text"], told["language"]) == (TEXT, "en")
    assert [segment["end"] for segment in told["segments"]] == [1.0, 1.5]
    assert told["words"][0]["word"] == "16000"


async def test_a_language_is_detected_in_the_first_half_minute(
    http: aiohttp.ClientSession, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_asr, "DETECTED_IN", whisper_asr.SECOND)
    path = "/detect-language?encode=false"
    status, text = await posted(http, path, form(audio_file=PCM))
    assert status == 200
    assert json.loads(text) == {
        "detected_language": "english",
        "language_code": "en",
        "confidence": None,
    }  # fmt: skip, the engine does not say how sure it is


async def test_its_status_tells_a_version(http: aiohttp.ClientSession) -> None:
    async with http.get("/status") as answer:
        assert (await answer.json())["version"] == __version__


BOTH = {"audio_file": PCM, "audio_blob": PCM}
ASKED_WRONG = [  # path, files, status, code
    ("/asr", BOTH, 400, "two_files"),
    ("/asr", {}, 400, "no_file"),
    ("/asr?encode=false", {"audio_file": PCM + b"x"}, 400, "odd_pcm"),
    ("/asr?encode=false", {"audio_file": b""}, 400, "empty_file"),
    ("/asr?output=docx", {"audio_file": PCM}, 400, "bad_output"),
    ("/asr?task=sing", {"audio_file": PCM}, 400, "bad_task"),
    ("/asr?language=english%20please", {"audio_file": PCM}, 400, "bad_language"),
    ("/asr?encode=false&output=srt", {"audio_file": PCM + b"x"}, 400, "odd_pcm"),
]


async def test_what_is_asked_wrong_is_said_and_never_as_a_subtitle(
    http: aiohttp.ClientSession, provider: Counting
) -> None:
    for path, files, status, code in ASKED_WRONG:
        data = form(**files)
        data.add_field("more", "x", content_type="text/plain", filename=None)
        data._is_multipart = True
        async with http.post(path, data=data) as answer:
            body = await answer.text()
            assert answer.status == status, (path, body)
            if "output=" in path:
                assert (body, answer.headers["X-Privox-Error"]) == ("", code)
                continue
            told = json.loads(body)
            assert (told["response_code"], told["error"]["code"]) == (1, code)
            if code in ("two_files", "no_file"):
                assert "audio_file (whisper-asr-webservice)" in told["response"]
                assert "audio_blob (SOVA)" in told["response"]
    assert provider.admitted == 0


async def test_a_film_of_seven_hours_is_refused_before_it_is_uploaded(
    http: aiohttp.ClientSession, provider: Counting
) -> None:
    size = 7 * 3600 * whisper_asr.SECOND
    headers = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(size)}

    async def body() -> AsyncIterator[bytes]:
        for _ in range(0, size, limits.MIB):
            yield bytes(limits.MIB)
        raise AssertionError("all of it was taken")

    path = "/asr?encode=false&output=srt"
    async with http.post(path, data=body(), headers=headers, expect100=True) as answer:
        assert (answer.status, await answer.text()) == (413, "")


@pytest.mark.parametrize("tells", [True, False])
async def test_a_film_that_is_too_long_is_refused_whatever_its_format(
    mesh: GatewayMesh,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    tells: bool,
) -> None:
    """By what its header tells; where it tells nothing, as soon as so much was decoded."""
    monkeypatch.setattr(gateway_limits, "MAX_SECONDS", 70.0)
    producers = Counting(), Counting()
    for producer in producers:
        await mesh.lend(producer)
    await mesh.see_two_producers()
    for path, name in (("/asr?output=srt", "audio_file"), ("/v1/audio/transcriptions", "file")):
        film = matroska(200.0, tells)
        assert (length_hint(io.BytesIO(film)) > 0) == tells
        async with http.post(path, data=form(**{name: film})) as answer:
            told = answer.headers.get("X-Privox-Error") or (await answer.json())["error"]["code"]
            assert (answer.status, told) == (413, "audio_too_long")
        if tells:
            assert not any(producer.admitted for producer in producers)


def matroska(seconds: float, tells: bool) -> bytes:
    """A film's sound; it tells its length, or does not, as what is recorded live."""
    numpy, av = pytest.importorskip("numpy"), pytest.importorskip("av")
    file = io.BytesIO()
    live = {} if tells else {"live": "1"}
    with av.open(file, "w", format="matroska", options=live) as out:
        stream = out.add_stream("flac", rate=RATE, layout="mono")
        for second in range(int(seconds)):
            frame = av.AudioFrame.from_ndarray(
                numpy.frombuffer(tone(1.0), numpy.int16).reshape(1, -1), "s16", "mono"
            )
            frame.rate, frame.pts = RATE, second * RATE
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


async def test_a_mesh_without_producers_is_no_subtitle_either(http: aiohttp.ClientSession) -> None:
    files = {"audio_file": PCM}
    assert await posted(http, "/asr?output=srt", form(**files)) == (503, "")
    status, text = await posted(http, "/asr", form(audio_blob=PCM))
    assert (status, json.loads(text)["response_code"]) == (503, 1)
    assert (await posted(http, "/stt", form(file=clip())))[0] == 503
    assert (await posted(http, "/tts", json={"text": "a"}))[0] == 503


# -- SOVA ------------------------------------------------------------------------------------------


async def test_sovas_pages(http: aiohttp.ClientSession, provider: Counting) -> None:
    status, text = await posted(http, "/asr", form(audio_blob=clip(1.5)))
    assert status == 200
    told = json.loads(text)
    assert told["response_code"] == 0
    assert told["r"][0]["response"] == [{"text": TEXT}]
    for given in ({"json": {"text": "a b", "voice": "Natasha"}}, {"data": {"text": "a b"}}):
        status, text = await posted(http, "/synthesize/", **given)
        told = json.loads(text)
        assert (status, told["response_code"]) == (200, 0)
        sound = base64.b64decode(told["response"][0]["response_audio"])
        assert len(sound) == SOUND + 44
    status, text = await posted(http, "/synthesize", json={"text": " "})
    assert (status, json.loads(text)["response_code"]) == (400, 1)
    status, text = await posted(http, "/synthesize", json={"text": "half a character: \ud800"})
    assert (status, "text holds half a character" in text) == (400, True)


async def test_a_speed_of_sovas_is_a_number_that_engines_can_speak_at(
    http: aiohttp.ClientSession, provider: Counting
) -> None:
    for speed, times in {"nan": 1, "2.0": 2, "fast": 1, "9": 4}.items():
        spoken = {"text": "a b", "options": f"speed_factor={speed}"}
        _, text = await posted(http, "/synthesize", json=spoken)
        sound = base64.b64decode(json.loads(text)["response"][0]["response_audio"])
        assert len(sound) == pytest.approx(SOUND / times + 44, abs=8)


async def test_a_bug_is_no_subtitle_either(
    http: aiohttp.ClientSession, provider: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whisper_asr, "_rendered", lambda *given: 1 / 0)
    files = {"audio_file": PCM}
    asked = "/asr?output=srt&encode=false"
    assert await posted(http, asked, form(**files)) == (500, "")


@pytest.mark.timeout(60)
async def test_our_own_client_of_sovas_servers_is_served(
    mesh: GatewayMesh, provider: Counting
) -> None:
    """The engine by which a node lends a server of SOVA's."""
    numpy = pytest.importorskip("numpy")
    ear, mouth = (
        remote_sova.SovaTranscriber(mesh.url, "cpu"),
        remote_sova.SovaSpeaker(mesh.url, "cpu"),
    )
    for engine in (ear, mouth):
        await engine.start()
    try:
        pcm = numpy.ones(RATE, numpy.float32) / 2
        heard = [s.text async for s in ear.transcribe(pcm, TranscriptionRequest())]
        assert heard == ["16000 samples"]
        said = [s async for s in mouth.speak(SpeechRequest("a b"))]
        assert sum(sound.seconds for sound in said) == pytest.approx(2 * TONE, abs=0.01)
    finally:
        for engine in (ear, mouth):
            await engine.close()


# -- Privox ----------------------------------------------------------------------------------------


async def test_privoxs_own_pages_of_old(http: aiohttp.ClientSession, provider: Counting) -> None:
    given = form(file=clip(1.5))
    for name, value in {"key": "k" * 16, "quality": "best", "language": "German"}.items():
        given.add_field(name, value)
    assert await posted(http, "/stt", given) == (200, TEXT + "\n")
    spoken = {"text": "a b", "key": "k" * 16, "voice": "high", "language": "english"}
    for how in ({"json": spoken}, {"data": spoken}):
        async with http.post("/tts", **cast(Any, how)) as answer:
            assert (answer.status, answer.content_type) == (200, "audio/wav")
            with wave.open(io.BytesIO(await answer.read())) as sound:
                assert sound.getframerate() == RATE
    status, text = await posted(http, "/tts", json={"text": "a", "language": "welsh"})
    assert (status, text.splitlines()[0][:18]) == (400, "there is no langua")
