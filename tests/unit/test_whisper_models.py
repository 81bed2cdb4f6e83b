"""What Whisper's models may be called."""

from pathlib import Path

import pytest

from nodes.engines.whisper_models import QUALITY, request_names, resolve_model, size_of


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("fast", "tiny"),
        ("better.en", "small.en"),
        ("xcribe2", "large-v2"),
        ("small", "small"),
        ("distil-large-v3", "distil-large-v3"),
        ("owner/better", "owner/better"),
        ("/models/fast", "/models/fast"),
    ],
)
def test_a_quality_word_means_a_model_and_other_names_themselves(name: str, model: str) -> None:
    assert resolve_model(name) == model


def test_the_words_are_there_for_models_from_tiny_to_large() -> None:
    pytest.importorskip("faster_whisper")
    from faster_whisper.utils import available_models

    assert set(QUALITY.values()) <= set(available_models())


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("small", ("small", "better")),
        ("small.en", ("small.en", "better")),
        ("turbo", ("turbo",)),
        ("/models/mine", ("mine",)),
    ],
)
def test_a_model_may_be_asked_for_by_its_quality_word(name: str, names: tuple[str, ...]) -> None:
    assert request_names(name) == names


def test_the_size_of_a_model_is_that_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(1000))
    (tmp_path / "config.json").write_text("{}")
    assert size_of(tmp_path) == 1002
