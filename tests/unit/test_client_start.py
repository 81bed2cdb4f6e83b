"""What a client loads before it does anything: each start of it is a user who waits."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = {  # by what a client does first: they take 20 to 200 ms each
    "aiohttp.web", "av", "langcodes", "nodes", "numpy", "prometheus_client", "sentence_stream",
    "wyoming", "zeroconf",
}  # fmt: skip


def test_a_client_that_starts_loads_nothing_that_most_jobs_do_not_need() -> None:
    code = f"import sys, client.cli; print(*sorted({NOT_NEEDED} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []
