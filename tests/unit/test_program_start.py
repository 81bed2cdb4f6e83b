"""What a program loads before it does anything: each start of it is a user who waits."""

import subprocess
import sys

import pytest

NOT_NEEDED = {  # by what a client does first: they take 20 to 200 ms each
    "aiohttp.web", "av", "langcodes", "nodes", "numpy", "prometheus_client", "sentence_stream",
    "wyoming", "zeroconf",
}  # fmt: skip


def said(code: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_a_client_that_starts_loads_nothing_that_most_jobs_do_not_need() -> None:
    assert said(f"import sys, client.cli; print(*sorted({NOT_NEEDED} & set(sys.modules)))") == []


@pytest.mark.parametrize("program", ["client.cli", "nodes.cli"])
def test_a_program_never_looks_for_garbage_among_what_it_loaded(program: str) -> None:
    """Neither while it loads nor when it exits, where Python looks several times."""
    code = (
        "import gc; looks = []; gc.callbacks.append(lambda when, info: looks.append(info))\n"
        f"import {program}; print(len([i for i in looks if i['generation'] == 2]), gc.isenabled())"
        "; print(len(gc.get_objects()) < gc.get_freeze_count() / 10)"
    )
    assert said(code) == ["0", "True", "True"]
