"""Labs for tests. Where none can be built, what needs one is skipped, and the reason said.

@pytest.mark.every_world                   told in each world and family of addresses: always in the
                                           private one by IPv4, in the others by the soak
@pytest.mark.every_world("public-ipv46")   always in this one instead, or in several
@pytest.mark.every_world(worlds=(PUBLIC,)) in no other world
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from kit import ask_no_authority

from . import nats, netns
from .lab import Lab, Nat, Plan
from .plan import DUAL, IPV4, IPV6, PRIVATE, PUBLIC

ask_no_authority()
BuildLab = Callable[[Plan], Lab]

EVERY_NAT = Plan(
    public=("first", "other", "client"),
    nats={f"nat-{kind[:7]}": Nat(kind, (kind[:11],)) for kind in nats.KINDS},
)


class Setting(NamedTuple):
    """Where a story happens."""

    world: str = PRIVATE
    families: str = IPV4

    def __str__(self) -> str:
        return f"{self.world}-ipv{self.families}"

    def of(self, plan: Plan) -> Plan:
        """A plan that does not say itself where it is, here."""
        usual = Plan()
        if (plan.world, plan.families, plan.speaks) != (usual.world, usual.families, usual.speaks):
            return plan
        return replace(plan, world=self.world, families=self.families)


SETTINGS = [
    Setting(world, families) for world in (PRIVATE, PUBLIC) for families in (IPV4, IPV6, DUAL)
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tell each story that is marked so in each world and family."""
    marker = metafunc.definition.get_closest_marker("every_world")
    if marker is None:
        return
    always = marker.args or (str(Setting()),)
    told = [
        pytest.param(there, id=str(there), marks=() if str(there) in always else pytest.mark.soak)
        for there in SETTINGS
        if there.world in marker.kwargs.get("worlds", (PRIVATE, PUBLIC))
    ]
    metafunc.parametrize("told_in", told, indirect=True, scope="module")


@pytest.fixture(scope="module")
def told_in(request: pytest.FixtureRequest) -> Setting:
    """Where the story happens."""
    setting: Setting = getattr(request, "param", Setting())
    return setting


@pytest.fixture
def build_lab(tmp_path: Path, told_in: Setting) -> Iterator[BuildLab]:
    """A function from a plan to its lab; programs' output goes to the test's folder."""
    if why := netns.probe():
        pytest.skip(why)
    with ExitStack() as labs:
        yield lambda plan: labs.enter_context(Lab(told_in.of(plan), tmp_path))


@pytest.fixture
def lab(build_lab: BuildLab) -> Lab:
    """Three public hosts, and one behind each kind of NAT, named after its kind."""
    return build_lab(EVERY_NAT)
