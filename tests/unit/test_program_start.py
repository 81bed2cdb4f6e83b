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
def test_a_program_looks_for_garbage_only_once_it_is_loaded(program: str) -> None:
    code = (
        "import gc; looks = []; gc.callbacks.append(lambda when, info: looks.append(info))\n"
        f"import {program}; print(len([i for i in looks if i['generation'] == 2]), gc.isenabled())"
    )
    assert said(code) == ["0", "True"]
