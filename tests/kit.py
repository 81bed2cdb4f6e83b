"""What tests of every floor share."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
NOBODY = Path(__file__).with_name("nobody.pem")
KEPT = "OUTSIDE_"  # what these were, for programs that speak with the world outside


def ask_no_authority() -> None:
    """Have the programs that tests start read no list of the system's authorities: peers are told
    apart by their keys, and aiohttp would have each of the hundreds read it twice. There is one,
    whose key nobody has: OpenAI's library refuses a list without any."""
    for name, instead in zip(AUTHORITIES, (str(NOBODY), os.devnull), strict=True):
        if os.environ.get(name) != instead:
            os.environ[KEPT + name] = os.environ.get(name, "")
        os.environ[name] = instead


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """That environment for a program that asks servers of the world outside, such as pip."""
    ours = {name: value for name, value in environment.items() if name not in AUTHORITIES}
    return {**ours, **{n: value for n in AUTHORITIES if (value := environment.get(KEPT + n))}}


async def until(true: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait for the thing itself; what `true` said then."""
    async with asyncio.timeout(seconds):
        while not (value := true()):  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
    return value


async def turns(count: int = 300) -> None:
    """Let all happen that is ready to: so many turns of the loop, with a look at every socket in
    each. What nodes and farms in this process have not done then, a timer alone could bring."""
    for _ in range(count):
        await asyncio.sleep(0)
