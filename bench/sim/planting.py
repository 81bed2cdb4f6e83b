"""Meshes of a hundred thousand, planted: joins without datagrams, timers and signatures.

Joining fills a table with whom a newcomer asked on its way to its own id (ours: and to another),
and with newcomers that asked; far less than there would be room for. So that is what is done here,
one newcomer after the other, through the tables of those it would ask:

stock  ping -> the neighbours remember the newcomer
       walk to its own id, the three closest of the twenty at a time, as `NodeSpiderCrawl` does;
       who is asked remembers the newcomer, and is remembered
       a full bucket that may not split -> its head is pinged, and remembers who pinged
ours   ping -> the neighbours and the newcomer prove themselves to one another
       walks to its own id and to a random one, eight at a time and at last the window of twenty,
           who answers first first, and proves itself with its answer
       both sides: `has_room`, then `add_contact` of a proven contact, with its round trip

What is left out: nobody joins at the same time as another, nothing is lost or late. All that is
random is drawn as for a mesh that is joined. The cost of one join grows with the logarithm of the
nodes that are there.
"""

from bisect import insort
from heapq import heappop, heappush
from itertools import islice
from typing import Any

from kademlia.node import Node
from kademlia.routing import KBucket

from bench.sim.virtual import Air
from bench.sim.worlds import PORT, Ours, SimNode, Stock
from privox_dht.addresses import pack_address
from privox_dht.dht import dht_limits
from privox_dht.dht.compact_nodes import ID
from privox_dht.dht.contact import Contact
from privox_dht.dht.rpc_protocol import RpcProtocol

STOCK_ALPHA = 3  # `kademlia.network.Server`'s own
FIRST_ROOM = 20  # contacts in the answer to a first, padded `find`


class StockGarden:
    """Stock's tables, filled as `KademliaProtocol.welcome_if_new` and `RoutingTable` fill them."""

    def __init__(self, world: Stock, air: Air) -> None:
        self.world = world
        self.servers: dict[bytes, Any] = {}
        self.homes: dict[bytes, Node] = {}  # one `Node` for each server, in all tables

    async def plant(self, number: int, neighbours: list[Any]) -> Any:
        server = await self.world.start(number, [])
        own, ip = server.node, server.transport.address[0]
        self.servers[own.id], self.homes[own.id] = server, Node(own.id, ip, PORT)
        for neighbour in neighbours:
            self.welcome(neighbour, own.id)
        self.walk(server, [self.homes[neighbour.node.id] for neighbour in neighbours])
        return server

    def walk(self, server: Any, peers: list[Node]) -> None:
        own, home = server.node.long_id, self.homes[server.node.id]
        nearest: list[tuple[int, Node]] = []
        known: set[bytes] = set()
        asked: set[bytes] = set()
        before: list[bytes] = []
        answers = [peers]
        while True:
            for peer in (peer for answer in answers for peer in answer):
                if peer.id not in known:
                    known.add(peer.id)
                    insort(nearest, (peer.long_id ^ own, peer))
            some = [peer for _, peer in nearest[: server.ksize]]
            new = [peer for peer in some if peer.id not in asked]
            if not new:
                return
            ids = [peer.id for peer in some]
            count = len(ids) if ids == before else STOCK_ALPHA
            before, answers = ids, []
            for peer in new[:count]:
                asked.add(peer.id)
                self.welcome(self.servers[peer.id], home.id)
                router = self.servers[peer.id].protocol.router
                answers.append(router.find_neighbors(server.node, exclude=home))
            for peer in new[:count]:
                self.welcome(server, peer.id)

    def welcome(self, server: Any, node_id: bytes) -> None:
        """`server` has heard of a node by itself."""
        meetings = [(server, node_id)]
        while meetings:
            server, node_id = meetings.pop()
            router, node = server.protocol.router, self.homes[node_id]
            if not router.is_new_node(node):
                continue
            while True:
                index = router.get_bucket_for(node)
                bucket = router.buckets[index]
                if bucket.add_node(node):
                    break
                if not bucket.has_in_range(router.node) and depth(bucket) % 5 == 0:
                    meetings.append((self.servers[bucket.head().id], router.node.id))
                    break
                router.split_bucket(index)


