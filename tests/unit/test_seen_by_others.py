"""Which addresses a node takes for its own, by what it was told."""

import pytest

from privox_dht.dht import DhtNode
from privox_dht.identity import Identity


@pytest.mark.parametrize(
    ("interfaces", "reached", "own"),
    [
        ([], [], set()),
        (["20.0.0.1", "192.168.1.5"], [], {"20.0.0.1"}),
        (["192.168.1.5"], ["20.0.0.1"], {"20.0.0.1"}),
        ([], ["20.0.0.1", "2600::1"], {"20.0.0.1", "2600::1"}),
        ([], ["20.0.0.1", "20.0.0.2"], set()),  # one of them may be a liar's word
        (["20.0.0.2"], ["20.0.0.1", "20.0.0.2", "2600::1"], {"20.0.0.2", "2600::1"}),
    ],
)
def test_ours_are_global_addresses_of_an_interface_and_where_we_were_dialled_back(
    interfaces: list[str], reached: list[str], own: set[str]
) -> None:
    node = DhtNode(Identity.generate())
    node.know_own(interfaces, reached=reached)
    assert node._state.own_global == own


def test_a_node_that_knows_nobody_has_no_witnesses_and_sees_itself_nowhere() -> None:
    node = DhtNode(Identity.generate())
    assert not node.has_witnesses
    assert (node.observed(), node.glimpsed(), node.contacts()) == ([], [], [])
    assert node.clock_offset() is None
    node._state.witnesses[("20.0.0.1", 5)] = bytes(20)
    assert node.has_witnesses
