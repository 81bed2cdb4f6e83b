"""Which info a request means, and what is said when it means none."""

from dataclasses import replace

import pytest

from privox_dht.errors import RequestRejected
from privox_dht.speech import STT, TTS, EngineInfo, SpeechRequest, TranscriptionRequest
from privox_dht.speech_api import model_catalogue
from privox_dht.speech_api.model_selection import resolve, select, validate_language

WHISPER = EngineInfo(STT, "gpu", "faster-whisper", ("small", "large"))
SPHINX = EngineInfo(STT, "cpu", "pocketsphinx", ("en-us",), ("en",))
ESPEAK = EngineInfo(TTS, "cpu", "espeak-ng", ("en-us", "de"), ("en", "de"))
CUSTOM = EngineInfo(TTS, "cpu", "custom")
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
def test_a_model_is_an_engine_a_model_or_both(model: str, expected: list[EngineInfo]) -> None:
    assert select(ALL, STT, model=model) == expected


@pytest.mark.parametrize("model", ["tiny", "faster-whisper:en-us", "espeak-ng", "faster-whisper:"])
def test_an_unknown_model_is_404_and_names_what_there_is(model: str) -> None:
    with pytest.raises(
        RequestRejected, match=r"there is faster-whisper, small, large, pocketsphinx"
    ) as e:
        select(ALL, STT, model=model)
    assert (e.value.status, e.value.param) == (404, "model")


def test_an_unknown_voice_is_404_and_names_what_there_is() -> None:
    with pytest.raises(RequestRejected, match=r"no voice 'amy' here; there is en-us, de") as caught:
        select(ALL, TTS, voice="amy")
    assert caught.value.status == 404


def test_a_voice_may_have_a_variant() -> None:
    assert select(ALL, TTS, voice="en-us+edward") == [ESPEAK]


def test_an_engine_that_lists_no_models_takes_any() -> None:
    assert select((CUSTOM,), TTS, model="custom:own", voice="anything") == [CUSTOM]
    assert select((CUSTOM, ESPEAK), TTS, model="espeak-ng") == [ESPEAK]


def test_one_that_lists_all_it_has_takes_no_other_name() -> None:
    """What a gateway knows of a producer whose engine lists no models."""
    meshed = replace(CUSTOM, only_listed=True)
    assert select((meshed,), TTS, model="custom") == [meshed]
    for model, voice in (("own", ""), ("custom:own", ""), ("", "own")):
        with pytest.raises(RequestRejected) as caught:
            select((meshed,), TTS, model=model, voice=voice)
        assert caught.value.status == 404


def test_a_language_is_matched_by_its_tag() -> None:
    assert select(ALL, STT, language="en-GB") == [WHISPER, SPHINX]
    assert select(ALL, STT, language="fr") == [WHISPER]
    assert select(ALL, TTS, language="de-AT") == [ESPEAK]
    norwegian = EngineInfo(TTS, "cpu", "e", ("nb",), ("no",))
    assert select((norwegian,), TTS, language="nb-NO") == [norwegian]


def test_an_unknown_language_is_400_and_names_what_there_is() -> None:
    with pytest.raises(RequestRejected, match=r"no language 'fr' here; there is en, de") as caught:
        select(ALL, TTS, language="fr")
    assert caught.value.status == 400


def test_a_named_voice_decides_and_the_language_does_not() -> None:
    assert select(ALL, TTS, voice="de", language="fr") == [ESPEAK]


def test_nothing_known_of_a_service_is_left_to_the_provider() -> None:
    assert select((WHISPER,), TTS, voice="amy") == []


def test_a_long_list_is_cut() -> None:
    many = EngineInfo(TTS, "cpu", "e", tuple(f"v{n}" for n in range(100)))
    with pytest.raises(RequestRejected, match="v19 and 80 more"):
        select((many,), TTS, voice="x")


ECHO = EngineInfo(STT, "cpu", "echo", only_named=True)
TRANSLATES = EngineInfo(STT, "cpu", "faster-whisper", ("tiny",), translates=True)


