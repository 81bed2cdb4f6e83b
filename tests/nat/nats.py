"""The routers people have at home, as nftables rules: one function, text in, text out.

What a kind lets through for UDP, in the words of RFC 4787 (mapping / filtering):

    full-cone            endpoint-independent / endpoint-independent: anybody may answer a hole
    address-restricted   endpoint-independent / address-dependent: any port of a host spoken to
    port-restricted      endpoint-independent / address- and port-dependent
    symmetric            address- and port-dependent / the same: a fresh port for each peer
    udp-blocked          nothing of UDP passes, as in hotels and offices; TCP goes out

TCP goes out and never comes in, whatever the kind. A router that forgot a TCP flow does not pick
it up again in the middle (Linux by itself would), as after a real power cycle.
"""

from __future__ import annotations

FULL_CONE = "full-cone"
ADDRESS_RESTRICTED = "address-restricted"
PORT_RESTRICTED = "port-restricted"
SYMMETRIC = "symmetric"
UDP_BLOCKED = "udp-blocked"
KINDS = (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC, UDP_BLOCKED)

WAN, LAN = "wan", "lan"  # the router's two interfaces
HOLE_SECONDS = 120  # how long a UDP hole stays open after the last packet out, as Linux has it

# chain: what it says beside the common part, by kind
_ARRIVING = {
    FULL_CONE: "meta l4proto udp dnat ip to udp dport map @holes",
    ADDRESS_RESTRICTED: "udp dport . ip saddr @spoken dnat ip to udp dport map @holes",
}
_LEAVING = {SYMMETRIC: "masquerade fully-random"}
_THROUGH = {
    FULL_CONE: "ct status dnat accept",
    ADDRESS_RESTRICTED: "ct status dnat accept",
    UDP_BLOCKED: "meta l4proto udp drop",
}


def rules(kind: str) -> str:
    """The router's whole ruleset, for `nft -f`.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no such NAT: {kind!r}; there are {', '.join(KINDS)}")
    arriving = f'iifname "{WAN}" {_ARRIVING[kind]}' if kind in _ARRIVING else ""
    return f"""
table ip router {{
  map holes {{
    typeof udp dport : ip daddr . udp dport
    flags dynamic,timeout
    timeout {HOLE_SECONDS}s
  }}
  set spoken {{
    typeof udp dport . ip saddr
    flags dynamic,timeout
    timeout {HOLE_SECONDS}s
  }}
  chain arriving {{
    type nat hook prerouting priority -100
    {arriving}
  }}
  chain leaving {{
    type nat hook postrouting priority 100
    oifname "{WAN}" {_LEAVING.get(kind, "masquerade")}
  }}
  chain noting {{
    type filter hook postrouting priority 300
    oifname != "{WAN}" return
    meta l4proto != udp return
    update @holes {{ udp sport : ct original ip saddr . ct original proto-src }}
    update @spoken {{ udp sport . ip daddr }}
  }}
  chain through {{
    type filter hook forward priority 0; policy drop
    {_THROUGH.get(kind, "")}
    ct state invalid drop
    ct state established,related accept
    iifname "{LAN}" accept
  }}
  chain itself {{
    type filter hook input priority 0; policy drop
    iifname {{ "lo", "{LAN}" }} accept
    ct state established,related accept
    icmp type echo-request accept
  }}
}}
"""


def forget() -> str:
    """Close every hole (the kernel's own table of flows is flushed apart)."""
    return "flush map ip router holes\nflush set ip router spoken\n"
