"""Engines by name: what "service/backend/what" means, and what is said when it means nothing."""

import importlib.metadata
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from nodes import engines
from nodes.engines import benchmark, espeak, piper, pocketsphinx, whisper
from privox_dht import errors, model_names


class Better:
    """An engine of somebody else's."""

    service, name, rank = "stt", "better", 1

    def __init__(self, *, model: str = "", backend: str = "cpu", cache: Path | None = None) -> None:
        self.asked = (model, backend, cache)

    @classmethod
    def check(cls, backend: str) -> None:
        if backend == "gpu":
            raise errors.EngineUnavailable("no GPU", "buy one")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Better`, and an engine that cannot be imported, beside those that are there."""
    real = importlib.metadata.entry_points

    def with_ours(**asked: Any) -> EntryPoints:
        group = "privox_dht.transcribers"
        ours = EntryPoints(
            [
                EntryPoint("better", f"{__name__}:Better", group),
                EntryPoint("broken", "no_such_module:Engine", group),
            ]
        )
        return EntryPoints([*real(**asked), *ours.select(**asked)])

    monkeypatch.setattr(importlib.metadata, "entry_points", with_ours)


def test_our_own_engines_are_found_by_name() -> None:
    assert {"faster-whisper", "pocketsphinx"} <= set(engines.known("stt"))
    assert {"espeak-ng", "piper"} <= set(engines.known("tts"))
    assert engines.find("stt", "pocketsphinx") is pocketsphinx.PocketSphinx
    assert engines.find("stt", "faster-whisper") is whisper.FasterWhisper
    assert engines.find("tts", "espeak-ng") is espeak.EspeakNg
    assert engines.find("tts", "piper") is piper.Piper


def test_an_engine_of_somebody_elses_is_found_and_the_best_comes_first(installed: None) -> None:
    assert isinstance(engines.make_engines("stt", "cpu")[0], Better)


def test_the_model_the_backend_and_the_cache_reach_the_engine(installed: None) -> None:
    engine = engines.make_engines("asr", "cpu", "better:a:b", cache=Path("/there"))[0]
    assert isinstance(engine, Better) and engine.asked == ("a:b", "cpu", Path("/there"))


@pytest.mark.parametrize(
    ("service", "backend", "what", "said"),
    [
        ("ocr", "cpu", "", "no service 'ocr'; there are stt and tts"),
        ("stt", "npu", "", "no backend 'npu'; there are cpu and gpu"),
        ("stt", "cpu", "nobody", "no engine 'nobody' for stt; there are"),
        ("tts", "cpu", "pocketsphinx", "no engine 'pocketsphinx' for tts; there are"),
    ],
)
def test_what_means_nothing_is_told_with_what_there_is(
    service: str, backend: str, what: str, said: str
) -> None:
    with pytest.raises(errors.ConfigError, match=said):
        engines.make_engines(service, backend, what)


def test_an_engine_that_cannot_work_here_says_why_and_what_mends_it(installed: None) -> None:
    with pytest.raises(errors.EngineUnavailable, match="no GPU") as unavailable:
        engines.make_engines("stt", "gpu", "better")
    assert unavailable.value.fix == "buy one"
    with pytest.raises(errors.EngineUnavailable, match="broken cannot be imported"):
        engines.make_engines("stt", "cpu", "broken")


@pytest.mark.parametrize("what", ["", "faster-whisper"])
def test_a_library_that_an_engine_looks_for_its_gpu_with_may_be_broken(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node ended with a traceback where CTranslate2 finds no CUDA library."""
    pytest.importorskip("faster_whisper")
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(errors.EngineUnavailable, match="faster-whisper cannot be imported"):
        engines.make_engines("stt", "gpu", what)


def test_without_any_engine_each_says_why(installed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", missing)
    with pytest.raises(errors.EngineUnavailable) as unavailable:
        engines.make_engines("stt", "gpu")
    for said in (
        "better: no GPU",
        "pocketsphinx",
        "faster-whisper is not installed",
        "lend stt/cpu",
    ):
        assert said in str(unavailable.value)


@pytest.mark.parametrize(
    ("asked", "model"),
    [("", ""), ("default", ""), ("piper", ""), ("piper:x", "x"), ("piper:", ""), ("x", "x")],
)
def test_a_model_is_named_with_or_without_its_engine(asked: str, model: str) -> None:
    assert model_names.for_engine(asked, "piper") == model


def test_what_speed_is_measured_on_is_sound_and_not_silence() -> None:
    babble = benchmark.babble(1.0, 16_000)
    assert (babble.size, babble.dtype.name) == (16_000, "float32")
    assert 0.1 < abs(babble).max() <= 1
