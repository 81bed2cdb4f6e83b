"""The options of a job: named in one place, and wrong ones refused where they are written."""

import inspect
from dataclasses import fields
from typing import Any

import pytest

import privox_dht
from client.config import ClientConfig
from privox_dht.dispatch.job_options import SpeechOptions, TranscriptionOptions, takes_keywords
from privox_dht.errors import ConfigError
from privox_dht.mesh import Mesh
from privox_dht.speech import SpeechRequest, TranscriptionRequest
from privox_dht.sync import SyncMesh

FULL = TranscriptionRequest(
    model="m", language="de", translate=True, prompt="p", temperature=0.5, words=True, hotwords="h"
)


class Echo:
    """Returns its options."""

    @takes_keywords(SpeechOptions)
    def speak(self, text: str, options: SpeechOptions) -> SpeechOptions:
        """Speak."""
        return options


def test_keywords_become_options() -> None:
    assert Echo().speak("Good day", voice="v", wait=1.0) == SpeechOptions(voice="v", wait=1.0)


@pytest.mark.parametrize("kind", [Mesh, SyncMesh])
@pytest.mark.parametrize(
    "method", ["transcribe", "transcript", "segments", "speak", "speech", "audio"]
)
def test_a_misspelled_option_fails_where_it_is_written(kind: type, method: str) -> None:
    call = getattr(kind, method)
    with pytest.raises(TypeError, match=rf"{method}\(\) has no option 'lanugage'; there is: lang"):
        call(None, "Good day", lanugage="de")


@pytest.mark.parametrize("kind", [Mesh, SyncMesh])
def test_help_shows_every_option_with_its_default(kind: type) -> None:
    shown = inspect.signature(kind.transcribe).parameters  # type: ignore[attr-defined]
    assert list(shown)[:2] == ["self", "audio"]
    assert {field.name for field in fields(TranscriptionOptions)} == {*shown} - {"self", "audio"}
    assert shown["wait"].default == TranscriptionOptions().wait


def test_what_a_producer_can_be_asked_is_an_option_of_a_job() -> None:
    asked = {f.name for f in fields(TranscriptionRequest)} - {"streamed"}  # the API's own affair
    assert asked <= {f.name for f in fields(TranscriptionOptions)}
    asked = {f.name for f in fields(SpeechRequest)} - {"text"}  # the input
    assert asked <= {f.name for f in fields(SpeechOptions)}


def test_a_request_that_the_mesh_is_given_reaches_the_producer_whole() -> None:
    options = TranscriptionOptions.of(FULL, wait=1.0)
    assert options.wait == 1.0 and options.request("m") == FULL
    spoken = SpeechRequest("Good day", "v", "de", "m", 1.5)
    assert SpeechOptions.of(spoken, wait=1.0).request("Good day", "m") == spoken


def test_each_flag_of_a_job_goes_to_the_service_that_has_it() -> None:
    config = ClientConfig.from_flags({"jobs": 3, "words": True, "voice": "v", "service": "tts"})
    assert config.service == "tts"
    assert config.transcription == TranscriptionOptions(jobs=3, words=True)
    assert config.speech == SpeechOptions(jobs=3, voice="v")


def test_a_flag_that_nothing_takes_is_an_error() -> None:
    with pytest.raises(TypeError, match="lanugage"):
        ClientConfig.from_flags({"lanugage": "de"})


def test_the_package_has_its_options_and_nothing_that_it_does_not_name() -> None:
    assert privox_dht.SpeechOptions is SpeechOptions
    with pytest.raises(AttributeError, match="no attribute 'Mash'"):
        privox_dht.Mash  # noqa: B018


def test_one_string_of_peer_ids_is_not_taken_for_its_letters() -> None:
    """Every producer whose id began with one of them was among the only ones that were named."""
    needs = TranscriptionOptions(only="abcd, efgh", prefer="ijkl", avoid="").needs("stt")
    assert (needs.only, needs.prefer, needs.avoid) == (("abcd", "efgh"), ("ijkl",), ())


@pytest.mark.parametrize(
    "wrong", [{"scatter": "Private"}, {"scatter": ""}, {"share": 25.0}, {"share": 0.0}], ids=str
)
def test_what_would_be_less_private_than_it_was_meant_is_an_error(wrong: dict[str, Any]) -> None:
    """`scatter="Private"` gave the pieces to everybody, and `share=25` all of it to anybody."""
    with pytest.raises(ConfigError, match="|".join(wrong)):
        TranscriptionOptions(**wrong)
