"""The mesh's directory: who can do what, kept by all nodes together.

The only place that knows kademlia and rpcudp; everything above speaks to `DhtNode`. What is said on
the wire is in `wire`, what is held in `store`, who is known in `table`; how a key is looked up in
`crawl`, `lookup` and `publish`. docs/dht.md explains it from the outside.
"""

from privox_dht.dht.addresses import is_global, is_usable
from privox_dht.dht.node import DhtNode
from privox_dht.dht.state import REASONS
from privox_dht.dht.verdicts import Reach

__all__ = ["REASONS", "DhtNode", "Reach", "is_global", "is_usable"]
