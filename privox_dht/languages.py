"""Languages by their BCP 47 tags: which available tag serves a requested one. Pure.

    requested "pt_BR", available "pt"      pt        a language serves its dialects
    requested "zh-CN", available "cmn"     cmn       two codes of one language (as no, nb; he, iw)
    requested "es",    available "es-419"  es-419    a dialect serves its language
    requested "zh",    available "yue"     none      written alike, spoken differently

langcodes knows which codes are the same (from the registry of tags, and Unicode's CLDR). It gets
the first subtag only, since it caches every tag.
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
SPOKEN_ALIKE = {"nb": "no"}  # different in CLDR, but a request for one can be served by the other
TAGS_REMEMBERED = 1024  # parsed tags; some engines have two hundred


class _Tag(NamedTuple):
    """The normalised parts of a tag."""

    language: str
    script: str
    region: str
    rest: str


def is_tag(text: str) -> bool:
    """Whether it is a tag, such as "en", "pt-BR", "pt_br" or "zh-Hant-TW"."""
    return len(text) <= limits.MAX_LANGUAGE_TAG and bool(_TAG.fullmatch(_plain(text)))


def primary(tag: str) -> str:
    """The language of a tag, by the code in records: "pt" of "pt-BR", "zh" of "cmn"."""
    return _parsed(tag).language


def written(tag: str) -> str:
    """A tag in the case of RFC 5646: "en-GB", "zh-Latn", "es-419", other subtags in small letters.
    Text that is not a tag is returned unchanged."""
    parts = _TAG.fullmatch(_plain(tag)) if is_tag(tag) else None
    if parts is None:
        return tag
    language = _one_code(parts["extended"] or parts["language"])
    script, region = (parts["script"] or "").title(), (parts["region"] or "").upper()
    return "-".join(filter(None, (language, script, region))) + parts["rest"]


def published(tags: Iterable[str]) -> tuple[str, ...]:
    """The languages of `tags` for a record: none, which means any, if there are very many.

    A record has room for few; with only some of many in it, clients would not find the others.
    """
    known = tuple(dict.fromkeys(map(primary, tags)))
    return known if len(known) <= limits.MAX_LANGUAGES else ()


def nearest(requested: str, available: Iterable[str]) -> str | None:
    """The available tag that serves the requested one best; None if none does.

    The same region is best, then none, then another; among equals the shortest, then the first.
    """
    wanted = _parsed(requested)
    same = [tag for tag in available if _parsed(tag).language == wanted.language]
    return min(same, key=lambda tag: _distance(wanted, _parsed(tag)), default=None)


def _distance(wanted: _Tag, other: _Tag) -> tuple[bool, int, bool, int]:
    """The distance of two tags of one language."""
    other_region = 0 if wanted.region == other.region else 2 if other.region else 1
    other_script = other.script not in ("", wanted.script)
    return other_script, other_region, wanted.rest != other.rest, len(other.rest)


@lru_cache(maxsize=TAGS_REMEMBERED)
def _parsed(tag: str) -> _Tag:
    plain = _plain(tag)
    parts = _TAG.fullmatch(plain) if len(plain) <= limits.MAX_LANGUAGE_TAG else None
    if parts is None:
        return _Tag(plain, "", "", "")
    language = _one_code(parts["extended"] or parts["language"])
    return _Tag(language, parts["script"] or "", parts["region"] or "", parts["rest"])


@cache  # two or three letters: there are 18,278
def _one_code(subtag: str) -> str:
    """The one code of a language that has several: "zh" of "cmn", "he" of "iw", "de" of "deu"."""
    import langcodes  # here: it takes 45 ms, and most clients name no language

    code = langcodes.Language.get(subtag).prefer_macrolanguage().language or subtag
    return SPOKEN_ALIKE.get(code, code)


def _plain(tag: str) -> str:
    return tag.replace("_", "-").lower()
