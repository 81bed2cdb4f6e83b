"""Names that apps send because OpenAI's API wants one named: here they mean the default. Pure.

A producer may well list one of them (a speech server elsewhere does): there it means what it says.
"""

from __future__ import annotations

import re
from collections.abc import Container

_MODEL = re.compile(r"(whisper|tts)-[0-9].*|gpt-.+", re.IGNORECASE | re.DOTALL)
VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"}
    | {"marin", "nova", "onyx", "sage", "shimmer", "verse"}
)


def is_model(name: str) -> bool:
    """Whether it is a model of OpenAI's, those of tomorrow included: "whisper-1", "gpt-9-tts"."""
    return bool(_MODEL.fullmatch(name))


def model(name: str, listed: Container[str]) -> str:
    """What a model's name means where these are `listed`: itself, or "" for the default."""
    return "" if is_model(name) and name not in listed else name


def voice(name: str, listed: Container[str]) -> str:
    """What a voice's name means where these are `listed`: itself, or "" for the default."""
    return "" if name in VOICES and name not in listed else name
