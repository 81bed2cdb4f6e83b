"""The description of the mesh for Wyoming clients. Pure.

Home Assistant uses the first program of each kind and nothing else, asks by language only, and
takes an empty list of languages for none. So there is one program of each kind for the whole mesh,
and languages are listed: an engine for any language gets Whisper's.
"""

from collections.abc import Iterable, Sequence

from wyoming.info import AsrModel, AsrProgram, Attribution, Info, TtsProgram, TtsVoice

from nodes.gateway.whisper_languages import NAMES
from privox_dht import __version__
from privox_dht.speech import STT, TTS, EngineInfo

PROGRAM = "privox"
MESH = "mesh"  # the only model, and the voice as long as none is known
ANY_LANGUAGE = tuple(NAMES)
_BY = Attribution("privox_dht", "")


def info_of(engines: Sequence[EngineInfo]) -> Info:
    """The answer to `describe`: what these engines can do. A service that none of them has is
    offered for any language."""
    transcribers = [e for e in engines if e.service == STT and not e.only_named]
    speakers = [e for e in engines if e.service == TTS and not e.only_named]
    model = AsrModel(
        MESH,
        _BY,
        True,
        "the best producer that is idle",
        __version__,
        _languages(transcribers) or [*ANY_LANGUAGE],
    )
    voices = [voice for info in speakers for voice in _voices(info)]
    voices = voices or [_voice(MESH, ANY_LANGUAGE)]
    about = (_BY, True, "a mesh of people's own machines", __version__)
    return Info(
        asr=[AsrProgram(PROGRAM, *about, [model], supports_transcript_streaming=True)],
        tts=[TtsProgram(PROGRAM, *about, voices, supports_synthesize_streaming=True)],
    )


def _languages(engines: Iterable[EngineInfo]) -> list[str]:
    spoken = [language for e in engines for language in (e.languages or ANY_LANGUAGE)]
    return list(dict.fromkeys(spoken))


def _voices(info: EngineInfo) -> list[TtsVoice]:
    """The voices of an engine; one that lists none is a voice itself."""
    languages = info.languages or ANY_LANGUAGE
    named = [
        _voice(name, (tag,) if (tag := info.voice_languages.get(name, "")) else languages)
        for name in info.models
    ]
    return named or [_voice(info.engine, languages)]


def _voice(name: str, languages: Iterable[str]) -> TtsVoice:
    return TtsVoice(name, _BY, True, name, __version__, list(languages))
