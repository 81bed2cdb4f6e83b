"""What is given to those who come: who stands near enough for it, and what they have already."""

from __future__ import annotations

import random

import pytest

from bench.sim import virtual, worlds
from privox_dht.dht.contact import Contact
from privox_dht.dht.handover import HandoverBatch, closer_than


@pytest.mark.parametrize(
    ("one", "others", "target", "excluded", "closer"),
    [
        (0b1000, [], 0b0000, -1, 0),
        (0b0001, [0b0001], 0b0000, -1, 0),  # itself is not closer than itself
        (0b1000, [0b0001, 0b0111, 0b1001], 0b0000, -1, 2),
        (0b1000, [0b0001, 0b0111, 0b1001], 0b0000, 0b0111, 1),
        (0b1000, [0b0001, 0b0111, 0b1001], 0b0000, 0b1001, 2),  # was not closer anyway
        (0b1100, [0b0100, 0b1011, 0b1101, 0b1110], 0b1111, -1, 2),
        (0b1111, [0b0000, 0b1110, 0b1111], 0b1111, -1, 0),  # it stands on the target
    ],
)  # fmt: skip
def test_who_is_closer_to_a_target(
    one: int, others: list[int], target: int, excluded: int, closer: int
) -> None:
    assert closer_than(one, others, target, excluded=excluded) == closer


def test_who_is_closer_is_found_without_looking_at_everybody() -> None:
    rng = random.Random(9)
    for _ in range(200):
        others = sorted({rng.randrange(1 << 12) for _ in range(60)})
        one, target = rng.choice(others), rng.randrange(1 << 12)
        slowly = [other for other in others if other ^ target < one ^ target]
        assert closer_than(one, others, target) == len(slowly)
        for enough in (1, 4, 20):
            some = closer_than(one, others, target, enough=enough)
            assert min(some, enough) == min(len(slowly), enough)


@pytest.mark.usefixtures("quick")
def test_whoever_was_sent_a_record_by_its_walk_is_not_given_it_as_a_newcomer() -> None:
    """A walk to a key meets nodes that its publisher did not know: those near the key got the
    record twice, once from the walk and once for being new."""
    world = worlds.Ours(5)

    async def story() -> None:
        there = await world.start(1, [])
        async with world.node(2, guest=True) as publisher:  # a guest holds nothing for others
            await publisher.join([(there.ip, worlds.PORT)])
            await publisher.publish(worlds.record_of(publisher, "stt"))
            handover, (contact,) = publisher._handover, publisher._network.contacts()
            (published,) = publisher._state.published.values()

            def due(newcomer: Contact) -> list[HandoverBatch]:
                return list(handover._batches_for(newcomer, handover._survey()))

            assert published.sent_to == [contact.id] and not due(contact)
            published.sent_to.clear()
            assert [one.wires for one in due(contact)] == [[published.record.encoded]]

    virtual.run(virtual.Air(5), story)
