"""Which address of ours leads where."""

from kit import HOST

from privox_dht.interfaces import has_route, source_towards


def test_an_address_of_ours_leads_to_whoever_can_be_called() -> None:
    assert source_towards(HOST) == HOST and has_route(HOST)


def test_to_what_the_system_lets_nobody_call_there_is_no_way() -> None:
    everybody = "255.255.255.255"
    assert source_towards(everybody) == "" and not has_route(everybody)
