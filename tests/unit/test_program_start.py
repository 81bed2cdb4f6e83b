"""What a program loads before it does anything: each start of it is a user who waits."""

import subprocess
import sys

import pytest

COSTLY = {  # they take 20 to 200 ms each, and most who start a program do without
    "av", "langcodes", "numpy", "prometheus_client", "sentence_stream", "wyoming", "zeroconf",
}  # fmt: skip
NOT_NEEDED = {
    "client.cli": {*COSTLY, "aiohttp.web", "nodes"},
    "nodes.cli": {*COSTLY, "client", "privox_dht.dispatch", "privox_dht.scatter"},
}
PROGRAM = pytest.mark.parametrize("program", NOT_NEEDED)
READ_AND_WRITE_SOUND = """
import asyncio, sys
from nodes import sound_check
from nodes.codecs import Codecs

async def check() -> None:
    async with Codecs(1) as codecs:
        await sound_check.start(codecs)
        await sound_check.check(codecs, "stt")

asyncio.run(check())
print("numpy" in sys.modules)
"""


def said(code: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.split()


@PROGRAM
def test_a_program_that_starts_loads_nothing_that_most_do_not_need(program: str) -> None:
    needless = NOT_NEEDED[program]
    assert said(f"import sys, {program}; print(*sorted({needless} & set(sys.modules)))") == []


def test_a_node_needs_no_numpy_to_find_out_that_it_can_read_and_write_sound() -> None:
    pytest.importorskip("av")
    assert said(READ_AND_WRITE_SOUND) == ["False"]


@PROGRAM
def test_a_program_never_looks_for_garbage_among_what_it_loaded(program: str) -> None:
    """Neither while it loads nor when it exits, where Python looks several times."""
    code = (
        "import gc; looks = []; gc.callbacks.append(lambda when, info: looks.append(info))\n"
        f"import {program}; print(len([i for i in looks if i['generation'] == 2]), gc.isenabled())"
        "; print(len(gc.get_objects()) < gc.get_freeze_count() / 10)"
    )
    assert said(code) == ["0", "True", "True"]
