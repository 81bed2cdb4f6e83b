"""What a node holds for others: many under one key, newest wins, bounded, expiring."""

import gc
import random
import sys
import tracemalloc
from dataclasses import replace

import pytest

from bench.record_memory import bytes_per_record
from privox_dht.dht import dht_limits
from privox_dht.dht.answer_codec import FULL, HELD, REFUSED
from privox_dht.dht.record_store import KeyRecords, RecordStore
from privox_dht.records import Record

KEY, NOW = b"k" * 20, 1_000.0


def record(number: int, *, sequence: int = 1, idle: int = 1, **more: object) -> Record:
    publisher = number.to_bytes(32, "big")
    made = Record(
        publisher, b"m" * 8, "stt", engine="e", idle=idle, sequence=sequence, expires=1_100
    )
    made = replace(made, **more)  # type: ignore[arg-type]
    return replace(made, encoded=repr((number, made.sequence, made.idle, made.withdrawn)).encode())


def store(**bounds: int) -> RecordStore:
    return RecordStore(random.Random(1), **bounds)


def all_of(some: RecordStore, key: bytes = KEY, now: float = NOW) -> set[bytes]:
    return set(some.sample(key, 10_000, 1 << 30, now))


def test_many_publishers_stand_under_one_key() -> None:
    held = store()
    assert [held.put(KEY, record(n), b"source", NOW) for n in range(50)] == [HELD] * 50
    assert held.count(KEY) == 50 and len(all_of(held)) == 50


def test_two_engines_of_one_publisher_stand_side_by_side() -> None:
    held = store()
    held.put(KEY, record(1), b"s", NOW)
    held.put(KEY, replace(record(1), engine="other", encoded=b"other"), b"s", NOW)
    assert len(all_of(held)) == 2


def test_the_newest_sequence_wins_whatever_the_order() -> None:
    held = store()
    assert held.put(KEY, record(1, sequence=5), b"s", NOW) == HELD
    assert held.put(KEY, record(1, sequence=4), b"s", NOW) == REFUSED
    assert held.put(KEY, record(1, sequence=5), b"s", NOW) == HELD
    assert held.put(KEY, record(1, sequence=6), b"s", NOW) == HELD
    assert all_of(held) == {record(1, sequence=6).encoded}


def test_a_replay_cannot_revive_what_was_withdrawn() -> None:
    held = store()
    held.put(KEY, record(1, sequence=5), b"s", NOW)
    assert held.put(KEY, record(1, sequence=6, withdrawn=True), b"s", NOW) == HELD
    assert held.put(KEY, record(1, sequence=5), b"s", NOW) == REFUSED
    assert held.count(KEY) == 0


def test_a_withdrawal_is_told_when_there_is_room_so_that_readers_learn_of_it() -> None:
    held = store()
    gone = record(1, sequence=6, withdrawn=True)
    held.put(KEY, gone, b"s", NOW)
    held.put(KEY, record(2), b"s", NOW)
    assert all_of(held) == {gone.encoded, record(2).encoded}


def test_idle_producers_are_told_first_and_at_random() -> None:
    held = store()
    for n in range(40):
        held.put(KEY, record(n, idle=n % 2), b"s", NOW)
    idle = {record(n, idle=1).encoded for n in range(1, 40, 2)}
    samples = [frozenset(held.sample(KEY, 5, 1 << 20, NOW)) for _ in range(20)]
    assert all(sample <= idle for sample in samples) and len(set(samples)) > 10
    assert held.idle(KEY) == 20


def test_a_producer_that_becomes_busy_moves_behind_the_idle() -> None:
    held = store()
    for n in range(3):
        held.put(KEY, record(n), b"s", NOW)
    held.put(KEY, record(1, sequence=2, idle=0), b"s", NOW)
    assert held.idle(KEY) == 2
    assert held.page(KEY, 2, 5, 1 << 20, NOW) == [record(1, sequence=2, idle=0).encoded]


def test_pages_cover_everything_once() -> None:
    held = store()
    for n in range(31):
        held.put(KEY, record(n, idle=n % 3), b"s", NOW)
    pages = [held.page(KEY, start, 3, 1 << 20, NOW, b"requester") for start in range(0, 33, 3)]
    wires = [wire for page in pages for wire in page]
    assert len(wires) == len(set(wires)) == 31


def test_what_does_not_fit_into_the_room_is_left_out() -> None:
    held = store()
    for n in range(10):
        held.put(KEY, record(n), b"s", NOW)
    size = len(record(1).encoded) + 3
    assert len(held.sample(KEY, 10, size * 2, NOW)) == 2
    assert held.sample(KEY, 10, size - 1, NOW) == []


def test_expired_records_are_not_told_and_then_swept() -> None:
    held = store()
    held.put(KEY, record(1), b"s", NOW)
    held.put(KEY, record(2, expires=2_000), b"s", NOW)
    assert all_of(held, now=1_500.0) == {record(2, expires=2_000).encoded}
    assert held.sweep(1_500.0) == 1 and len(held) == 1
    assert held.sweep(2_500.0) == 1 and not held.keys()


def test_what_has_expired_under_one_key_is_not_counted_there() -> None:
    held, other = store(), b"o" * 20
    for n in range(30):
        held.put(KEY, record(n, expires=1_100 + n), b"s", NOW)
        held.put(other, record(n), b"s", NOW)
    held.put(KEY, record(0, sequence=2, expires=1_200), b"s", NOW)
    for now, left in ((1_099.9, 30), (1_100.0, 30), (1_101.0, 29), (1_119.0, 11), (1_129.0, 1)):
        held.sweep_key(KEY, now)
        assert held.count(KEY) == left and held.count(other) == 30, now
        assert len(all_of(held, now=now)) == left
    held.sweep_key(KEY, 1_200.0)
    assert not held.sample(KEY, 9, 1 << 20, NOW) and held.count(other) == 30


def test_a_full_key_keeps_a_sample_that_nobody_can_aim_at() -> None:
    """Two stores are offered the same and keep different ones; none keeps the last to come."""
    kept = []
    for seed in (1, 2):
        held = RecordStore(random.Random(seed), per_key=64)
        fates = [held.put(KEY, record(n), n.to_bytes(4, "big"), NOW) for n in range(2_000)]
        assert fates.count(FULL) > 1_000 and held.is_split(KEY)
        kept.append({wire for wire in all_of(held)})
        assert len(kept[-1]) == 64
    assert kept[0] != kept[1]
    last = {record(n).encoded for n in range(1_936, 2_000)}
    assert len(kept[0] & last) < 20


def test_one_source_cannot_fill_the_store() -> None:
    held = store(per_source=10)
    fates = [held.put(n.to_bytes(20, "big"), record(n), b"flood", NOW) for n in range(30)]
    assert fates.count(HELD) == 10 and fates.count(FULL) == 20
    assert held.put(KEY, record(99), b"honest", NOW) == HELD


def test_a_publisher_has_room_for_eight_engines_under_a_key() -> None:
    held = store()
    engines = [replace(record(1), engine=f"e{n}", encoded=b"e%d" % n) for n in range(12)]
    assert [held.put(KEY, one, b"s", NOW) for one in engines] == [HELD] * 8 + [FULL] * 4
    newer = replace(engines[3], sequence=2, encoded=b"newer")
    assert held.put(KEY, newer, b"s", NOW) == HELD and b"newer" in all_of(held)
    assert held.put(KEY, record(2), b"s", NOW) == HELD
    held.sweep(5_000.0)
    assert held.put(KEY, engines[11], b"s", NOW) == HELD


HOME, NEXT_DOOR = b"\x42\x06\x06\x06", b"\x42\x06\x06\x07"  # of one /24
HOME_6 = bytes.fromhex("2a02000800080001")  # a /64 ...
NEXT_ROOM, NEXT_DOOR_6 = HOME_6[:7] + b"\x02", HOME_6[:6] + b"\x09\x01"  # of its /56; of its /48


@pytest.mark.parametrize(
    ("sources", "most"),
    [
        ([HOME], 10), ([HOME, NEXT_DOOR], 15), ([HOME_6], 10), ([HOME_6, NEXT_ROOM], 10),
        ([HOME_6, NEXT_DOOR_6], 15),
    ],
    ids=["address", "/24", "/64", "/56", "/48"],
)  # fmt: skip
def test_an_address_and_the_network_around_it_have_their_shares(
    sources: list[bytes], most: int
) -> None:
    far, near = store(per_source=10, per_network=15), store(key_shares=(10, 15))
    for held, key in ((far, None), (near, KEY)):
        for n in range(40):
            where = key or n.to_bytes(20, "big")
            held.put(where, record(n), sources[n % len(sources)], NOW, networks=True)
        assert len(held) == most
        assert held.put(KEY, record(99), b"\x08\x08\x08\x08", NOW, networks=True) == HELD
        held.sweep(5_000.0)
        assert not held._shares.counts()


def test_in_a_private_mesh_only_the_address_has_a_share() -> None:
    held = store(key_shares=(10, 15))
    for n in range(60):
        held.put(KEY, record(n), bytes((10, 0, 0, n)), NOW)
    assert len(held) == 60


def test_a_full_key_answers_every_put_alike() -> None:
    """So nobody learns which of its keys has a low hash: neither when it comes, nor by asking
    again, by an older word or by another one of the same sequence."""
    held = store(per_key=16)
    for n in range(16):
        held.put(KEY, record(n), n.to_bytes(4, "big"), NOW)
    for n in range(16, 60):
        source = n.to_bytes(4, "big")
        other = replace(record(n), encoded=b"other")
        for word in (record(n), record(n), other, record(n, sequence=2), record(n, sequence=1)):
            assert held.put(KEY, word, source, NOW) == FULL


def test_whoever_says_it_anew_has_it_on_its_own_share() -> None:
    """A record may be said first by somebody who heard it elsewhere."""
    held = store(key_shares=(2, 2))
    for n in range(2):
        held.put(KEY, record(n), b"thief", NOW)
    assert held.put(KEY, record(2), b"thief", NOW) == FULL
    held.put(KEY, record(0, sequence=2), b"owner", NOW)
    assert held.put(KEY, record(2), b"thief", NOW) == HELD
    assert sorted(held._shares.counts()) == [1, 1, 2, 2]


def test_of_each_network_one_is_told_before_any_second_one() -> None:
    """Two hundred idle records of one /24, at two addresses, beside five honest ones, two of which
    are busy: nobody has to read far."""
    held = store()
    for n in range(200):
        held.put(KEY, record(n, idle=2), (HOME, NEXT_DOOR)[n % 2], NOW, networks=True)
    for n in range(1_000, 1_005):
        source = bytes((20, 0, n & 255, 7))
        held.put(KEY, record(n, idle=int(n < 1_003)), source, NOW, networks=True)
    first = held.page(KEY, 0, 6, 1 << 20, NOW, b"requester")
    assert {record(n, idle=int(n < 1_003)).encoded for n in range(1_000, 1_005)} <= set(first)
    assert {record(n, idle=0).encoded for n in (1_003, 1_004)} == set(first[4:])
    rest = held.page(KEY, 6, 500, 1 << 20, NOW, b"requester")
    numbers = [int(wire[1:].split(b",")[0]) % 2 for wire in rest[:100]]
    assert 45 <= sum(numbers) <= 55  # its two addresses take turns as well


def test_who_comes_while_somebody_reads_is_told_too() -> None:
    held = store()
    for n in range(100):
        held.put(KEY, record(n), n.to_bytes(4, "big"), NOW)
    held.page(KEY, 0, 3, 1 << 20, NOW, b"requester")
    held.put(KEY, record(500), b"late", NOW)
    held.put(KEY, record(0, sequence=2, withdrawn=True), bytes(4), NOW)
    wires = held.page(KEY, 0, 200, 1 << 20, NOW, b"requester")
    assert record(500).encoded in wires and record(0).encoded not in wires


def test_a_source_may_place_more_once_its_records_expired() -> None:
    held = store(per_source=1)
    held.put(KEY, record(1), b"s", NOW)
    assert held.put(KEY, record(2), b"s", NOW) == FULL
    held.sweep(5_000.0)
    assert held.put(KEY, record(2, expires=6_000), b"s", 5_000.0) == HELD


def test_the_whole_store_and_its_keys_are_bounded() -> None:
    held = store(in_all=100, keys=50)
    for n in range(1_000):
        held.put((n % 80).to_bytes(20, "big"), record(n), n.to_bytes(4, "big"), NOW)
    assert len(held) <= 100
    assert held.put(b"new key".ljust(20), record(5_000), b"s", NOW) == FULL


