"""A worker that does as it is told: what the tests of crews are made with."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from nodes.engines import working


def load() -> tuple[dict[str, Any], working.Answerer]:
    if "--broken" in sys.argv:
        raise ValueError("no model")
    return {"pid": os.getpid()}, answer


def answer(asked: dict[str, Any], payload: bytes, say: working.Say) -> None:
    match asked["do"]:
        case "echo":
            say({"pid": os.getpid()}, payload)
        case "count":
            for number in range(asked["to"]):
                say({"number": number}, bytes(asked.get("size", 0)))
        case "hang":
            say({"pid": os.getpid()})
            busy_until = time.monotonic() + 60
            while time.monotonic() < busy_until:
                pass
        case "refuse":
            raise working.Refusal("not that", 404, "voice")
        case "break":
            raise ValueError("broken")
        case "print":
            print("stray words")
            say({})


if __name__ == "__main__":
    working.serve(load)
