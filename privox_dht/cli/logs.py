"""What the programs say: log lines as text or JSON, and strangers' words made safe to show."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

LEVELS = ("debug", "info", "warning", "error")
# What a terminal would obey instead of showing it: control characters, turned-round text, and
# halves of characters, which cannot be written at all. Line ends and tabs may stay.
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def sanitize(text: object) -> str:
    """`text` as it may be shown: strangers' words hold nothing that a terminal would obey."""
    return UNPRINTABLE.sub("\ufffd", str(text))


class TextFormatter(logging.Formatter):
    """One line an event; what strangers said cannot end it, or move the cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = sanitize(record.message).replace("\n", " ")
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the fields of an event."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_fields(event: str, **fields: Any) -> dict[str, dict[str, Any]]:
    """`extra=` for a log line that programs wait for: its name and what it says, in --json-logs."""
    return {"fields": {"event": event, **fields}}


def set_up_logging(level: str, as_json: bool) -> None:
    """Logs go to stderr; stdout belongs to results."""
    handler = logging.StreamHandler(sys.stderr)
    plain = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if as_json else plain)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("kademlia", "rpcudp", "asyncio", "aiohttp"):  # theirs, not our users'
        logging.getLogger(noisy).setLevel(logging.CRITICAL if level != "debug" else logging.INFO)