def depth(bucket: KBucket) -> int:
    """`KBucket.depth`, which spells every id out in ones and noughts, by arithmetic."""
    ids: list[int] = [node.long_id for node in bucket.nodes.values()]
    return 160 - (min(ids) ^ max(ids)).bit_length()


class OurGarden:
    """Our tables, filled as introductions of proven contacts fill them."""

    def __init__(self, world: Ours, air: Air) -> None:
        self.world, self.air = world, air
        self.nodes: dict[bytes, tuple[SimNode, RpcProtocol]] = {}

    async def plant(self, number: int, neighbours: list[SimNode]) -> SimNode:
        node = await self.world.start(number, [])
        (protocol,) = node._network.protocols.values()
        node._state.private = False
        own = node._state.identity.dht_id
        self.nodes[own] = node, protocol
        for neighbour in neighbours:
            self.meet(own, neighbour._state.identity.dht_id)
        self.walk(own, own, dht_limits.BUCKET)
        self.walk(own, node._state.rng.randbytes(ID), dht_limits.FAR_BUCKET)
        return node

    def walk(self, own: bytes, target: bytes, closest: int) -> None:
        """`IterativeLookup.find` of whoever wants no records. Everybody answers, after one round
        trip."""
        node, goal, ip = Node(target), int.from_bytes(target, "big"), self.nodes[own][0].ip
        order: list[tuple[int, bytes]] = []
        known: set[bytes] = {own}
        asked: set[bytes] = set()
        flying: list[tuple[float, bytes]] = []
        answered: set[bytes] = set()
        answer, now = self.nodes[own][1].router.find_neighbors(node), 0.0
        while True:
            for contact in answer:
                there = contact.packed[:ID]
                if there not in known:
                    known.add(there)
                    insort(order, (int.from_bytes(there, "big") ^ goal, there))
            window = {there: None for _, there in order[:closest]}
            busy = sum(there in window for _, there in flying)
            near = set(islice(window, dht_limits.ALPHA))
            is_near = 0 < len(near) <= 2 * len(near & answered)  # as `Shortlist.is_near`
            limit = closest if is_near else 2 * dht_limits.ALPHA  # as `Shortlist.parallel`
            for there in window:
                if there not in asked and busy < limit:
                    asked.add(there)
                    taken = 2 * self.air.delay(ip, self.nodes[there][0].ip)
                    heappush(flying, (now + taken, there))
                    busy += 1
            if not busy:
                return
            now, there = heappop(flying)
            answered.add(there)
            self.meet(own, there)
            router = self.nodes[there][1].router
            answer = router.find_neighbors(node, 2 * FIRST_ROOM, exclude=own)[:FIRST_ROOM]

    def meet(self, own: bytes, there: bytes) -> None:
        """Whom we asked is asked for its proof, and then asks for ours: each if it has room."""
        if self.remember(own, there):
            self.remember(there, own)

    def remember(self, own: bytes, there: bytes) -> bool:
        node, protocol = self.nodes[own]
        other = self.nodes[there][0]
        where = pack_address(other.ip, PORT)
        if not protocol.router.has_room(there, where):
            return False
        contact = Contact(there, where)
        taken = 2 * self.air.delay(node.ip, other.ip)
        contact.note_rtt(taken)
        contact.seen = protocol.loop.time()
        node._state.rtt.note(taken)
        return bool(protocol.router.add_contact(contact))


def garden(world: Any, air: Air) -> StockGarden | OurGarden:
    return StockGarden(world, air) if isinstance(world, Stock) else OurGarden(world, air)