def test_a_shelf_says_how_it_is() -> None:
    held = store()
    for n, idle in enumerate((1, 1, 0)):
        held.put(KEY, record(n, idle=idle), b"s", NOW)
    held.put(KEY, record(9, withdrawn=True), b"s", NOW)
    assert repr(held) == "<RecordStore 4 records under 1 keys>"
    assert repr(held._by_key[KEY]) == "<KeyRecords 2 idle, 1 busy, 1 withdrawn>"


def test_rows_stay_consistent_through_a_thousand_random_changes() -> None:
    """The runs [idle | busy | withdrawn] against a plain dict that says the same."""
    rng = random.Random(4)
    held, plain = store(), {}
    for step in range(1_000):
        n = rng.randrange(40)
        new = record(n, sequence=step + 1, idle=rng.randrange(2), withdrawn=rng.random() < 0.2)
        new = replace(new, expires=rng.randrange(1_000, 1_400))
        held.put(KEY, new, b"s", NOW)
        plain[n] = new
        if step % 50 == 0:
            now = 1_000.0 + step / 5
            held.sweep(now)
            plain = {n: r for n, r in plain.items() if r.expires > now}
        live = [r for r in plain.values() if not r.withdrawn]
        assert held.count(KEY) == len(live) and len(held) == len(plain)
        assert held.idle(KEY) == sum(r.idle > 0 for r in live)
        if entries := held._by_key.get(KEY):
            check(entries)


def check(entries: KeyRecords) -> None:
    assert all(entries.at.get(place) == row for row, place in enumerate(entries.places))
    assert len(entries.at) == len(entries.wires) == len(entries.expiries) == len(entries.sequences)


@pytest.mark.parametrize(
    "count", [10_000, pytest.param(100_000, marks=[pytest.mark.soak, pytest.mark.timeout(300)])]
)
def test_a_record_of_400_bytes_costs_no_more_than_650(count: int) -> None:
    held = store(per_key=count, in_all=count)
    some = record(0)
    padding = bytes(400)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(count):
            wire = bytes(padding[:392] + n.to_bytes(8, "big"))
            made = replace(some, publisher=n.to_bytes(32, "big"), encoded=wire)
            held.put((n % 100).to_bytes(20, "big"), made, (n % 5_000).to_bytes(4, "big"), NOW)
        del made
        gc.collect()  # what Python keeps for its next tuples is no memory of a record
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(held) == count and sys.getsizeof(wire) == 433
    assert (after - before) / count <= 650


def test_the_limits_leave_room_for_what_is_promised() -> None:
    shards = 1 << dht_limits.SHARD_BITS * dht_limits.SHARD_DEPTH
    assert dht_limits.SPLIT_AT * shards > 1_000_000  # producers of one service
    assert dht_limits.RECORDS_PER_KEY_SHARES[1] < dht_limits.SPLIT_AT  # one network splits no key


def test_a_holder_of_only_the_sample_knows_that_the_key_has_split() -> None:
    held = store()
    for n in range(dht_limits.SPLIT_STAYS):
        assert not held.is_split(KEY)
        held.put(KEY, record(n), n.to_bytes(4, "big"), NOW, deeper=True)
    assert held.is_split(KEY)
    for n in range(dht_limits.SPLIT_STAYS // 2):  # they moved back: the key is one again
        held.put(KEY, record(n, sequence=2_000_000), n.to_bytes(4, "big"), NOW)
    assert not held.is_split(KEY)


def test_a_key_splits_when_it_holds_so_many() -> None:
    held = store(split_at=10)
    for n in range(9):
        held.put(KEY, record(n), n.to_bytes(4, "big"), NOW)
    assert not held.is_split(KEY)
    held.put(KEY, record(9), b"last", NOW)
    assert held.is_split(KEY) and held.sweep(1e12) == 10 and not held.is_split(KEY)


def test_a_record_costs_no_more_than_650_bytes_with_all_that_remembers_it() -> None:
    """The signature that was good, and the newest sequence, are remembered beside the record."""
    taken = bytes_per_record(2_000)
    assert 390 < taken["length"] < 420
    assert taken["store"] < taken["all"] <= 650
