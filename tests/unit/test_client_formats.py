"""The output's name decides the format, or is refused."""

import pytest

from client.targets import AUDIO, TEXT, ending_of, format_for, formats_of
from privox_dht import speech, transcript
from privox_dht.errors import ConfigError


@pytest.mark.parametrize(
    ("service", "output", "asked", "format"),
    [
        ("stt", "s.srt", "", "srt"),
        ("stt", "s.VTT", "", "vtt"),
        ("stt", "dir.d/s.json", "", "json"),
        ("stt", "s.txt", "", "text"),
        ("stt", "s.tsv", "", "tsv"),
        ("stt", "s.srt", "srt", "srt"),
        ("stt", "notes.md", "text", "text"),
        ("stt", "", "txt", "text"),
        ("tts", "x.mp3", "", "mp3"),
        ("tts", "x.m4a", "", "m4a"),
        ("tts", "x.ogg", "", "opus"),
        ("tts", "x.ogg", "opus", "opus"),
        ("tts", "x.aac", "", "aac"),
        ("tts", "x.flac", "", "flac"),
        ("tts", "x.sound", "mp3", "mp3"),
        *(("stt", name, "", "text") for name in ("", "-", "s", "/dev/null", "a.d/s", ".hidden")),
        *(("tts", name, "", "wav") for name in ("", "-", "x", "/dev/stdout", "/dev/fd/63")),
        *(("tts", name, "mp3", "mp3") for name in ("", "-", "x")),
    ],
)
def test_the_name_decides_the_format_and_a_name_without_an_ending_decides_nothing(
    service: str, output: str, asked: str, format: str
) -> None:
    assert format_for(service, output, asked) == format


@pytest.mark.parametrize(
    ("service", "output", "asked", "said"),
    [
        ("tts", "x.xyz", "", "x.xyz does not say which format.*.wav, .mp3, .flac, .opus, .aac"),
        ("stt", "s.doc", "", "s.doc does not say which format.*.txt, .json, .srt, .vtt, .tsv"),
        ("tts", "x.mp3", "wav", "--format wav contradicts the name x.mp3, which says mp3"),
        ("tts", "x.m4a", "aac", "--format aac contradicts the name x.m4a, which says m4a"),
        ("tts", "x.ogg", "flac", "contradicts"),
        ("stt", "s.srt", "vtt", "--format vtt contradicts the name s.srt, which says srt"),
        ("stt", "s.wav", "", "does not say which format"),
        ("stt", "s.wav", "text", "cannot write s.wav, since .wav files hold sound"),
        ("tts", "x.txt", "wav", "cannot write x.txt, since .txt files hold text"),
        ("tts", "", "doc", "--format doc is not for tts; there is: wav, mp3"),
        ("stt", "", "mp3", "--format mp3 is not for stt; there is: text, json, srt, vtt, tsv"),
    ],
)
def test_a_name_that_says_nothing_known_or_something_else_is_refused(
    service: str, output: str, asked: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        format_for(service, output, asked)


def test_every_format_has_an_ending_and_can_be_written() -> None:
    assert set(AUDIO.values()) == set(speech.AUDIO_FORMATS) == set(formats_of("tts"))
    for format in formats_of("stt"):
        assert TEXT[ending_of("stt", format)] == format
    assert {*formats_of("stt"), "verbose_json"} == set(transcript.CONTENT_TYPES)
