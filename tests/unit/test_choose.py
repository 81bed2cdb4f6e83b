import pytest

from nodes.choose import choose
from privox_dht.errors import Refused
from privox_dht.speech import Ability

SPHINX = Ability("stt", "cpu", "pocketsphinx", ("en-us",), ("en",))
WHISPER = Ability("stt", "cpu", "faster-whisper", ("small",), ())
PIPER = Ability("tts", "cpu", "piper", ("lessac",), ("en",))
ESPEAK = Ability("tts", "cpu", "espeak-ng", ("en-us", "de"), ("en", "de"))
ALL = (SPHINX, WHISPER, PIPER, ESPEAK)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        (("stt", "", "", ""), (0, "", "")),
        (("stt", "whisper-1", "", ""), (0, "", "")),
        (("stt", "", "", "de"), (1, "", "")),
        (("stt", "faster-whisper", "", ""), (1, "", "")),
        (("stt", "faster-whisper:small", "", ""), (1, "small", "")),
        (("stt", "small", "", "en"), (1, "small", "")),
        (("tts", "tts-1", "alloy", ""), (2, "", "")),
        (("tts", "", "", "de-DE"), (3, "", "")),
        (("tts", "", "de", ""), (3, "", "de")),
        (("tts", "espeak-ng:de", "", ""), (3, "", "de")),
        (("tts", "piper", "lessac", "en_GB"), (2, "", "lessac")),
    ],
)
def test_who_does_it(asked, chosen):
    assert choose(ALL, *asked) == chosen


@pytest.mark.parametrize(
    ("asked", "code", "named"),
    [
        (("stt", "large", "", ""), "model_not_found", "pocketsphinx, faster-whisper, en-us, small"),
        (("tts", "", "bob", ""), "voice_not_found", "lessac"),
        (("tts", "piper", "de", ""), "voice_not_found", "there is: piper, lessac"),
        (("tts", "", "", "sw"), "language_not_found", "there is: de, en"),
        (("tts", "piper", "", "de"), "language_not_found", "there is: en"),
    ],
)
def test_a_refusal_names_what_there_is(asked, code, named):
    with pytest.raises(Refused, match=named) as caught:
        choose(ALL, *asked)
    assert (caught.value.status, caught.value.code) == (404, code)


def test_a_service_that_is_not_served_is_said_so():
    with pytest.raises(Refused, match="tts is not served here"):
        choose((SPHINX,), "tts", "", "", "")
