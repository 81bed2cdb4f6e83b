"""A node's numbers, for logs and status pages."""

from typing import Any

from privox_dht.dht.record_lookup import RecordLookups
from privox_dht.dht.rpc_network import RpcNetwork


def stats(network: RpcNetwork, lookups: RecordLookups) -> dict[str, Any]:
    """See docs/dht.md for what they mean; `dropped` counts by the `REASONS` of `node_state`."""
    state = network.state
    return {
        "contacts": network.size,
        "guest": state.guest,
        "private": state.private,
        "rtt_ms": round(state.rtt.mean * 1e3, 2),
        "rtt_spread_ms": round(state.rtt.spread * 1e3, 2),
        "records": len(state.store),
        "lookups": state.counts["lookups"],
        "cache_hits": state.counts["cache_hits"],
        "last_lookup_requests": lookups.last_requests,
        "asked": state.counts["asked"],
        "unanswered": state.counts["unanswered"],
        "sent": state.counts["sent"],
        "received": state.counts["received"],
        "dropped": state.dropped,
    }
