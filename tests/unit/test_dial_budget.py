"""What one job may dial, dial by dial."""

import pytest

from privox_dht.dispatch.dial_budget import DialBudget, dialled_address

HERE, THERE, MAIL, WEB = ("20.1.1.1", 5678), ("20.2.2.2", 5678), ("20.1.1.1", 25), ("20.1.1.1", 443)
A, B, FARM = b"a" * 32, b"b" * 32, None


@pytest.mark.parametrize(
    ("steps", "afforded"),
    [
        # what was dialled for whom, or what became of it -> which dials were afforded
        ([(HERE, A), (HERE, A), (HERE, A)], [True, True, False]),
        ([(HERE, A), (THERE, A)], [True, True]),  # counted for each address
        ([(HERE, A), (HERE, B)], [True, False]),  # two records name it: for the first alone
        ([(HERE, A), ("record_key", HERE, B), (HERE, B)], [True, True]),
        ([(HERE, A), ("mark_proven", HERE), (HERE, A), (HERE, A), (HERE, A)], [True] * 4),
        ([(HERE, A), ("mark_proven", HERE), (HERE, B)], [True, False]),
        ([(HERE, FARM), (HERE, FARM), (HERE, FARM)], [True, True, False]),
        ([(HERE, FARM), ("mark_proven", HERE), (HERE, FARM), (HERE, FARM)], [True] * 3),
        ([(MAIL, A), (WEB, A)], [False, True]),
        (
            [(HERE, A), (HERE, A), ("allow_one_more",), (HERE, A), (HERE, A)],
            [True, True, True, False],
        ),
        (
            [(HERE, A), ("allow_one_more",), (HERE, A), (HERE, A)],
            [True, True, False],
        ),  # none is saved
        (
            [("allow_one_more",), ("allow_one_more",), (HERE, A), (HERE, A), (HERE, A)],
            [True, True, False],
        ),
        ([(HERE, A), (HERE, A), ("allow_one_more",), (HERE, B)], [True, True, False]),
    ],
)
def test_each_address_is_dialled_as_often_as_it_deserves(
    steps: list[tuple[object, ...]], afforded: list[bool]
) -> None:
    dials = DialBudget()
    said = []
    for step in steps:
        if isinstance(step[0], str):
            getattr(dials, step[0])(*step[1:])
        else:
            said.append(dials.try_spend(*step))  # type: ignore[arg-type]  # an address and a key
    assert said == afforded


def test_a_producer_that_was_named_may_have_any_port() -> None:
    assert DialBudget(named=True).try_spend(MAIL, A)


@pytest.mark.parametrize(
    ("base", "proxy", "address"),
    [
        ("https://20.1.1.1:5678", None, HERE),
        ("https://[2600::1]:5678", None, ("2600::1", 5678)),
        ("https://peer.privox", "http://20.2.2.2:1776", ("20.2.2.2", 1776)),
        ("https://speech.example", None, ("speech.example", 443)),
    ],
)
def test_what_a_request_connects_to(base: str, proxy: str | None, address: object) -> None:
    assert dialled_address(base, proxy) == address
