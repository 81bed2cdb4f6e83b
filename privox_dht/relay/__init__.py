"""Calling a producer that cannot be called: farms, and the lines parked at them.

    producer  parks idle connections at a farm          FarmPool
    client    asks the farm, CONNECT <peer id>.privox   any HTTP client that knows proxies
    farm      joins the two, and cannot read a word     Farm, FarmLimits

What is said, byte for byte, is in `messages`; what a farm decides, in `farm.switchboard`.
"""

from privox_dht.relay.farm.farm_server import Farm
from privox_dht.relay.producer.farm_pool import FarmPool
from privox_dht.relay.producer.farm_selection import FarmAt
from privox_dht.relay.relay_limits import FarmLimits, Timeouts

__all__ = ["Farm", "FarmAt", "FarmLimits", "FarmPool", "Timeouts"]
