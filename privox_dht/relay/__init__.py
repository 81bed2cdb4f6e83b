"""Calling a producer that cannot be called: farms, and the lines parked at them.

    producer  parks idle connections at a farm          Parkings (several farms), Parking (one)
    client    asks the farm, CONNECT <peer id>.privox   any HTTP client that knows proxies
    farm      joins the two, and cannot read a word     Farm, FarmTerms

What is said on the wire, byte for byte, is in `wire`; what a farm decides, in `switchboard`.
"""

from privox_dht.relay.farm import Farm
from privox_dht.relay.parking import Parking
from privox_dht.relay.parkings import Parkings
from privox_dht.relay.rounds import FarmAt
from privox_dht.relay.terms import FarmTerms, Patience

__all__ = ["Farm", "FarmAt", "FarmTerms", "Parking", "Parkings", "Patience"]
