"""Relaying calls to producers behind a NAT: farms, and the lines parked at them.

    producer  parks idle connections at a farm          FarmPool
    client    asks the farm, CONNECT <peer id>.privox   any HTTP client that knows proxies
    farm      connects the two, reads nothing           Farm, FarmLimits

The protocol is in `messages`, the farm's decisions in `farm.switchboard`.
"""

from privox_dht.relay.farm.farm_server import Farm
from privox_dht.relay.producer.farm_pool import FarmPool
from privox_dht.relay.producer.farm_selection import FarmAddress
from privox_dht.relay.relay_limits import FarmLimits, Timeouts

__all__ = ["Farm", "FarmAddress", "FarmLimits", "FarmPool", "Timeouts"]
