"""Which voice of an engine speaks: by its name, then by the language. And how Pico cuts a text."""

import pytest

from nodes.engines import pico
from nodes.engines.espeak import EspeakVoices
from nodes.engines.pico import choose, sentences
from privox_dht import errors

PICO = ("en-GB", "en-US", "de-DE", "es-ES", "fr-FR", "it-IT")
ESPEAK = EspeakVoices(
    [
        {"file": "gmw/en-029", "tags": [[5, "en-029"], [10, "en"]]},
        {"file": "gmw/en", "tags": [[2, "en-gb"], [2, "en"]]},
        {"file": "gmw/en-US", "tags": [[2, "en-us"], [3, "en"]]},
        {"file": "gmw/de", "tags": [[5, "de"]]},
        {"file": "roa/pt-BR", "tags": [[5, "pt-br"], [6, "pt"]]},
        {"file": "roa/pt", "tags": [[5, "pt"], [5, "pt-pt"]]},
        {"file": "roa/fr-BE", "tags": [[5, "fr-be"], [8, "fr"]]},
        {"file": "roa/fr", "tags": [[5, "fr-fr"], [5, "fr"]]},
        {"file": "roa/es-419", "tags": [[5, "es-419"], [6, "es-mx"]]},
        {"file": "gmq/nb", "tags": [[5, "nb"], [5, "no"]]},
        {"file": "sit/cmn", "tags": [[5, "cmn"], [5, "zh-cmn"], [5, "zh"]]},
        {"file": "sit/yue", "tags": [[5, "yue"], [8, "zh"]]},
        {"file": "sit/yue-Latn-jyutping", "tags": [[5, "yue"], [8, "zh"]]},
    ],
    ("edward", "f3"),
)


@pytest.mark.parametrize(
    ("named", "language", "chosen"),
    [
        ("", "", "en-us+edward"),
        ("", "en", "en-us+edward"),
        ("", "en-US", "en-us+edward"),
        ("", "en-GB", "en-gb"),
        ("", "en-AU", "en-us+edward"),
        ("", "de", "de"),
        ("", "de-AT", "de"),
        ("", "pt-BR", "pt-br"),
        ("", "pt_PT", "pt"),
        ("", "pt", "pt"),
        ("", "fr", "fr-fr"),
        ("", "fr-CA", "fr-fr"),
        ("", "fr-BE", "fr-be"),
        ("", "es-MX", "es-419"),
        ("", "es", "es-419"),
        ("", "no", "nb"),
        ("", "zh", "cmn"),
        ("", "zh-CN", "cmn"),
        ("", "zh-yue", "yue"),
        ("de", "", "de"),
        ("DE", "fr", "de"),
        ("en-gb+f3", "", "en-gb+f3"),
        ("yue-latn-jyutping", "", "yue-latn-jyutping"),
    ],
)
def test_espeak_chooses_by_name_then_by_language(named: str, language: str, chosen: str) -> None:
    assert ESPEAK.choose(named, language, "en-us+edward") == chosen


def test_a_language_that_several_voices_speak_is_spoken_by_the_best() -> None:
    assert ESPEAK.choose("", "en", "de") == "en-gb"


def test_a_voice_is_selected_by_its_file() -> None:
    assert ESPEAK.file("fr-fr+f3") == "roa/fr+f3"
    assert ESPEAK.file("yue") == "sit/yue"


@pytest.mark.parametrize(
    ("named", "language", "param"),
    [
        ("nobody", "", "voice"),
        ("en-us+nobody", "", "voice"),
        ("en-us+../../x", "", "voice"),
        ("x" * 10_000, "", "voice"),
        ("", "tlh", "language"),
    ],
)
def test_espeak_refuses_what_is_not_there_and_names_what_is(
    named: str, language: str, param: str
) -> None:
    with pytest.raises(errors.RequestRejected, match="here; it has ") as refused:
        ESPEAK.choose(named, language, "en-us+edward")
    assert (refused.value.status, refused.value.param) == (404, param)
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("named", "language", "chosen"),
    [
        ("", "", "en-US"),
        ("", "en", "en-US"),
        ("", "en-GB", "en-GB"),
        ("", "en-AU", "en-US"),
        ("", "de", "de-DE"),
        ("", "fr_CA", "fr-FR"),
        ("en_gb", "", "en-GB"),
        ("DE-de", "fr", "de-DE"),
    ],
)
def test_pico_chooses_by_name_then_by_language(named: str, language: str, chosen: str) -> None:
    assert choose(named, language, pico.DEFAULT_VOICE, PICO) == chosen


@pytest.mark.parametrize(
    ("named", "language", "param"),
    [
        ("nobody", "", "voice"),
        ("../x", "", "voice"),
        ("x" * 10_000, "", "voice"),
        ("", "pt", "language"),
    ],
)
def test_pico_refuses_what_is_not_there_and_names_what_is(
    named: str, language: str, param: str
) -> None:
    with pytest.raises(errors.RequestRejected, match="it has en-GB, en-US, de-DE") as refused:
        choose(named, language, pico.DEFAULT_VOICE, PICO)
    assert (refused.value.status, refused.value.param) == (404, param)
    assert len(refused.value.message) < 200


def test_a_text_is_cut_between_sentences_and_no_piece_is_long() -> None:
    assert sentences("One. Two!\nThree") == ["One.", "Two!", "Three"]
    assert sentences("3.14 a.b") == ["3.14 a.b"]
    assert max(map(len, sentences("word " * 500 + "x" * 1000))) <= pico.LONGEST
    assert sentences(" ") == []
