"""The cores that a node keeps to."""

import os
import subprocess
import sys

import psutil
import pytest

from nodes.cores import cores_of, limited_to, usable_cores


@pytest.mark.parametrize(
    ("wanted", "have", "lent"),
    [(None, 8, 8), (2, 8, 2), (16, 8, 8), (0.5, 8, 4), (0.5, 1, 1), (0.01, 8, 1), (1.0, 8, 8),
     (1, 8, 1)],
)  # fmt: skip
def test_a_number_or_a_share_of_the_cores_is_lent(
    wanted: float | None, have: int, lent: int
) -> None:
    assert cores_of(wanted, have) == lent


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux keeps to cores")
def test_whatever_is_started_meanwhile_keeps_to_the_cores() -> None:
    before = os.sched_getaffinity(0)
    with limited_to(1):
        assert usable_cores() == 1
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
            assert len(psutil.Process(child.pid).cpu_affinity()) == 1
            child.communicate(b"\n")
    assert os.sched_getaffinity(0) == before


def test_where_a_process_cannot_be_kept_to_cores_it_counts_those_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("sched_setaffinity", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    with limited_to(1):
        assert usable_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # the system does not say
    assert usable_cores() == 1