def test_an_engine_for_trying_things_out_is_meant_only_where_it_is_named() -> None:
    assert select((ECHO, SPHINX), STT) == [SPHINX]
    assert select((ECHO, SPHINX), STT, model="echo") == [ECHO]
    for name in ("pocketsphinx", "pocketsphinx:en-us", "en-us"):  # echo lists none, so it took any
        assert select((ECHO, SPHINX), STT, model=name) == [SPHINX]
    with pytest.raises(RequestRejected, match=r"only stt/cpu/echo.* say --model echo") as caught:
        select((ECHO,), STT, language="en")
    assert (caught.value.status, caught.value.param) == (404, "model")


def test_a_translation_is_for_those_who_translate() -> None:
    assert select((SPHINX, TRANSLATES), STT, translate=True) == [TRANSLATES]
    with pytest.raises(
        RequestRejected, match="nothing here translates; ask for a transcript"
    ) as caught:
        select((SPHINX,), STT, translate=True)
    assert caught.value.code == "translation_not_found"
    with pytest.raises(RequestRejected, match="translates by 'pocketsphinx'"):
        select((SPHINX, TRANSLATES), STT, model="pocketsphinx", translate=True)


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
    server = EngineInfo(STT, "cpu", "openai-api", ("whisper-1", "gpt-4o-transcribe"))
    assert resolve(TranscriptionRequest(model="whisper-1"), (*ALL, server)).model == "whisper-1"
    speaks = EngineInfo(TTS, "cpu", "openai-api", ("alloy", "nova"))
    assert resolve(SpeechRequest("x", voice="nova"), (speaks,)).voice == "nova"


def test_a_voice_of_openais_never_means_the_engine_of_that_name() -> None:
    echo = EngineInfo(TTS, "cpu", "echo", only_named=True)
    assert resolve(SpeechRequest("x", voice="echo"), (echo, ESPEAK)).voice == ""


def test_language_tags() -> None:
    assert validate_language("") == ""
    assert validate_language("zh-Hant-TW") == "zh-Hant-TW"
    assert validate_language("en_US") == "en_US"
    for wrong in ("english", "e", "en-", "../en", "en\n"):
        with pytest.raises(RequestRejected):
            validate_language(wrong)


def test_models_lists_engines_and_their_models() -> None:
    listed = [entry["id"] for entry in model_catalogue.models(ALL)["data"]]
    assert listed[:3] == ["faster-whisper", "faster-whisper:small", "faster-whisper:large"]
    assert model_catalogue.model(ALL, "espeak-ng:de")["service"] == "tts"


def test_a_model_that_is_not_there_is_404() -> None:
    with pytest.raises(RequestRejected) as caught:
        model_catalogue.model(ALL, "gpt-9")
    assert caught.value.status == 404
    with pytest.raises(RequestRejected):
        model_catalogue.model((), "gpt-9")


def test_voices_are_those_of_the_speaking_engines() -> None:
    assert model_catalogue.voices(ALL)["voices"] == ["en-us", "de"]


def test_a_voice_is_listed_with_its_language_where_that_is_known() -> None:
    known = EngineInfo(
        TTS, "cpu", "pico", ("en-US", "x"), ("en",), voice_languages={"en-US": "en-US"}
    )
    listed = model_catalogue.voices((known,))["data"]
    assert [(voice["id"], voice["language"]) for voice in listed] == [("en-US", "en-US"), ("x", "")]


@pytest.mark.parametrize(
    ("language", "meant"), [("en", "small.en"), ("", "small"), ("de", "small")]
)
def test_a_quality_word_means_the_english_model_where_english_is_asked_for(
    language: str, meant: str
) -> None:
    english = EngineInfo(STT, "cpu", "faster-whisper", ("small.en", "better"), ("en",))
    any_language = EngineInfo(STT, "cpu", "faster-whisper", ("small", "better"))
    for offered in ((english, any_language), (any_language, english)):
        first, *_ = select((SPHINX, *offered), STT, model="better", language=language)
        assert first.models[0] == meant


def test_the_list_of_models_has_all_languages_where_a_record_says_any() -> None:
    known = EngineInfo(STT, "cpu", "w", ("tiny",), all_languages=("de", "en"), warm=False)
    [engine, named] = model_catalogue.models([known])["data"]
    assert engine["languages"] == named["languages"] == ["de", "en"]
    assert not named["warm"]
