"""Languages by their BCP 47 tags: which of those there are is meant by the one asked for. Pure.

    "pt_BR" asked, "pt" there      pt        a dialect is served by its language
    "zh-CN" asked, "cmn" there     cmn       two codes of one language: so are no and nb, he and iw
    "es"    asked, "es-419" there  es-419    a language is served by its dialects
    "zh"    asked, "yue" there     nothing   written alike, spoken differently

langcodes knows which codes are the same (from the registry of tags, and Unicode's CLDR). It is
given the first subtag only, since it caches every tag.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

from privox_dht import limits

_TAG = re.compile(
    r"""(?P<language>[a-z]{2,3}) (-(?P<extended>[a-z]{3}))?  (-(?P<script>[a-z]{4}))?
        (-(?P<region>[a-z]{2}|[0-9]{3}))?  (?P<rest>(-[a-z0-9]{1,8})*)""",
    re.VERBOSE,
)
SPOKEN_ALIKE = {"nb": "no"}  # CLDR has them one step apart; whoever asks for one means the other
TAGS_REMEMBERED = 1024  # tags taken apart; some engines have two hundred


class _Tag(NamedTuple):
    """A tag, taken apart and written in one way."""

    language: str
    script: str
    region: str
    rest: str


def is_tag(text: str) -> bool:
    """Whether it is a tag, such as "en", "pt-BR", "pt_br" or "zh-Hant-TW"."""
    return len(text) <= limits.MAX_LANGUAGE_TAG and bool(_TAG.fullmatch(_plain(text)))


def primary(tag: str) -> str:
    """The language of a tag, by the code that is published: "pt" of "pt-BR", "zh" of "cmn"."""
    return _apart(tag).language


def written(tag: str) -> str:
    """A tag as RFC 5646 has it written: "en-GB", "zh-Latn", "es-419", and what follows in small
    letters. What is no tag stays as it is."""
    parts = _TAG.fullmatch(_plain(tag)) if is_tag(tag) else None
    if parts is None:
        return tag
    language = _one_code(parts["extended"] or parts["language"])
    script, region = (parts["script"] or "").title(), (parts["region"] or "").upper()
    return "-".join(filter(None, (language, script, region))) + parts["rest"]


def published(tags: Iterable[str]) -> tuple[str, ...]:
    """The languages of `tags`, as a record lists them: none, which means any, for very many.

    A record has room for few; whoever publishes some of many would not be asked for the others.
    """
    known = tuple(dict.fromkeys(map(primary, tags)))
    return known if len(known) <= limits.MAX_LANGUAGES else ()


def nearest(asked: str, there: Iterable[str]) -> str | None:
    """The one of `there` that serves `asked` best; None if none does.

    The same region is best, then none, then another one; and of those the plainest, and the first.
    """
    wanted = _apart(asked)
    same = [tag for tag in there if _apart(tag).language == wanted.language]
    return min(same, key=lambda tag: _distance(wanted, _apart(tag)), default=None)


def _distance(wanted: _Tag, there: _Tag) -> tuple[bool, int, bool, int]:
    """How far apart two tags of one language are."""
    other_region = 0 if wanted.region == there.region else 2 if there.region else 1
    other_script = there.script not in ("", wanted.script)
    return other_script, other_region, wanted.rest != there.rest, len(there.rest)


@lru_cache(maxsize=TAGS_REMEMBERED)
def _apart(tag: str) -> _Tag:
    plain = _plain(tag)
    parts = _TAG.fullmatch(plain) if len(plain) <= limits.MAX_LANGUAGE_TAG else None
    if parts is None:
        return _Tag(plain, "", "", "")
    language = _one_code(parts["extended"] or parts["language"])
    return _Tag(language, parts["script"] or "", parts["region"] or "", parts["rest"])


@cache  # two or three letters: there are 18,278
def _one_code(subtag: str) -> str:
    """The one code of a language that has several: "zh" of "cmn", "he" of "iw", "de" of "deu"."""
    import langcodes  # takes 45 ms to import, and most who start a client name no language

    code = langcodes.Language.get(subtag).prefer_macrolanguage().language or subtag
    return SPOKEN_ALIKE.get(code, code)


def _plain(tag: str) -> str:
    return tag.replace("_", "-").lower()
