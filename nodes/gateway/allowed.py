"""The networks of `--allow`, whose clients need no key. Pure."""

import ipaddress
from collections.abc import Iterable

from privox_dht.errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PRIVATE = (  # this machine, and private networks
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
    "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks as `--allow` has them; none means `PRIVATE`.

    Raises:
        ConfigError: one is not a network.
    """
    networks = []
    for text in tuple(texts) or PRIVATE:
        try:
            networks.append(ipaddress.ip_network(text, strict=False))
        except ValueError as exc:
            raise ConfigError(
                f"--allow {text}: give a network, such as 192.168.1.0/24 or fd00::/8"
            ) from exc
    return tuple(networks)


def is_allowed(host: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of them; an IPv4 address mapped into IPv6 counts as IPv4."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in networks)
