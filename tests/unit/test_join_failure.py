"""What is said to whoever could not join: each reason with what to do about it."""

import pytest

from privox_dht import join_failure

A, B = ("a.example", 5678), ("2001:db8::1", 9)


@pytest.mark.parametrize("reason", list(join_failure.HINTS))
def test_each_reason_is_another_message_with_its_own_advice(reason: str) -> None:
    said = join_failure.why("home", 5.0, [A], {A: reason})
    assert said.startswith("cannot join mesh 'home': a.example:5678: ")
    assert reason in said and join_failure.HINTS[reason] in said
    assert not any(hint in said for other, hint in join_failure.HINTS.items() if other != reason)


def test_who_is_in_no_list_of_reasons_was_silent() -> None:
    assert "[2001:db8::1]:9: no answer within 2 s (" in join_failure.why("home", 2.0, [B], {A: "x"})


def test_those_with_one_reason_are_told_together() -> None:
    said = join_failure.why("home", 5.0, [A, B, A], dict.fromkeys((A, B), join_failure.REFUSED))
    assert said.count(join_failure.REFUSED) == 1 and "a.example:5678, [2001:db8::1]:9: " in said


def test_of_many_only_some_are_told() -> None:
    many = [("a.example", port) for port in range(1, 65)]
    said = join_failure.why("home", 5.0, many, {})
    assert "a.example:3 and 61 more: " in said and "a.example:4" not in said
