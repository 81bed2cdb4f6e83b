"""What a parked line costs the farm: resident memory for each, with its share of control lines.

python bench/relay_lines.py [--lines 5000] [--json]
"""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a file, it is not there

from bench.relay_parts import HOST, Part, part
from privox_dht.identity import Identity
from privox_dht.relay import FarmLimits, messages

AIM = 8 * 1024  # bytes for each parked line
AT_ONCE = 50  # producers that park at the same time
SETTLE = 1.0  # seconds for the farm to have read everything


async def producer(farm: Part, lines: int) -> list[asyncio.StreamWriter]:
    """Park `lines` lines as one producer; the connections, which stay open while they are held."""
    identity, nonce = Identity.generate(), os.urandom(messages.NONCE)
    reader, control = await asyncio.open_connection(HOST, farm.port)
    control.write(messages.control(nonce))
    ear = messages.MessageDecoder()
    (asked,) = ear.feed(await reader.readline())
    theirs = messages.check_challenge(asked, nonce, farm.public)
    control.write(
        messages.encode(messages.prove(identity, farm.public, theirs, nonce, os.urandom(8)))
    )
    connections = [control]
    await reader.readline()  # granted
    for _ in range(lines):
        ((_, token),) = ear.feed(await reader.readline())
        _, line = await asyncio.open_connection(HOST, farm.port)
        line.write(messages.park(token))
        connections.append(line)
    return connections


async def measure(lines: int) -> dict[str, float]:
    """Park so many lines and look at the farm's memory before and after."""
    each = FarmLimits().idle_lines
    left, parked = lines, []
    async with part("farm") as farm:
        parked.append(await producer(farm, 1))  # so that what is loaded on first use is loaded
        before = farm.memory
        while left > 0:
            batch = [min(each, left - each * n) for n in range(AT_ONCE) if left > each * n]
            parked += await asyncio.gather(*(producer(farm, n) for n in batch))
            left -= sum(batch)
        await asyncio.sleep(SETTLE)
        grown = farm.memory - before
        idle = farm.processor
        await asyncio.sleep(5)
        idle = (farm.processor - idle) / 5
        for connections in parked:
            for connection in connections:
                connection.transport.abort()
    return {
        "lines": lines,
        "producers": len(parked) - 1,
        "bytes_per_line": grown / lines,
        "aim": AIM,
        "processor_while_idle": idle,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.lines))
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{found['lines']} lines of {found['producers']} producers: "
        f"{found['bytes_per_line'] / 1024:.2f} KB each at the farm (aim {AIM // 1024}), "
        f"{found['processor_while_idle']:.1%} of a processor while nothing happens"
    )


if __name__ == "__main__":
    main()
