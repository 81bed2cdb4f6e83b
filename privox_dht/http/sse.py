"""Server-sent events, both ways, without I/O.

    server -> client   event(...)          `event: TYPE`, `data: {JSON}`, a blank line
                       HEARTBEAT_COMMENT   a comment line: alive, without a result yet
    client             Events.feed         bytes as they come -> the JSON objects in them

A stream is complete when its last event says so (`... .done`), never because it ended.
"""

import json
from typing import Any

from privox_dht import limits
from privox_dht.errors import BadMessage

CONTENT_TYPE = "text/event-stream"
HEARTBEAT_COMMENT = b":\n\n"

ERROR = "error"  # the type of an event that ends a stream without a result


def event(kind: str, **fields: Any) -> bytes:
    """One event; `type` stands in its data too, where OpenAI's clients look for it."""
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")


class Events:
    """A stranger's stream: lines of bounded length, each event one JSON object with a type."""

    def __init__(self, most: int = limits.MAX_EVENT) -> None:
        self._most = most
        self._rest = bytearray()
        self._searched = 0  # bytes of the rest that hold no line end
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """The events that `piece` completes.

        Raises:
            BadMessage: too long, or no such event.
        """
        self._rest += piece
        found: list[dict[str, Any]] = []
        start = 0
        while (end := self._rest.find(b"\n", max(start, self._searched))) >= 0:
            self._line(bytes(self._rest[start:end]).rstrip(b"\r"), found)
            start = end + 1
        del self._rest[:start]
        self._searched = len(self._rest)
        if len(self._rest) > self._most:
            raise BadMessage("size", "an event is too long")
        return found

    def _line(self, line: bytes, found: list[dict[str, Any]]) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[5:])
            if sum(map(len, self._data)) > self._most or len(self._data) > limits.MAX_FIELDS:
                raise BadMessage("size", "an event is too long")
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            if data.strip() != b"[DONE]":  # how some OpenAI-style servers end
                found.append(_object(data))


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("shape", "an event is not JSON") from exc
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadMessage("shape", "an event has no type")
    return value
