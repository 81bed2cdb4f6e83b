"""Pauses and SSML in a text that is to be spoken."""

import random
import time
from contextlib import suppress

import pytest

from nodes.marked_text import Break, Part, SpokenText, parts
from privox_dht import limits
from privox_dht.errors import RequestRejected


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Two  words & <three>.", [SpokenText("Two  words & <three>.")]),
        ('One <break time="1.5s"/> two', [SpokenText("One "), Break(1.5), SpokenText(" two")]),
        ("<break time='250ms' />Go", [Break(0.25), SpokenText("Go")]),
        ("<speak>Plain</speak>", [SpokenText("Plain")]),
        ('<speak>A<break time="1s"/>b</speak>', [SpokenText("A"), Break(1.0), SpokenText("b")]),
        ("<speak>A<break/>b<break strength='none'/></speak>",
         [SpokenText("A"), Break(0.5), SpokenText("b"), Break(0.0)]),
        ("<speak><p><s>One.</s> <s>Two.</s></p></speak>", [SpokenText("One."), SpokenText("Two.")]),
        ("<speak>The <sub alias='World Wide Web'>WWW <b>x</b></sub> &amp; I</speak>",
         [SpokenText("The World Wide Web & I")]),
        ("<speak>a <prosody rate='slow'>b</prosody> c</speak>",
         [SpokenText("a"), SpokenText("b", 0.75), SpokenText("c")]),
        ("<speak><prosody rate='150%'>b</prosody></speak>", [SpokenText("b", 1.5)]),
        ("<speak><emphasis>so</emphasis> <say-as interpret-as='date'>1 May</say-as></speak>",
         [SpokenText("so 1 May")]),
        ("  <speak xmlns='http://www.w3.org/2001/10/synthesis' xml:lang='en'>ü</speak> ",
         [SpokenText("ü")]),
    ],
)  # fmt: skip
def test_a_text_becomes_parts(text: str, found: list[Part]) -> None:
    assert parts(text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<speak>a<audio src='http://example.org/x.wav'/></speak>", "<audio> names something"),
        ("<speak><lexicon uri='file:///etc/passwd'/>a</speak>", "<lexicon> names something"),
        ("<speak><voice SRC='x'>a</voice></speak>", "<voice> names something"),
        ('<!DOCTYPE speak SYSTEM "/etc/passwd"><speak>a</speak>', ""),
        ("<speak >&x;</speak>", "the SSML is broken at line 1"),
        ("<speak>a", "the SSML is broken at line 1"),
        ("<speak>" + "<p>" * 1000 + "a" + "</p>" * 1000 + "</speak>", "<p> stands more than 32"),
        ('a <break time="1 hour"/>', "a time is written 500ms"),
        ('<speak>a<break time="11s"/></speak>', "<break> of 11 s: at most 10 s"),
        ('<break time="1s"/>', "no words"),
        ("<speak> </speak>", "no words"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_a_400_that_names_the_element(text: str, said: str) -> None:
    if not said:  # it does not begin with <speak>: no engine reads it as anything but words
        assert parts(text) == [SpokenText(text)]
        return
    with pytest.raises(RequestRejected, match=said) as caught:
        parts(text)
    assert caught.value.status == 400 and caught.value.param == "input"


def test_a_doctype_within_ssml_is_refused_before_its_entities_are_looked_at() -> None:
    bomb = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
    text = f'<speak ><?x?></speak><!DOCTYPE speak [<!ENTITY l0 "ha">{bomb}]>'
    with pytest.raises(RequestRejected, match=r"broken|DOCTYPE"):
        parts(text)


@pytest.mark.parametrize(
    "text", ['a <break time="{}!"/>', "<speak><prosody rate='{}!'>a</prosody></speak>"]
)
def test_a_number_of_thousands_of_digits_takes_no_time(text: str) -> None:
    """It took 0.3 s, in which the node answered nobody."""
    began = time.process_time()
    with suppress(RequestRejected):
        parts(text.format("1" * (limits.MAX_TEXT - len(text))))
    assert time.process_time() - began < 0.05


def test_whatever_strangers_send_is_parts_or_a_400() -> None:
    rng = random.Random(3)
    pieces = ["<speak>", "</speak>", "<p>", "</p>", "<break time='1s'/>", "<sub alias='x'>",
              "</sub>", "words", "&amp;", "&#0;", "<", '"', "\ud800", "\0", "<![CDATA[x]]>",
              "<prosody rate='0%'>", "</prosody>"]  # fmt: skip
    for _ in range(3000):
        text = "<speak>" + "".join(rng.choices(pieces, k=rng.randrange(9))) + "</speak>"
        try:
            found = parts(text)
        except RequestRejected as exc:
            assert exc.status == 400
        else:
            assert all(isinstance(p, Break) or 0.25 <= p.speed <= 4 for p in found)
    assert limits.MAX_SSML_DEPTH < 1000
