"""OpenAI's own Python library, unmodified, against the speech server."""

import io
import wave
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_kit import RATE, Counting, clip
from kit import until

from privox_dht.errors import EngineFailed
from privox_dht.speech_api.speech_server import SpeechServer


@pytest.fixture(scope="module")
def openai() -> Any:
    """Imported by these tests alone: it takes a second in each process that collects them."""
    return pytest.importorskip("openai")


@pytest.fixture
def provider() -> Counting:
    return Counting()


@pytest.fixture
async def sdk(openai: Any, provider: Counting) -> AsyncIterator[Any]:
    async with SpeechServer(provider, host="127.0.0.1", tls=None) as server:
        base = f"http://127.0.0.1:{server.port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as sdk:
            yield sdk
        await until(lambda: provider.held == 0)


async def transcribe(sdk: Any, **options: Any) -> Any:
    file = ("clip.wav", clip(1.5), "audio/wav")
    return await sdk.audio.transcriptions.create(file=file, **{"model": "whisper-1", **options})


async def test_a_transcription(sdk: Any) -> None:
    assert (await transcribe(sdk)).text == "16000 samples 8000 samples"


@pytest.mark.parametrize(
    ("format", "beginning"),
    [("text", "16000 samples 8000"), ("srt", "1\n00:00:00,000 -->"), ("vtt", "WEBVTT\n")],
)
async def test_a_transcription_in_text(sdk: Any, format: str, beginning: str) -> None:
    assert (await transcribe(sdk, response_format=format)).startswith(beginning)


async def test_a_verbose_transcription_is_typed_all_through(sdk: Any) -> None:
    told = await transcribe(
        sdk,
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
        prompt="samples",
        temperature=0.2,
    )
    assert told.duration == 1.5
    assert [(s.id, s.start, s.end, s.text) for s in told.segments] == [
        (0, 0.0, 1.0, "16000 samples"),
        (1, 1.0, 1.5, "8000 samples"),
    ]
    assert told.words[0].word == "16000"


async def test_a_streamed_transcription(sdk: Any) -> None:
    text, done = "", None
    async for event in await transcribe(sdk, model="small", stream=True):
        if event.type == "transcript.text.delta":
            text += event.delta
        elif event.type == "transcript.text.done":
            done = event.text
    assert text == done == "16000 samples 8000 samples"


async def test_a_streamed_transcription_that_fails_raises(
    openai: Any, sdk: Any, provider: Counting
) -> None:
    provider.breaks_with = EngineFailed("it tripped")
    with pytest.raises(openai.APIError, match="it tripped"):
        async for _ in await transcribe(sdk, stream=True):
            pass


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the library says so
async def test_a_translation(sdk: Any) -> None:
    told = await sdk.audio.translations.create(model="whisper-1", file=("a.wav", clip()))
    assert told.text == "16000 samples"


async def test_speech_into_a_file(sdk: Any) -> None:
    told = await sdk.audio.speech.create(
        model="tts-1", voice="alloy", input="a b", response_format="wav", speed=1.0
    )
    with wave.open(io.BytesIO(told.content)) as sound:
        assert sound.getframerate() == RATE


async def test_speech_as_it_is_made(sdk: Any) -> None:
    async with sdk.audio.speech.with_streaming_response.create(
        model="toner", voice="high", input="a b c", response_format="pcm"
    ) as response:
        assert response.headers["content-type"] == "audio/pcm"
        size = sum([len(piece) async for piece in response.iter_bytes()])
    assert size == 3 * RATE // 10 * 2


async def test_the_list_of_models(sdk: Any) -> None:
    names = [model.id async for model in sdk.models.list()]
    assert "counter:small" in names
    assert (await sdk.models.retrieve("toner")).owned_by == "toner"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"model": "gigantic"}, "NotFoundError"),
        ({"language": "xx"}, "BadRequestError"),
        ({"response_format": "srt", "stream": True}, "BadRequestError"),
    ],
)
async def test_errors_arrive_as_the_library_types_them(
    openai: Any, sdk: Any, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(getattr(openai, error)) as caught:
        await transcribe(sdk, **options)
    assert caught.value.param in options
    assert caught.value.type == "invalid_request_error"


async def test_a_busy_server_is_asked_again_when_it_said(
    openai: Any, sdk: Any, provider: Counting
) -> None:
    provider.slots = 0
    with pytest.raises(openai.InternalServerError) as caught:
        await transcribe(sdk)
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "2"
