"""The meaning of the names of models and voices in requests. Pure.

whisper-1, alloy       apps send one since OpenAI's API requires it: the default, unless a producer
                       lists it (a remote speech server may)
piper:amy, piper       a voice of that engine, its default voice
default, ""            the default
"""

import re
from collections.abc import Container, Iterable

DEFAULT_NAMES = ("", "default")  # some clients must send a name
_MODEL = re.compile(r"(whisper|tts)-[0-9].*|gpt-.+", re.IGNORECASE | re.DOTALL)
VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable"}
    | {"marin", "nova", "onyx", "sage", "shimmer", "verse"}
)


def is_openai_model(name: str) -> bool:
    """Whether it is the name of an OpenAI model, even a future one: "whisper-1", "gpt-9-tts"."""
    return bool(_MODEL.fullmatch(name))


def model(name: str, listed: Container[str]) -> str:
    """The model that `name` means to a producer with the `listed` ones; "" is the default."""
    return "" if is_openai_model(name) and name not in listed else name


def voice(name: str, listed: Container[str]) -> str:
    """The voice that `name` means to a producer with the `listed` ones; "" is the default."""
    return "" if name in VOICES and name not in listed else name


def for_engine(requested: str, engine: str) -> str:
    """The model or voice in "engine:model", "engine", "model" or ""; "" is the default."""
    if requested.startswith(f"{engine}:"):
        requested = requested.removeprefix(f"{engine}:")
    return "" if requested in (*DEFAULT_NAMES, engine) else requested


def explain_only_named(offers: Iterable[str]) -> str:
    """The message for a job without a model, where all engines take only jobs that name them.

    Args:
        offers: such as "stt/cpu/echo", one at least.
    """
    there = list(dict.fromkeys(offers))
    engine = there[0].rpartition("/")[2]
    return (
        f"there is only {', '.join(there)}, which does only jobs that name it: say"
        f' --model {engine} (from Python and over HTTP: model="{engine}")'
    )
