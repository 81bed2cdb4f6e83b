"""What engines make of the names and texts that clients send. Pure."""

from __future__ import annotations

DEFAULT_NAMES = ("", "default")  # what a client says that has to name something


def named(asked: str, engine: str) -> str:
    """The model or voice in "engine:model", "engine", "model" or ""; "" is the default."""
    if asked.startswith(f"{engine}:"):
        asked = asked.removeprefix(f"{engine}:")
    return "" if asked in (*DEFAULT_NAMES, engine) else asked


def speakable(text: str) -> str:
    """`text` without what no engine's C code takes: NUL characters and halves of characters."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()
