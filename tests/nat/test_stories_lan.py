"""Two nodes and a client in one local network, none of which is told an address."""

import time
from pathlib import Path

import pytest

from .conftest import BuildLab
from .lab import Plan
from .village import FIND_SECONDS, START_SECONDS, Node, Village, write_tone

pytestmark = pytest.mark.timeout(120)


class Household(Village):
    """One network, where everybody is told to look around."""

    @property
    def neighbours(self) -> list[str]:
        return ["--lan"]

    def ready(self, node: Node) -> Node:
        """The same, once it listens: who of two joins through the other is chance, and only that
        one says so."""
        node.peer = node.event("listening", START_SECONDS)["peer"]
        self.nodes[node.host] = node
        return node


def test_a_household_finds_its_own_nodes_without_an_address(
    build_lab: BuildLab, tmp_path: Path
) -> None:
    pytest.importorskip("zeroconf", reason="the extra `lan` is not installed")
    household = Household(build_lab(Plan(public=("first", "lender", "client"))))
    household.node("first")
    lender = household.node("lender", "--services", "stt/cpu/echo")
    lender.published("direct")
    end = time.monotonic() + FIND_SECONDS  # each was a first node by itself until they met
    while lender.peer not in household.ask("client", "list").text:
        assert time.monotonic() < end, "the two never met"

    heard = household.transcribe("client", write_tone(tmp_path / "tone.wav", 1.0)).answer()
    assert heard.code == 0, heard.text
    assert heard.said["producer"] == lender.peer
    assert heard.transcript == "1.00 seconds of sound"

    elsewhere = household.ask("client", "--network", "theirs", "list")
    assert elsewhere.code == 3, elsewhere.text
    assert "no node of mesh 'theirs' announces itself in the local network" in elsewhere.text
