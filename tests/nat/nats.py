"""The routers people have at home, as nftables rules: one function, text in, text out.

What a kind lets through for UDP, in the words of RFC 4787 (mapping / filtering):

    full-cone            endpoint-independent / endpoint-independent: anybody may answer a hole
    address-restricted   endpoint-independent / address-dependent: any port of a host spoken to
    port-restricted      endpoint-independent / address- and port-dependent
    symmetric            address- and port-dependent / the same: a fresh port for each peer
    udp-blocked          nothing of UDP passes, as in hotels and offices; TCP goes out

    forwarded            port-restricted, with one port of the first host inside let in from
                         outside, TCP and UDP, as people set up for a server at home

TCP goes out and never comes in, whatever the kind (but to a forwarded port). IPv6 is not
translated: whatever the kind, what somebody inside asked for comes in, and to a forwarded host
that port. A router that forgot a TCP flow does not pick
it up again in the middle (Linux by itself would), as after a real power cycle.
"""

FULL_CONE = "full-cone"
ADDRESS_RESTRICTED = "address-restricted"
PORT_RESTRICTED = "port-restricted"
SYMMETRIC = "symmetric"
UDP_BLOCKED = "udp-blocked"
FORWARDED = "forwarded"
KINDS = (FULL_CONE, ADDRESS_RESTRICTED, PORT_RESTRICTED, SYMMETRIC, UDP_BLOCKED)

WAN, LAN = "wan", "lan"  # the router's two interfaces
FIRST_INSIDE, FORWARDED_PORT = "192.168.1.10", 5678  # what comes in where a port is forwarded
TO_THE_ROUTER = "fib daddr type local"  # and not to an address that it has no more
HOLE_SECONDS = 120  # how long a UDP hole stays open after the last packet out, as Linux has it

# chain: what it says beside the common part, by kind
_ARRIVING = {
    FULL_CONE: "meta l4proto udp dnat ip to udp dport map @holes",
    ADDRESS_RESTRICTED: "udp dport . ip saddr @spoken dnat ip to udp dport map @holes",
    FORWARDED: f"meta l4proto {{ tcp, udp }} th dport {FORWARDED_PORT} dnat to {FIRST_INSIDE}",
}
_LEAVING = {SYMMETRIC: "masquerade fully-random"}
_THROUGH = {
    FULL_CONE: "ct status dnat accept",
    ADDRESS_RESTRICTED: "ct status dnat accept",
    FORWARDED: "ct status dnat accept",
    UDP_BLOCKED: "meta l4proto udp drop",
}
_THROUGH_6 = {
    FORWARDED: f"meta l4proto {{ tcp, udp }} th dport {FORWARDED_PORT} accept",
    UDP_BLOCKED: "meta l4proto udp drop",
}


def rules(kind: str) -> str:
    """The router's whole ruleset, for `nft -f`.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in (*KINDS, FORWARDED):
        raise ValueError(f"no such NAT: {kind!r}; there are {', '.join(KINDS)}")
    arriving = f'iifname "{WAN}" {TO_THE_ROUTER} {_ARRIVING[kind]}' if kind in _ARRIVING else ""
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
table ip6 router {{
  chain through {{
    type filter hook forward priority 0; policy drop
    {_THROUGH_6.get(kind, "")}
    ct state invalid drop
    ct state established,related accept
    iifname "{LAN}" accept
  }}
  chain itself {{
    type filter hook input priority 0; policy drop
    iifname {{ "lo", "{LAN}" }} accept
    ct state established,related accept
    meta l4proto ipv6-icmp accept
  }}
}}
"""


def forget() -> str:
    """Close every hole (the kernel's own table of flows is flushed apart)."""
    return "flush map ip router holes\nflush set ip router spoken\n"
