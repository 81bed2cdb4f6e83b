"""Reads Wyoming's events within limits.

    a line of JSON (type, data, data_length, payload_length) + data in JSON + payload

The library reads any length. Here a connection that announces too much, or sends anything else than
an event, is closed. Events are of the library's own class.
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
        BadMessage: it is not an event, or too large.
    """
    try:
        line = await reader.readline()
        if not line:
            return None
        fields = _object(line)
        data = fields.get("data") or {}
        if not isinstance(data, dict) or not isinstance(fields.get("type"), str):
            raise BadMessage("shape", "no event")
        if length := _length(fields, "data_length", gateway_limits.WYOMING_LINE):
            data = {**data, **_object(await reader.readexactly(length))}
        length = _length(fields, "payload_length", gateway_limits.WYOMING_PAYLOAD)
        payload = await reader.readexactly(length) if length else None
    except asyncio.IncompleteReadError:
        return None
    except ValueError as exc:  # the line is longer than the reader's limit
        raise BadMessage("size", "a line that is too long") from exc
    return Event(fields["type"], data, payload)


def _object(text: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise BadMessage("shape", "no JSON") from exc
    if not isinstance(fields, dict):
        raise BadMessage("shape", "no object")
    return fields


def _length(fields: dict[str, Any], name: str, most: int) -> int:
    length = fields.get(name) or 0
    if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= most:
        raise BadMessage("size", name)
    return length
