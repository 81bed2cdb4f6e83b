"""Pauses and SSML, spoken by real engines."""

from pathlib import Path

import pytest
import tiny_piper

from nodes.codecs import Codecs
from nodes.engines import make_engines
from nodes.engines.echo import EchoSpeaker
from nodes.producer import Producer
from privox_dht import limits
from privox_dht.errors import RequestRejected
from privox_dht.speech import SpeechRequest
from privox_dht.speech_api import model_catalogue


@pytest.fixture(params=["espeak-ng", "pico", "piper"])
async def producer(request: pytest.FixtureRequest, tmp_path: Path):  # type: ignore[no-untyped-def]
    what = request.param
    if what == "piper":
        pytest.importorskip("piper")
        what = f"piper:{tiny_piper.make(tmp_path / 'xx_XX-test-low.onnx', speakers=3)}"
    if what == "pico":
        pytest.importorskip("py_nanotts")
    engine = make_engines("tts", "cpu", what)[0]
    await engine.start()
    try:
        async with Codecs(1) as codecs:
            yield Producer([engine], 1, codecs)
    finally:
        await engine.close()


async def sound_of(producer: Producer, text: str) -> bytes:
    return b"".join([sound.pcm async for sound in producer.speak(SpeechRequest(text))])


async def test_a_pause_is_silence_of_that_length_between_the_words(producer: Producer) -> None:
    marked = await sound_of(producer, '<speak>One.<break time="2s"/>Two.</speak>')
    plain = await sound_of(producer, 'One.<break time="2s"/>Two.')
    [rate] = {sound.rate async for sound in producer.speak(SpeechRequest("One."))}
    for pcm in (marked, plain):
        assert bytes(2 * 2 * rate) in pcm
        assert any(pcm[: 2 * rate // 10]) and any(pcm[-2 * rate // 2 :]), "words at both ends"


async def test_half_an_hour_of_pauses_is_not_made_at_once() -> None:
    """80 MB were made and encoded in one step, of a text of 4 KB."""
    async with Codecs(1) as codecs:
        producer = Producer([EchoSpeaker()], 1, codecs)
        text = "a" + '<break time="10s"/>' * 150
        seconds = [
            sound.seconds async for sound in producer.speak(SpeechRequest(text, model="echo"))
        ]
    assert sum(seconds) == pytest.approx(1500, abs=1) and max(seconds) <= 1


@pytest.mark.parametrize("text", ["One. Two. Three. Four. " * 2, 'One.<break time="9s"/>'])
async def test_a_text_that_becomes_too_long_is_refused(
    producer: Producer, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(limits, "MAX_SPEECH_SECONDS", 2.0)
    with pytest.raises(RequestRejected, match="longer than 2 s of speech") as refused:
        await sound_of(producer, text)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    "text", ["<speak><audio src='file:///etc/passwd'/>a</speak>", "<speak>" + "<p>" * 1000]
)
async def test_ssml_that_names_a_file_or_nests_too_deep_is_refused(
    producer: Producer, text: str
) -> None:
    with pytest.raises(RequestRejected, match=r"<audio> names|<p> stands") as caught:
        await sound_of(producer, text)
    assert caught.value.status == 400


async def test_speakers_are_listed_and_can_be_asked_for(producer: Producer) -> None:
    [info] = producer.engines()
    listed = model_catalogue.voices([info])["voices"]
    if info.engine == "piper":
        assert len(listed) == 4 and listed[1].startswith("xx_XX-test-low+")
        asked = SpeechRequest("One.", voice=listed[-1])
        assert [sound async for sound in producer.speak(asked)]
    else:
        assert {"de", "de-DE"} & set(listed)
