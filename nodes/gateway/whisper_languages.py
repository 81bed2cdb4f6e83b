"""The languages that Whisper supports, assumed of an engine for "any" language, and their English
names, which older servers use. Pure."""

from privox_dht import languages

_TEXT = """
af afrikaans am amharic ar arabic as assamese az azerbaijani ba bashkir be belarusian bg bulgarian
bn bengali bo tibetan br breton bs bosnian ca catalan cs czech cy welsh da danish de german el
greek en english es spanish et estonian eu basque fa persian fi finnish fo faroese fr french gl
galician gu gujarati ha hausa haw hawaiian he hebrew hi hindi hr croatian ht haitian_creole hu
hungarian hy armenian id indonesian is icelandic it italian ja japanese jw javanese ka georgian kk
kazakh km khmer kn kannada ko korean la latin lb luxembourgish ln lingala lo lao lt lithuanian lv
latvian mg malagasy mi maori mk macedonian ml malayalam mn mongolian mr marathi ms malay mt
maltese my myanmar ne nepali nl dutch nn nynorsk no norwegian oc occitan pa punjabi pl polish ps
pashto pt portuguese ro romanian ru russian sa sanskrit sd sindhi si sinhala sk slovak sl
slovenian sn shona so somali sq albanian sr serbian su sundanese sv swedish sw swahili ta tamil te
telugu tg tajik th thai tk turkmen tl tagalog tr turkish tt tatar uk ukrainian ur urdu uz uzbek vi
vietnamese yi yiddish yo yoruba yue cantonese zh chinese
"""
_WORDS = _TEXT.split()
NAMES = {code: name.replace("_", " ") for code, name in zip(_WORDS[::2], _WORDS[1::2], strict=True)}
TAGS = {name: code for code, name in NAMES.items()}


def english_name(tag: str) -> str:
    """The English name of a language; its tag if Whisper does not support it."""
    return NAMES.get(languages.primary(tag), tag)


def tag_of(name: str) -> str:
    """The tag of a language that is given by its English name, in any case, or by its tag."""
    name = name.strip()
    return TAGS.get(name.lower(), name)
