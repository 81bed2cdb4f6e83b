"""What the names of models and voices that clients send mean. Pure.

whisper-1, alloy       apps send one since OpenAI's API wants one named: the default, except where a
                       producer lists it (a speech server elsewhere may)
piper:amy, piper       of that engine
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
    """Whether it is a model of OpenAI's, those of tomorrow included: "whisper-1", "gpt-9-tts"."""
    return bool(_MODEL.fullmatch(name))


def model(name: str, listed: Container[str]) -> str:
    """What a model's name means where these are `listed`: itself, or "" for the default."""
    return "" if is_openai_model(name) and name not in listed else name


def voice(name: str, listed: Container[str]) -> str:
    """What a voice's name means where these are `listed`: itself, or "" for the default."""
    return "" if name in VOICES and name not in listed else name


def for_engine(asked: str, engine: str) -> str:
    """The model or voice in "engine:model", "engine", "model" or ""; "" is the default."""
    if asked.startswith(f"{engine}:"):
        asked = asked.removeprefix(f"{engine}:")
    return "" if asked in (*DEFAULT_NAMES, engine) else asked


def explain_only_named(offers: Iterable[str]) -> str:
    """The message for a job without a model, where all engines do only jobs that name them.

    Args:
        offers: such as "stt/cpu/echo", one at least.
    """
    there = list(dict.fromkeys(offers))
    engine = there[0].rpartition("/")[2]
    return (
        f"there is only {', '.join(there)}, which does only jobs that name it: say"
        f' --model {engine} (from Python and over HTTP: model="{engine}")'
    )
