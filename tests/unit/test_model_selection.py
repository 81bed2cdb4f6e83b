"""Which ability a request means, and what is said when it means none."""

from __future__ import annotations

import pytest

from privox_dht.errors import Refused
from privox_dht.speech import STT, TTS, Ability, SpeechRequest, TranscriptionRequest
from privox_dht.speech_api import model_catalogue
from privox_dht.speech_api.model_selection import choose, language_of, resolve

WHISPER = Ability(STT, "gpu", "faster-whisper", ("small", "large"))
SPHINX = Ability(STT, "cpu", "pocketsphinx", ("en-us",), ("en",))
ESPEAK = Ability(TTS, "cpu", "espeak-ng", ("en-us", "de"), ("en", "de"))
CUSTOM = Ability(TTS, "cpu", "custom")
ALL = (WHISPER, SPHINX, ESPEAK)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("", [WHISPER, SPHINX]),
        ("faster-whisper", [WHISPER]),
        ("small", [WHISPER]),
        ("faster-whisper:large", [WHISPER]),
        ("en-us", [SPHINX]),
    ],
)
def test_a_model_is_an_engine_a_model_or_both(model: str, expected: list[Ability]) -> None:
    assert choose(ALL, STT, model=model) == expected


@pytest.mark.parametrize("model", ["tiny", "faster-whisper:en-us", "espeak-ng", "faster-whisper:"])
def test_an_unknown_model_is_404_and_names_what_there_is(model: str) -> None:
    with pytest.raises(Refused, match=r"there is faster-whisper, small, large, pocketsphinx") as e:
        choose(ALL, STT, model=model)
    assert (e.value.status, e.value.param) == (404, "model")


def test_an_unknown_voice_is_404_and_names_what_there_is() -> None:
    with pytest.raises(Refused, match=r"no voice 'amy' here; there is en-us, de") as caught:
        choose(ALL, TTS, voice="amy")
    assert caught.value.status == 404


def test_a_voice_may_have_a_variant() -> None:
    assert choose(ALL, TTS, voice="en-us+edward") == [ESPEAK]


def test_an_engine_that_lists_no_models_takes_any() -> None:
    assert choose((CUSTOM,), TTS, model="custom:own", voice="anything") == [CUSTOM]
    assert choose((CUSTOM, ESPEAK), TTS, model="espeak-ng") == [ESPEAK]


def test_a_language_is_matched_by_its_tag() -> None:
    assert choose(ALL, STT, language="en-GB") == [WHISPER, SPHINX]
    assert choose(ALL, STT, language="fr") == [WHISPER]
    assert choose(ALL, TTS, language="de-AT") == [ESPEAK]
    norwegian = Ability(TTS, "cpu", "e", ("nb",), ("no",))
    assert choose((norwegian,), TTS, language="nb-NO") == [norwegian]


def test_an_unknown_language_is_400_and_names_what_there_is() -> None:
    with pytest.raises(Refused, match=r"no language 'fr' here; there is en, de") as caught:
        choose(ALL, TTS, language="fr")
    assert caught.value.status == 400


def test_a_named_voice_decides_and_the_language_does_not() -> None:
    assert choose(ALL, TTS, voice="de", language="fr") == [ESPEAK]


def test_nothing_known_of_a_service_is_left_to_the_provider() -> None:
    assert choose((WHISPER,), TTS, voice="amy") == []


def test_a_long_list_is_cut() -> None:
    many = Ability(TTS, "cpu", "e", tuple(f"v{n}" for n in range(100)))
    with pytest.raises(Refused, match="v19 and 80 more"):
        choose((many,), TTS, voice="x")


ECHO = Ability(STT, "cpu", "echo", only_named=True)
TRANSLATES = Ability(STT, "cpu", "faster-whisper", ("tiny",), translates=True)


