"""Speech servers elsewhere as engines: what they are asked, and what comes of what they say."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from numpy.typing import NDArray
from speech_servers import RATE, SECOND, OpenAi, Sova

from nodes import engines
from nodes.engines import remote, remote_openai, remote_sova
from privox_dht import audio, errors, limits, speech
from privox_dht.speech import SpeechRequest as Say
from privox_dht.speech import TranscriptionRequest as Hear

HELLO = Say("Hello there.")


@pytest.fixture
async def openai() -> AsyncIterator[OpenAi]:
    async with OpenAi() as server:
        yield server


@pytest.fixture
async def sova() -> AsyncIterator[Sova]:
    async with Sova() as server:
        yield server


class started:
    """The engine for `what`, between its start and its end."""

    def __init__(self, service: str, what: str) -> None:
        self.engine: Any = engines.make_engines(service, "cpu", what)[0]

    async def __aenter__(self) -> Any:
        await self.engine.start()
        return self.engine

    async def __aexit__(self, *exc: object) -> None:
        await self.engine.close()


def url(server: OpenAi) -> str:
    return f"http://{server.address}"


def sound(seconds: float) -> NDArray[np.float32]:
    samples = np.random.default_rng(0).normal(0, 0.1, int(seconds * 16_000))
    return samples.astype(np.float32)


async def hear(engine: Any, request: Hear | None = None, seconds: float = 2) -> list[Any]:
    return [segment async for segment in engine.transcribe(sound(seconds), request or Hear())]


async def say(engine: Any, request: Say = HELLO) -> bytes:
    return b"".join([sound.pcm async for sound in engine.speak(request)])


# -- OpenAI's API ----------------------------------------------------------------------------------


async def test_a_server_is_asked_what_it_has(openai: OpenAi) -> None:
    async with started("stt", url(openai)) as hears, started("tts", url(openai)) as speaks:
        assert hears.info.models == openai.models and hears.model == "some-whisper"
        assert speaks.info.models == openai.voices and speaks.model == "some-tts"
        assert hears.info.engine == speaks.info.engine == "openai-api"
        assert hears.info.speed > 0 and speaks.info.speed > 0


async def test_a_server_that_lists_nothing_is_asked_for_the_usual(openai: OpenAi) -> None:
    for path in ("/v1/models", "/v1/audio/voices"):
        openai.broken[path] = web.Response(status=404)
    async with started("tts", url(openai)) as engine:
        await say(engine)
    assert (openai.asked[-1]["model"], openai.asked[-1]["voice"]) == ("tts-1", "alloy")


async def test_segments_and_words_come_back_in_their_places(openai: OpenAi) -> None:
    async with started("stt", url(openai)) as engine:
        first, second = await hear(engine, Hear(words=True))
    assert (first.text, first.start, first.end) == ("hello", 0.0, 0.5)
    assert second == speech.Segment("there", 0.5, 1.0, (speech.Word("there", 0.6, 0.9),), "english")


async def test_everything_that_is_asked_is_passed_on(openai: OpenAi) -> None:
    request = Hear("gpt-5", "de-AT", prompt="names", temperature=0.5, words=True)
    async with started("stt", url(openai)) as engine:
        await hear(engine, request)
    asked = openai.asked[-1]
    assert asked["path"] == "/v1/audio/transcriptions"
    assert (asked["model"], asked["language"], asked["prompt"]) == ("gpt-5", "de", "names")
    assert (asked["temperature"], asked["response_format"]) == ("0.5", "verbose_json")
    assert audio.decode(asked["file"], 16_000).size == 32_000


async def test_translations_have_their_own_path(openai: OpenAi) -> None:
    async with started("stt", url(openai)) as engine:
        await hear(engine, Hear(translate=True))
        assert engine.info.translates
    assert openai.asked[-1]["path"] == "/v1/audio/translations"


async def test_a_server_that_cannot_translate_is_not_said_to(openai: OpenAi) -> None:
    openai.broken = {"/v1/audio/translations": web.Response(status=400)}
    async with started("stt", url(openai)) as engine:
        assert not engine.info.translates


async def test_a_long_recording_goes_in_blocks(
    openai: OpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_openai, "BLOCK", 4.0)
    async with started("stt", url(openai)) as engine:
        segments = await hear(engine, seconds=10)
    blocks = [a["file"] for a in openai.asked if a["path"].endswith("transcriptions")][1:]
    assert sum(audio.decode(block, 16_000).size for block in blocks) == 160_000
    starts = [segment.start for segment in segments]
    assert len(segments) == 2 * len(blocks) and starts == sorted(starts) and starts[-1] > 4


def test_words_beside_segments_are_not_compared_with_each() -> None:
    """Seven thousand of both, as one answer may have, kept the node from all else for a second."""
    times = [{"start": n / 25, "end": (n + 1) / 25} for n in range(7_000)]
    answer = {
        "words": [{"word": f"w{n}", **at} for n, at in enumerate(times)],
        "segments": [{"text": "w", **at} for at in times],
    }
    began = time.process_time()
    engine = remote_openai.OpenAITranscriber("http://127.0.0.1:9", "cpu")
    segments = engine._segments(answer, 0.0, 280.0)
    assert time.process_time() - began < 0.5
    assert [[word.text for word in one.words] for one in segments] == [
        [f"w{n}"] for n in range(7_000)
    ]


async def test_a_server_without_segments_gives_one_of_the_whole(openai: OpenAi) -> None:
    openai.transcript = {"text": "hello there"}
    async with started("stt", url(openai)) as engine:
        assert await hear(engine) == [speech.Segment("hello there", 0.0, 2.0)]


async def test_speech_is_passed_on_while_it_comes(openai: OpenAi) -> None:
    async with started("tts", url(openai)) as engine:
        sounds = [sound async for sound in engine.speak(Say("Hello", "bob", speed=1.5))]
    assert len(sounds) > 1 and {sound.rate for sound in sounds} == {RATE}
    assert b"".join(sound.pcm for sound in sounds) == SECOND * 2
    asked = openai.asked[-1]
    assert (asked["input"], asked["voice"], asked["speed"]) == ("Hello", "bob", 1.5)


async def test_a_key_a_path_and_a_model_can_stand_in_the_address(openai: OpenAi) -> None:
    what = f"http://secret@{openai.address}/below#my-model"
    async with started("stt", what) as engine:
        await hear(engine)
        assert "secret" not in repr(engine)
    asked = openai.asked[-1]
    assert asked["path"] == "/below/v1/audio/transcriptions"
    assert (asked["key"], asked["model"]) == ("Bearer secret", "my-model")


REFUSAL = {"error": {"message": "no such voice: nobody", "type": "invalid_request_error"}}


@pytest.mark.parametrize("status", [400, 404, 413, 415, 422])
async def test_what_the_server_refuses_is_refused(openai: OpenAi, status: int) -> None:
    async with started("tts", url(openai)) as engine:
        openai.broken["/v1/audio/speech"] = web.json_response(REFUSAL, status=status)
        with pytest.raises(
            errors.RequestRejected, match="rejects the request: no such voice: nobody"
        ) as refused:
            await say(engine)
    assert refused.value.status == status


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_busy_and_not_dead(openai: OpenAi, status: int) -> None:
    async with started("tts", url(openai)) as engine:
        openai.broken["/v1/audio/speech"] = web.Response(
            status=status, headers={"Retry-After": "7"}
        )
        with pytest.raises(errors.ProducerBusy) as busy:
            await say(engine)
    assert busy.value.retry_after == 7


@pytest.mark.parametrize(
    "broken",
    [
        web.Response(status=500, text="words that were spoken"),
        web.Response(status=401),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.Response(body=b""),
        web.Response(body=b"ID3" + bytes(100_000)),
        web.Response(body=audio.wav(SECOND, 1)),
    ],
    ids=["500", "401", "a redirect", "nothing", "another format", "1 Hz"],
)
async def test_a_broken_voice_fails(openai: OpenAi, broken: web.Response) -> None:
    async with started("tts", url(openai)) as engine:
        openai.broken["/v1/audio/speech"] = broken
        with pytest.raises(errors.EngineFailed) as failed:
            await say(engine)
    assert "words" not in str(failed.value)


@pytest.mark.parametrize(
    "broken",
    [
        b"not json",
        b"[]",
        b"{}",
        b'{"text": 1, "segments": 7}',
        b'{"segments": [{"text": "x", "start": "soon", "end": null}]}',
        b'{"text": "' + b"x" * (17 * limits.MIB),
    ],
    ids=["text", "a list", "an empty object", "wrong types", "wrong times", "17 MiB"],
)
async def test_a_broken_transcript_fails(openai: OpenAi, broken: bytes) -> None:
    async with started("stt", url(openai)) as engine:
        openai.broken["/v1/audio/transcriptions"] = web.Response(body=broken)
        with pytest.raises(errors.EngineFailed, match="answers with"):
            await hear(engine)


async def test_speech_without_end_is_stopped(
    openai: OpenAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with started("tts", url(openai)) as engine:
        monkeypatch.setattr(limits, "MAX_SPEECH_SECONDS", 1.5)
        with pytest.raises(errors.EngineFailed, match="more speech than a text"):
            await say(engine)


async def test_a_server_that_hangs_up_fails_the_job(openai: OpenAi) -> None:
    async with started("stt", url(openai)) as engine:
        await openai.server.close()
        with pytest.raises(errors.EngineFailed, match="does not answer"):
            await hear(engine)


async def test_a_server_that_is_not_there_is_told_at_start() -> None:
    for what in ("http://127.0.0.1:1", "127.0.0.1:1"):
        for service in speech.SERVICES:
            engine = engines.make_engines(service, "cpu", what)[0]
            with pytest.raises(errors.EngineUnavailable, match="does not answer") as unavailable:
                await engine.start()
            assert unavailable.value.fix


async def test_a_slow_server_gets_shorter_blocks(openai: OpenAi) -> None:
    """It answers a block as a whole, and has three minutes: it never answered for five of sound."""
    async with started("stt", url(openai)) as engine:
        engine.info = replace(engine.info, speed=0.5)
        await hear(engine, seconds=100)
    asked = [a["file"] for a in openai.asked if a["path"].endswith("transcriptions")][1:]
    lengths = [audio.decode(file, 16_000).size / 16_000 for file in asked]
    assert sum(lengths) == 100 and max(lengths) <= 45


@pytest.mark.parametrize("speed", [0.0, 0.001, 0.1, 1.0, 100.0])
def test_a_block_is_at_most_five_minutes_and_at_least_half_a_minute(speed: float) -> None:
    assert 30 <= remote_openai.block_seconds(speed) <= 300


@pytest.mark.parametrize("url", ["https://s3cret@host:99999", "https://s3cret@host:0/v1"])
def test_a_key_in_an_address_that_is_wrong_is_not_shown(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="is not the address of a server") as refused:
        engines.make_engines("stt", "cpu", url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("what", ["http://", "http://host:99999", "https:///path"])
def test_what_is_no_address_is_told(what: str) -> None:
    with pytest.raises(errors.ConfigError, match="not the address of a server"):
        engines.make_engines("stt", "cpu", what)


# -- SOVA's dialect --------------------------------------------------------------------------------


async def test_sova_hears(sova: Sova) -> None:
    async with started("asr", sova.address) as engine:
        assert await hear(engine) == [speech.Segment("добрый день", 0.0, 2.0)]
        assert engine.info.engine == "sova" and engine.info.speed > 0
    assert audio.decode(sova.asked[-1]["audio_blob"], 16_000).size == 32_000


async def test_sova_speaks_with_the_voices_it_lists(sova: Sova) -> None:
    async with started("tts", sova.address) as engine:
        assert engine.info.models == ("Natasha", "Ruslan")
        pcm = await say(engine, Say("Привет", "Ruslan", speed=4.0))
    assert len(pcm) / 2 / remote_sova.RATE == pytest.approx(1.0, abs=0.01)
    asked = sova.asked[-1]
    assert (asked["text"], asked["voice"]) == ("Привет", "Ruslan")
    assert asked["options"] == "speed_factor=2.0"


async def test_an_older_sova_does_not_list_its_voices(sova: Sova) -> None:
    sova.lists_voices = False
    async with started("tts", sova.address) as engine:
        assert await say(engine)
    assert sova.asked[-1]["voice"] == "Natasha"


async def test_a_voice_that_sova_does_not_have_is_refused(sova: Sova) -> None:
    async with started("tts", sova.address) as engine:
        with pytest.raises(
            errors.RequestRejected, match="no voice 'Anna' here; it has Natasha, Ruslan"
        ):
            await say(engine, Say("x", "Anna"))


async def test_sova_does_not_translate(sova: Sova) -> None:
    async with started("stt", sova.address) as engine:
        with pytest.raises(errors.RequestRejected, match="do not translate"):
            await hear(engine, Hear(translate=True))


async def test_what_sova_cannot_do_fails(sova: Sova) -> None:
    async with started("stt", sova.address) as hears, started("tts", sova.address) as speaks:
        sova.code = 1
        with pytest.raises(errors.EngineFailed, match="failed"):
            await hear(hears)
        with pytest.raises(errors.EngineFailed, match="failed"):
            await say(speaks)


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{}",
        b'{"r": []}',
        b'{"r": [7]}',
        b'{"response_code": 0, "response": [{}]}',
        b'{"response_code": 0, "response": [{"response_audio": "UklGRg=="}]}',
    ],
)
async def test_what_is_not_sovas_fails(sova: Sova, broken: bytes) -> None:
    async with started("stt", sova.address) as hears, started("tts", sova.address) as speaks:
        sova.broken["/asr"] = sova.broken["/synthesize/"] = web.Response(body=broken)
        with pytest.raises(errors.EngineFailed, match="answers with"):
            await hear(hears)
        sova.broken["/synthesize/"] = web.Response(body=broken)
        with pytest.raises(errors.EngineFailed, match="answers with"):
            await say(speaks)


def test_both_dialects_are_told_apart() -> None:
    assert isinstance(
        engines.make_engines("stt", "cpu", "10.0.0.7:8888")[0], remote_sova.SovaTranscriber
    )
    assert isinstance(
        engines.make_engines("tts", "gpu", "[fd00::7]:80")[0], remote_sova.SovaSpeaker
    )
    assert isinstance(
        engines.make_engines("stt", "cpu", "http://10.0.0.7:8000")[0],
        remote_openai.OpenAITranscriber,
    )
    assert str(remote.Server("http://10.0.0.7")) == "10.0.0.7:80"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
async def test_a_server_may_be_given_with_and_without_the_v1_of_its_paths(
    openai: OpenAi, path: str
) -> None:
    async with started("stt", url(openai) + path) as engine:
        assert await hear(engine)


def test_below_a_path_it_may_be_too() -> None:
    assert str(remote.Server("https://host/speech/v1").base) == "https://host/speech"


@pytest.mark.parametrize("host", ["192.0.2.1:8000", "whisper", "localhost.example"])
def test_a_servers_key_does_not_travel_in_the_clear(host: str) -> None:
    with pytest.raises(errors.ConfigError, match="use https") as refused:
        engines.make_engines("stt", "cpu", f"http://s3cret@{host}")
    assert "s3cret" not in str(refused.value)
    for url in (f"https://s3cret@{host}", f"http://{host}", "http://s3cret@127.0.0.1:8000"):
        engines.make_engines("stt", "cpu", url)


@pytest.mark.parametrize("service", ["stt", "tts"])
def test_where_there_is_no_gpu_the_advice_is_about_the_gpu(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "known", lambda service: [])
    with pytest.raises(errors.EngineUnavailable) as unavailable:
        engines.make_engines(service, "gpu")
    assert f"lend {service}/cpu" in unavailable.value.fix
    assert "embedded" not in unavailable.value.fix
    with pytest.raises(errors.EngineUnavailable) as unavailable:
        engines.make_engines(service, "cpu")
    assert "embedded" in unavailable.value.fix


async def test_a_server_that_is_not_there_is_said_in_the_systems_words() -> None:
    with pytest.raises(errors.EngineUnavailable, match=r"does not answer \(connection refused\)"):
        async with started("stt", "http://127.0.0.1:9"):
            pass


@pytest.mark.parametrize("url", ["http://", "http:///v1", "https://k@"])
def test_an_address_without_a_host_is_said_to_be_that(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="is not the address of a server: "):
        engines.make_engines("stt", "cpu", url)
