"""What a node makes of the silence of one it knows."""

import pytest

from privox_dht.dht import dht_limits
from privox_dht.dht.contact import WHILE_UPLINK_DOWN, Contact


@pytest.mark.parametrize(
    ("failures", "uplink_down", "after", "forgotten"),
    [
        (0, False, 1, False),
        (1, False, 2, True),
        (0, True, WHILE_UPLINK_DOWN, False),
        (1, True, 1, False),  # its own silence stays known
        (WHILE_UPLINK_DOWN, True, WHILE_UPLINK_DOWN, False),
        (WHILE_UPLINK_DOWN, False, 1, False),  # what it left unanswered then was not its fault
    ],
)
def test_who_is_silent_while_others_answer_is_forgotten_at_the_second_time(
    failures: int, uplink_down: bool, after: int, forgotten: bool
) -> None:
    assert dht_limits.CONTACT_FAILURES == 2
    contact = Contact(bytes(20), b"\1\2\3\4\5\6")
    contact.failures = failures
    assert contact.note_timeout(uplink_down=uplink_down) is forgotten
    assert contact.failures == after


def test_the_round_trip_of_a_contact_follows_what_it_takes_by_a_quarter() -> None:
    contact = Contact(bytes(20), b"\1\2\3\4\5\6")
    assert contact.rtt == 0.0
    contact.note_rtt(0.1)
    assert contact.rtt == 0.1
    contact.note_rtt(0.5)
    assert contact.rtt == pytest.approx(0.2, abs=0.001)
    contact.note_rtt(0.0)
    assert contact.rtt > 0.0, "0 is unknown"
