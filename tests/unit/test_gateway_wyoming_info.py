"""What Wyoming clients are told of a mesh, whose addresses are served, and what a voice means."""

from dataclasses import replace

import pytest

pytest.importorskip("wyoming")

from wyoming.tts import SynthesizeVoice

from nodes.gateway.allowed import is_allowed, parse_networks
from nodes.gateway.wyoming_info import ANY_LANGUAGE, info_of
from nodes.gateway.wyoming_speech import request_for
from privox_dht.errors import ConfigError, RequestRejected
from privox_dht.speech import EngineInfo

EAR = EngineInfo("stt", "cpu", "whisper", ("tiny",), ())
GERMAN = EngineInfo("stt", "cpu", "sphinx", (), ("de",))
PIPER = EngineInfo("tts", "cpu", "piper", ("amy", "thorsten"), ("en", "de"),
                   voice_languages={"amy": "en-US", "thorsten": "de-DE"})  # fmt: skip
ESPEAK = EngineInfo("tts", "cpu", "espeak", (), ("en", "fr"))
ECHO = EngineInfo("tts", "cpu", "echo", (), (), only_named=True)


def test_an_engine_of_any_language_has_whispers() -> None:
    (ear,) = info_of([EAR, GERMAN]).asr
    assert set(ear.models[0].languages) == set(ANY_LANGUAGE)
    assert info_of([GERMAN]).asr[0].models[0].languages == ["de"]


def test_voices_have_their_own_languages_and_an_engine_without_voices_is_one() -> None:
    (mouth,) = info_of([PIPER, ESPEAK, ECHO]).tts
    assert {voice.name: voice.languages for voice in mouth.voices} == {
        "amy": ["en-US"], "thorsten": ["de-DE"], "espeak": ["en", "fr"],
    }  # fmt: skip


def test_both_programs_are_there_before_anything_is_known() -> None:
    info = info_of([])
    assert info.asr[0].installed and info.tts[0].installed
    assert info.tts[0].voices[0].languages == list(ANY_LANGUAGE)


@pytest.mark.parametrize(
    ("voice", "engine", "name", "language"),
    [
        (SynthesizeVoice("amy"), "piper", "amy", ""),
        (SynthesizeVoice("espeak"), "espeak", "", ""),
        (SynthesizeVoice("gone"), "espeak", "", "fr"),
        (SynthesizeVoice(language="de"), "piper", "", "de"),
        (SynthesizeVoice(language="no tag at all"), "piper", "", ""),
        (None, "piper", "", ""),
    ],
)
def test_a_voice_is_one_engine_so_that_all_sentences_sound_alike(
    voice: SynthesizeVoice | None, engine: str, name: str, language: str
) -> None:
    request = request_for(voice, [PIPER, ESPEAK], {"gone": "fr"})
    assert (request.model, request.voice, request.language) == (engine, name, language)


def test_a_language_that_nobody_speaks_is_refused_unless_nobody_is_known() -> None:
    with pytest.raises(RequestRejected, match="there is no language 'cy'"):
        request_for(SynthesizeVoice(language="cy"), [replace(PIPER, languages=("en",))], {})
    assert request_for(SynthesizeVoice(language="cy"), [], {}).model == ""


def test_private_addresses_are_served_and_others_only_where_they_are_named() -> None:
    private = parse_networks(())
    for host in ("127.0.0.1", "192.168.7.1", "::1", "fe80::1%eth0", "::ffff:10.1.2.3", "fd00::2"):
        assert is_allowed(host, private), host
    for host in ("8.8.8.8", "2001:4860::8888", "::ffff:8.8.8.8", "", "nonsense"):
        assert not is_allowed(host, private), host
    assert is_allowed("8.8.8.8", parse_networks(["8.8.8.0/24"]))
    with pytest.raises(ConfigError, match="--allow here: give a network"):
        parse_networks(["here"])
