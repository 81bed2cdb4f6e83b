"""Labs for tests. Where none can be built, what needs one is skipped, and the reason said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from . import nats, netns
from .lab import Lab, Nat, Plan

BuildLab = Callable[[Plan], Lab]

EVERY_NAT = Plan(
    public=("first", "other", "client"),
    nats={f"nat-{kind[:7]}": Nat(kind, (kind[:11],)) for kind in nats.KINDS},
)


@pytest.fixture
def build_lab(tmp_path: Path) -> Iterator[BuildLab]:
    """A function from a plan to its lab; programs' output goes to the test's folder."""
    if why := netns.probe():
        pytest.skip(why)
    with ExitStack() as labs:
        yield lambda plan: labs.enter_context(Lab(plan, tmp_path))


@pytest.fixture
def lab(build_lab: BuildLab) -> Lab:
    """Three public hosts, and one behind each kind of NAT, named after its kind."""
    return build_lab(EVERY_NAT)
