"""Engines that work with threads, with the smallest models there are."""

from pathlib import Path

import tiny_piper
import tiny_whisper

from nodes.engines.piper import Piper
from nodes.engines.whisper import FasterWhisper

NAMES = ("faster-whisper", "piper")


def make(folder: Path) -> Path:
    """Their models, in `folder`."""
    tiny_whisper.make(folder / "whisper")
    tiny_piper.make(folder / "voice.onnx")
    return folder


def engine_of(name: str, folder: Path) -> FasterWhisper | Piper:
    """One of `NAMES`, not started, with its model of `folder`."""
    if name == "piper":
        return Piper(model=str(folder / "voice.onnx"))
    return FasterWhisper(model=str(folder / "whisper"))
