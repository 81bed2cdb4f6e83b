"""The mesh's directory: who can do what, kept by all nodes together.

The only place that knows kademlia and rpcudp; everything above uses `DhtNode`. Datagrams are in
`wire`, stored records in `record_store`, contacts in `routing_table`; how a key is looked up in
`iterative_lookup`, `record_lookup` and `publisher`. docs/dht.md explains it from the outside.
"""

from privox_dht.dht.dht_node import DhtNode
from privox_dht.dht.dial_back_votes import Reachability
from privox_dht.dht.node_state import REASONS

__all__ = ["REASONS", "DhtNode", "Reachability"]
