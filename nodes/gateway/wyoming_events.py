"""Wyoming's events as they come, within bounds.

    a line of JSON (type, data, data_length, payload_length) + data in JSON + payload

The library reads whatever is announced, however much that is: here a connection that announces too
much, or says what is no event, ends. Events are the library's own.
"""

import asyncio
import json
from typing import Any

from wyoming.event import Event

from nodes.gateway import gateway_limits
from privox_dht.errors import BadMessage


async def read_event(reader: asyncio.StreamReader) -> Event | None:
    """The next event; None: the connection has ended.

    Args:
        reader: made with a limit of `gateway_limits.WYOMING_LINE`.

    Raises:
        BadMessage: what came is no event, or too large a one.
    """
    try:
        line = await reader.readline()
        if not line:
            return None
        told = _object(line)
        data = told.get("data") or {}
        if not isinstance(data, dict) or not isinstance(told.get("type"), str):
            raise BadMessage("shape", "no event")
        if length := _length(told, "data_length", gateway_limits.WYOMING_LINE):
            data = {**data, **_object(await reader.readexactly(length))}
        length = _length(told, "payload_length", gateway_limits.WYOMING_PAYLOAD)
        payload = await reader.readexactly(length) if length else None
    except asyncio.IncompleteReadError:
        return None
    except ValueError as exc:  # the line is longer than the reader's limit
        raise BadMessage("size", "a line that is too long") from exc
    return Event(told["type"], data, payload)


def _object(text: bytes) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("shape", "no JSON") from exc
    if not isinstance(told, dict):
        raise BadMessage("shape", "no object")
    return told


def _length(told: dict[str, Any], name: str, most: int) -> int:
    length = told.get(name) or 0
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= most:
        raise BadMessage("size", name)
    return length