def test_an_engine_for_trying_things_out_is_meant_only_where_it_is_named() -> None:
    assert choose((ECHO, SPHINX), STT) == [SPHINX]
    assert choose((ECHO, SPHINX), STT, model="echo") == [ECHO]
    for name in ("pocketsphinx", "pocketsphinx:en-us", "en-us"):  # echo lists none, so it took any
        assert choose((ECHO, SPHINX), STT, model=name) == [SPHINX]
    with pytest.raises(Refused, match="name what is to do it; there is echo") as caught:
        choose((ECHO,), STT, language="en")
    assert (caught.value.status, caught.value.param) == (404, "model")


def test_a_translation_is_for_those_who_translate() -> None:
    assert choose((SPHINX, TRANSLATES), STT, translate=True) == [TRANSLATES]
    with pytest.raises(Refused, match="nothing here translates; ask for a transcript") as caught:
        choose((SPHINX,), STT, translate=True)
    assert caught.value.code == "translation_not_found"
    with pytest.raises(Refused, match="translates by 'pocketsphinx'"):
        choose((SPHINX, TRANSLATES), STT, model="pocketsphinx", translate=True)


@pytest.mark.parametrize("name", ["whisper-1", "whisper-2", "gpt-4o-transcribe", "gpt-9-ears"])
def test_openais_names_for_models_that_hear_mean_the_default(name: str) -> None:
    assert resolve(TranscriptionRequest(model=name), ALL).model == ""


@pytest.mark.parametrize("name", ["tts-1", "tts-1-hd", "TTS-2", "gpt-4o-mini-tts"])
def test_openais_names_for_models_that_speak_mean_the_default(name: str) -> None:
    resolved = resolve(SpeechRequest("x", model=name, voice="alloy"), ALL)
    assert (resolved.model, resolved.voice) == ("", "")


def test_names_of_our_own_are_no_names_of_openais() -> None:
    for name in ("whisper-large-v3", "faster-whisper", "espeak-ng", "small", "tts", "gpt", ""):
        assert resolve(TranscriptionRequest(model=name), ALL).model == name


def test_openais_name_means_what_it_says_where_somebody_lists_it() -> None:
    server = Ability(STT, "cpu", "openai-api", ("whisper-1", "gpt-4o-transcribe"))
    assert resolve(TranscriptionRequest(model="whisper-1"), (*ALL, server)).model == "whisper-1"
    speaks = Ability(TTS, "cpu", "openai-api", ("alloy", "nova"))
    assert resolve(SpeechRequest("x", voice="nova"), (speaks,)).voice == "nova"


def test_a_voice_of_openais_never_means_the_engine_of_that_name() -> None:
    echo = Ability(TTS, "cpu", "echo", only_named=True)
    assert resolve(SpeechRequest("x", voice="echo"), (echo, ESPEAK)).voice == ""


def test_language_tags() -> None:
    assert language_of("") == ""
    assert language_of("zh-Hant-TW") == "zh-Hant-TW"
    assert language_of("en_US") == "en_US"
    for wrong in ("english", "e", "en-", "../en", "en\n"):
        with pytest.raises(Refused):
            language_of(wrong)


def test_models_lists_engines_and_their_models() -> None:
    listed = [entry["id"] for entry in model_catalogue.models(ALL)["data"]]
    assert listed[:3] == ["faster-whisper", "faster-whisper:small", "faster-whisper:large"]
    assert model_catalogue.model(ALL, "espeak-ng:de")["service"] == "tts"


def test_a_model_that_is_not_there_is_404() -> None:
    with pytest.raises(Refused) as caught:
        model_catalogue.model(ALL, "gpt-9")
    assert caught.value.status == 404
    with pytest.raises(Refused):
        model_catalogue.model((), "gpt-9")


def test_voices_are_those_of_the_speaking_engines() -> None:
    assert model_catalogue.voices(ALL)["voices"] == ["en-us", "de"]


def test_a_voice_is_listed_with_its_language_where_that_is_known() -> None:
    known = Ability(TTS, "cpu", "pico", ("en-US", "x"), ("en",), spoken={"en-US": "en-US"})
    listed = model_catalogue.voices((known,))["data"]
    assert [(voice["id"], voice["language"]) for voice in listed] == [("en-US", "en-US"), ("x", "")]
