"""The routing table: the true closest, the long-known first, no more than two of one network."""

import random

import pytest
from kademlia.node import Node

from privox_dht.addresses import pack_address
from privox_dht.dht import dht_limits
from privox_dht.dht.contact import Contact
from privox_dht.dht.routing_table import DEEPEST, RoutingTable, spread

ME = Node(b"\x5a" * 20)


def table(*, diverse: bool = False) -> RoutingTable:
    return RoutingTable(None, dht_limits.BUCKET, ME, lambda: diverse)


def contact(rng: random.Random, number: int, *, node_id: bytes | None = None) -> Contact:
    ip = f"9.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return Contact(node_id or rng.randbytes(20), pack_address(ip, 5678))


def at(rng: random.Random, ip: str, port: int) -> Contact:
    return Contact(rng.randbytes(20), pack_address(ip, port))


def test_neighbours_found_are_the_true_closest_of_all_contacts() -> None:
    rng = random.Random(1)
    known = table()
    for n in range(3_000):
        known.add_contact(contact(rng, n))
    everybody = known.contacts()
    assert len(everybody) > 100
    for _ in range(200):
        target = Node(rng.randbytes(20))
        true = sorted(everybody, key=lambda c: c.long_id ^ target.long_id)[: dht_limits.BUCKET]
        assert known.find_neighbors(target) == true


def test_whoever_was_there_first_stays() -> None:
    rng = random.Random(2)
    known = table()
    for n in range(8_000):
        known.add_contact(contact(rng, n))
    before = {c.id for c in known.contacts()}
    newcomers = [contact(rng, 30_000 + n) for n in range(2_000)]
    for newcomer in newcomers:
        known.add_contact(newcomer)
    assert before <= {c.id for c in known.contacts()}


def test_a_contact_that_goes_makes_room_for_one_that_waited() -> None:
    rng = random.Random(3)
    known = table()
    far = [bytes([0xF8 | n % 8]) + rng.randbytes(19) for n in range(400)]
    for n, node_id in enumerate(far):
        known.add_contact(contact(rng, n, node_id=node_id))
    size = len(known)
    assert size < 400
    gone = known.contacts()[0]
    known.remove_contact(gone)
    assert len(known) == size and known.get(gone.id) is None


def test_one_network_has_no_more_than_two_places_in_a_bucket() -> None:
    rng = random.Random(4)
    known = table(diverse=True)
    for n in range(200):
        known.add_contact(at(rng, f"8.8.8.{n % 250}", 1000 + n))
    assert all(len(bucket) <= dht_limits.CONTACTS_PER_NETWORK for bucket in known.buckets)


def test_in_a_private_mesh_networks_are_not_counted() -> None:
    rng = random.Random(5)
    known = table()
    for n in range(200):
        known.add_contact(at(rng, "127.0.0.1", 1000 + n))
    assert len(known) > 40


def test_one_address_is_one_contact() -> None:
    rng = random.Random(6)
    known = table()
    first, second = (at(rng, "9.9.9.9", 5678) for _ in range(2))
    known.add_contact(first)
    known.add_contact(second)
    assert known.contacts() == [second] and known.at(pack_address("9.9.9.9", 5678)) is second


def test_a_contact_that_moved_is_found_where_it_is_now() -> None:
    rng = random.Random(7)
    known = table()
    old = contact(rng, 1)
    known.add_contact(old)
    known.add_contact(Contact(old.id, pack_address("9.9.9.9", 5678)))
    assert known.at(old.where) is None and len(known) == 1


def test_we_are_no_contact_of_ours() -> None:
    known = table()
    assert not known.add_contact(Contact(ME.id, pack_address("9.9.9.9", 5678))) and len(known) == 0
    assert not known.has_room(ME.id, pack_address("9.9.9.9", 5678))


def test_room_is_said_before_the_proof_is_asked_for() -> None:
    rng = random.Random(8)
    known = table()
    for n in range(8_000):
        known.add_contact(contact(rng, n))
    newcomers = [contact(rng, 50_000 + n) for n in range(500)]
    for newcomer in newcomers:
        assert known.has_room(newcomer.id, newcomer.where) == known.add_contact(newcomer)


def test_ids_beside_our_own_cannot_split_buckets_for_ever() -> None:
    rng = random.Random(9)
    known = table()
    for n in range(3_000):
        known.add_contact(contact(rng, n, node_id=ME.id[:18] + rng.randbytes(2)))
    assert len(known.buckets) <= 32 * 5 + DEEPEST * 16 and len(known) <= 40 * dht_limits.BUCKET


def test_the_stale_are_told_longest_silent_first() -> None:
    rng = random.Random(10)
    known = table()
    for n in range(30):
        some = contact(rng, n)
        some.seen = 1_000.0 - n
        known.add_contact(some)
    stale = known.stale(1_000.0 + dht_limits.CONTACT_STALE - 15, 5)
    assert [c.seen for c in stale] == [971.0, 972.0, 973.0, 974.0, 975.0]


def test_whoever_left_a_request_unanswered_is_asked_again_before_the_stale() -> None:
    rng = random.Random(11)
    known = table()
    for n in range(10):
        some = contact(rng, n)
        some.seen = 1_000.0 + n
        known.add_contact(some)
    known.contacts()[4].failures = 1
    assert known.stale(1_010.0, 5) == [known.contacts()[4]]
    later = known.stale(1_010.0 + dht_limits.CONTACT_STALE, 5)
    assert len(later) == 5 and later[0] is known.contacts()[4]


def test_a_bucket_without_lookups_is_the_one_to_walk_to() -> None:
    known = table()
    assert known.stalest_bucket(dht_limits.BUCKET_STALE + 1) is known.buckets[0]
    known.touch(5, dht_limits.BUCKET_STALE)
    assert known.stalest_bucket(dht_limits.BUCKET_STALE + 1) is None


@pytest.mark.parametrize("most", [1, 4, 20])
def test_an_answer_names_no_more_than_two_of_one_network(most: int) -> None:
    rng = random.Random(11)
    some = [at(rng, f"9.9.{n % 3}.{n}", 1) for n in range(30)]
    chosen = spread(some, most)
    assert len(chosen) == min(most, 6)
    assert all(sum(c.ip.startswith(f"9.9.{n}.") for c in chosen) <= 2 for n in range(3))
