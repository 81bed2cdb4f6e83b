"""Who is known after a look-up: whoever proved itself with its answer to it, and nobody else."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from dht_kit import Stranger, node_of, stranger
from kit import HOST, until
from public_kit import internet

from privox_dht.addresses import pack_address
from privox_dht.dht import DhtNode, wire
from privox_dht.identity import Identity

NONCE = b"n" * wire.NONCE
OTHER = Identity.generate()


@asynccontextmanager
async def named_by_another() -> AsyncIterator[tuple[DhtNode, Stranger, Callable[[], Any]]]:
    """A node, a stranger that somebody else will name to it, and how it joins through that one."""
    async with node_of() as node, stranger(node.mesh) as guide, stranger(node.mesh) as named:
        peer = named.identity.dht_id + pack_address(HOST, named.port)
        paid = [b"x" * 150] * 3  # what it says pays for what it names: else that is asked in short
        guide.answers["find"] = lambda arguments, addr: {"t": b"t" * 8, "n": peer, "r": paid}
        yield node, named, lambda: node.join([(HOST, guide.port)])


def proof(by: Stranger, challenge: bytes, addr: Any) -> dict[str, Any]:
    pong = by.pong([challenge[: wire.NONCE], challenge[wire.NONCE :]], addr)
    return {name: pong[name] for name in "kson"}


def asked(named: Stranger, method: str) -> list[Any]:
    return [body for body, _ in named.heard if body[0] == method]


async def test_a_node_proves_itself_with_its_answer_to_a_lookup() -> None:
    async with named_by_another() as (node, named, join):
        named.answers = {
            "find": lambda arguments, addr: {"t": b"t" * 8, "p": proof(named, arguments[3], addr)}
        }
        await join()
        await until(lambda: (HOST, named.port) in node.contacts())
        assert not asked(named, "ping")
        assert asked(named, "announce"), "it is shown its token, so that it may want us too"


LIES: dict[str, Callable[[Stranger, bytes, Any], dict[str, Any]]] = {
    "another key": lambda liar, asked, addr: {**proof(liar, asked, addr), "k": OTHER.public},
    "another nonce": lambda liar, asked, addr: proof(liar, NONCE + asked[wire.NONCE :], addr),
    "another address": lambda liar, asked, addr: proof(
        liar, asked[: wire.NONCE] + pack_address(HOST, 9), addr
    ),
    "another node": lambda liar, asked, addr: proof(Stranger(liar.mesh, OTHER), asked, addr),
}


@pytest.mark.parametrize("lie", list(LIES))
async def test_who_proves_something_else_is_no_contact_and_not_asked_again(lie: str) -> None:
    async with named_by_another() as (node, named, join):
        named.answers["find"] = lambda arguments, addr: {
            "t": b"t" * 8,
            "p": LIES[lie](named, arguments[3], addr),
        }
        await join()
        await until(lambda: node.stats()["dropped"]["proof"])
        assert (HOST, named.port) not in node.contacts()
        assert not asked(named, "ping")


async def test_who_answers_without_its_proof_is_asked_for_it() -> None:
    async with named_by_another() as (node, named, join):
        named.answers["find"] = lambda arguments, addr: {"t": b"t" * 8}
        await join()
        await until(lambda: (HOST, named.port) in node.contacts())
        assert asked(named, "ping")


async def test_a_proof_of_another_shape_is_no_answer() -> None:
    async with named_by_another() as (node, named, join):
        named.answers["find"] = lambda arguments, addr: {"t": b"t" * 8, "p": [1, 2]}
        await join()
        await until(lambda: node.stats()["dropped"]["shape"])
        assert (HOST, named.port) not in node.contacts()


async def test_a_silent_node_is_asked_again_in_short_and_without_a_challenge() -> None:
    async with named_by_another() as (_, named, join):
        named.answers.clear()
        await join()
        first, again = await until(lambda: len(some := asked(named, "find")) > 1 and some[:2])
        assert len(first[4]) == 4 and len(first[5]) > 300
        assert first[4][:3] == again[4] and not again[5]


async def test_a_node_signs_for_no_address_but_its_own() -> None:
    """Else whoever is asked could pass the question on, and give the answer for its own."""
    async with internet() as net:
        *_, node = await net.mesh(4)
        asker = await net.stranger(node.mesh, "66.6.6.6")
        await until(node.observed)
        for there, signed in ((node.address, True), (("66.6.6.6", 5678), False)):
            question = [bytes(20), 0, -1, NONCE + pack_address(*there)]
            answer = await asker.ask(node.address, "find", question, size=488)
            assert ("p" in answer) is signed and answer["n"]
