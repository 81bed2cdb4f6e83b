"""Which language is meant by a tag, of those that are there."""

import pytest

from privox_dht.languages import is_tag, nearest, primary, published, written


@pytest.mark.parametrize(
    ("asked", "there", "meant"),
    [
        ("en", ["de", "en"], "en"),
        ("en-US", ["en"], "en"),
        ("pt_BR", ["pt-pt", "pt-br"], "pt-br"),
        ("pt-AO", ["pt-br", "pt"], "pt"),
        ("es", ["es-419"], "es-419"),
        ("zh-CN", ["yue", "cmn-latn-pinyin", "cmn"], "cmn"),
        ("cmn", ["zh"], "zh"),
        ("zh-Hant-TW", ["zh"], "zh"),
        ("no", ["nb"], "nb"),
        ("nb", ["no"], "no"),
        ("iw", ["he"], "he"),
        ("deu", ["de"], "de"),
        ("ger", ["de"], "de"),
        ("fil", ["tl"], "tl"),
        ("jv", ["jw"], "jw"),
        ("zh-yue", ["cmn", "yue"], "yue"),
        ("en", ["en-gb-x-rp", "en-us"], "en-us"),
        ("en-gb", ["en-gb-x-rp", "en-gb"], "en-gb"),
        ("en", ["en-us-nyc"], "en-us-nyc"),
        ("zh", ["yue"], None),
        ("ca", ["es"], None),
        ("nn", ["nb"], None),
        ("xx", ["en"], None),
        ("", ["en"], None),
        ("en", [], None),
        ("english", ["en"], None),
    ],
)
def test_a_language_is_served_by_its_nearest_relative(
    asked: str, there: list[str], meant: str | None
) -> None:
    assert nearest(asked, there) == meant


@pytest.mark.parametrize("tag", ["en", "pt-BR", "pt_br", "zh-Hant-TW", "es-419", "zh-cmn-Hans-CN"])
def test_what_is_a_tag(tag: str) -> None:
    assert is_tag(tag)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "e",
        "english",
        "en-",
        "-en",
        "../en",
        "en\n",
        "en gb",
        "x-a",
        "\u0130n",
        "en" + "-a" * 17,
    ],
)
def test_what_is_no_tag(text: str) -> None:
    assert not is_tag(text)
    primary(text)  # whatever a stranger's record lists, nothing is raised


@pytest.mark.parametrize(
    ("tag", "as_written"),
    [
        ("EN_gb", "en-GB"),
        ("cmn-latn-pinyin", "zh-Latn-pinyin"),
        ("es-419", "es-419"),
        ("en-gb-x-rp", "en-GB-x-rp"),
        ("piqd", "piqd"),
        ("", ""),
    ],
)
def test_a_tag_is_written_as_everybody_does(tag: str, as_written: str) -> None:
    assert written(tag) == as_written


def test_one_language_is_published_under_one_code_and_very_many_as_any() -> None:
    assert published(["en-us", "en_GB", "pt-BR", "cmn", "zh", "nb"]) == ("en", "pt", "zh", "no")
    assert published(chr(97 + n) * 2 for n in range(17)) == ()
    assert published([]) == ()


def test_langcodes_is_asked_for_no_more_than_a_bounded_number_of_words() -> None:
    """It remembers all that it was ever asked, and strangers choose what is asked."""
    import langcodes

    primary("en")
    before = len(langcodes.Language._PARSE_CACHE)
    for n in range(500):
        primary(f"en-x-a{n}")
        primary(f"en-{n:03}")
    assert len(langcodes.Language._PARSE_CACHE) - before <= 1
