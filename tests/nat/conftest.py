"""Labs for tests. Where none can be built, what needs one is skipped, and the reason said.

PRIVOX_LAB_WORLD=public (and PRIVOX_LAB_FAMILIES=6 or 46) has stories that do not say themselves in
which world they happen told in that one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from . import nats, netns
from .lab import Lab, Nat, Plan
from .plan import IPV4

BuildLab = Callable[[Plan], Lab]

EVERY_NAT = Plan(
    public=("first", "other", "client"),
    nats={f"nat-{kind[:7]}": Nat(kind, (kind[:11],)) for kind in nats.KINDS},
)


def in_world(plan: Plan) -> Plan:
    """The plan, in the world that this run of the tests is about."""
    usual = Plan()
    if (plan.world, plan.families, plan.speaks) != (usual.world, usual.families, usual.speaks):
        return plan
    world = os.environ.get("PRIVOX_LAB_WORLD", usual.world)
    return replace(plan, world=world, families=os.environ.get("PRIVOX_LAB_FAMILIES", IPV4))


@pytest.fixture
def build_lab(tmp_path: Path) -> Iterator[BuildLab]:
    """A function from a plan to its lab; programs' output goes to the test's folder."""
    if why := netns.probe():
        pytest.skip(why)
    with ExitStack() as labs:
        yield lambda plan: labs.enter_context(Lab(in_world(plan), tmp_path))


@pytest.fixture
def lab(build_lab: BuildLab) -> Lab:
    """Three public hosts, and one behind each kind of NAT, named after its kind."""
    return build_lab(EVERY_NAT)
