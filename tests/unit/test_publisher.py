"""What a publisher remembers: bounded, whatever it places for others."""

from __future__ import annotations

import pytest

from privox_dht import limits
from privox_dht.dht.publisher import _remember


def test_the_latest_are_remembered_and_no_more_than_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PUBLISHED_KEPT", 3)
    some: dict[int, str] = {}
    for number in (1, 2, 3, 1, 4):
        _remember(some, number, str(number))
    assert some == {3: "3", 1: "1", 4: "4"}


def test_there_is_room_for_all_that_may_be_placed_for_others() -> None:
    assert limits.PUBLISHED_KEPT >= 9 * limits.HOSTED_RECORDS + 9
