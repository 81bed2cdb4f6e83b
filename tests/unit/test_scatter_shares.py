"""Nobody hears two neighbouring pieces, nor more than a share."""

import random

import pytest

from privox_dht.records import Direct, Record, Relayed
from privox_dht.scatter.shares import Shares, listeners


def record(name: str, *routes: Direct | Relayed) -> Record:
    return Record(name.encode() * 32, b"m" * 8, "stt", routes=routes)


def keeps_the_promise(
    shares: Shares, names: list[str], seconds: dict[int, float], share: float
) -> None:
    for name in names:
        heard = shares.heard(name)
        assert not any(piece + 1 in heard for piece in heard)
        assert sum(seconds[piece] for piece in heard) <= share * sum(seconds.values()) + 1e-9


def test_a_thousand_random_jobs_keep_the_promise_whatever_fails() -> None:
    """Ten producers; every fourth piece fails where it was planned and goes to whoever may."""
    names = [f"listener{n}" for n in range(10)]
    refused = 0
    for seed in range(1000):
        rng = random.Random(seed)
        seconds = {n: rng.uniform(8, 30) for n in range(rng.randint(5, 60))}
        shares = Shares(seconds, 0.25)
        if not shares.plan(names, rng):
            refused += 1
            continue
        order = list(seconds)
        rng.shuffle(order)
        for piece in order:
            shares.give(shares.planned(piece), piece)
            while rng.random() < 0.25:
                shares.open_to_others(piece)
                able = [name for name in names if shares.may_hear(name, piece)]
                name = rng.choice(able)
                shares.offer(name, piece)
                shares.give(name, piece)
        keeps_the_promise(shares, names, seconds, 0.25)
    assert refused < 100


def test_with_too_few_it_is_said_how_many_are_missing() -> None:
    seconds = dict.fromkeys(range(12), 20.0)
    shares = Shares(seconds, 0.25)
    assert not shares.plan(["a", "b", "c"], random.Random(1))
    assert shares.missing(["a", "b", "c"]) == 1
    assert shares.plan(["a", "b", "c", "d"], random.Random(1))


@pytest.mark.parametrize("share", [0.2, 0.27, 0.34, 0.5])
def test_as_many_as_are_said_to_be_missing_suffice(share: float) -> None:
    rng = random.Random(share)
    for _ in range(200):
        seconds = {n: rng.uniform(10, 30) for n in range(rng.randint(6, 30))}
        shares = Shares(seconds, share)
        names = ["a"]
        if not shares.is_too_short:
            names += [f"b{n}" for n in range(shares.missing(names))]
            in_another_order = dict(rng.sample([*seconds.items()], len(seconds)))
            assert Shares(in_another_order, share).plan(names, rng)
            assert not Shares(in_another_order, share).plan(names[:-1], rng)


def test_a_recording_of_three_pieces_cannot_be_shared_by_quarters() -> None:
    shares = Shares(dict.fromkeys(range(3), 20.0), 0.25)
    assert shares.is_too_short
    assert not Shares(dict.fromkeys(range(4), 20.0), 0.25).is_too_short


def test_only_the_planned_listener_may_have_a_piece_until_it_could_not() -> None:
    shares = Shares(dict.fromkeys(range(8), 20.0), 0.25)
    names = [f"v{n}" for n in range(8)]
    assert shares.plan(names, random.Random(1))
    planned = shares.planned(3)
    assert [name for name in names if shares.may_hear(name, 3)] == [planned]
    shares.open_to_others(3)
    able = {name for name in names if shares.may_hear(name, 3)}
    assert planned in able
    assert shares.planned(2) not in able
    assert shares.planned(4) not in able


def test_who_was_only_offered_a_piece_has_heard_nothing_and_who_was_sent_it_has() -> None:
    shares = Shares(dict.fromkeys(range(8), 20.0), 0.25)
    assert shares.plan([f"v{n}" for n in range(8)], random.Random(1))
    first, next_one = shares.planned(0), shares.planned(2)
    shares.offer(first, 0)
    assert shares.heard(first) == frozenset()
    shares.give(first, 0)
    shares.open_to_others(0)
    shares.offer(next_one, 0)
    shares.open_to_others(1)
    assert shares.heard(first) == {0} and not shares.may_hear(first, 1)


@pytest.mark.parametrize(
    ("second", "same"),
    [
        (Direct("203.0.113.200", 5678), True),
        (Direct("203.0.114.1", 5678), False),
        (Relayed(b"f" * 32), False),
    ],
    ids=str,
)
def test_producers_of_one_network_are_one_listener_as_far_as_it_is_known(
    second: Direct | Relayed, same: bool
) -> None:
    one, two = record("a", Direct("203.0.113.7", 5678)), record("b", second)
    named = listeners([one, two])
    assert (named[one.peer_id] == named[two.peer_id]) is same


def test_two_networks_that_one_producer_joins_are_one_listener() -> None:
    some = [
        record("a", Direct("203.0.113.7", 1)),
        record("b", Direct("198.51.100.7", 1)),
        record("c", Direct("203.0.113.8", 1), Direct("198.51.100.8", 1)),
    ]
    assert len(set(listeners(some).values())) == 1
