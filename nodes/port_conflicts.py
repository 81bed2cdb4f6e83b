"""Reports all conflicts of two nodes on one machine at once.

A node that cannot start checks all that it needs (its state folder, its UDP and TCP port, the ports
of its farm and gateway), not only the first conflict, and tells which flags avoid the conflicts.
"""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from nodes.config import NodeConfig
from nodes.gateway.config import GatewayConfig
from nodes.state_lock import is_in_use
from privox_dht.addresses import join_host
from privox_dht.dht.udp_transport import has_ipv6, hosts_of
from privox_dht.dht.wire import FAMILY_6
from privox_dht.errors import ConfigError

DGRAM, STREAM = socket.SOCK_DGRAM, socket.SOCK_STREAM


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that another program uses."""

    what: str
    flags: str  # that give this node its own


def explain_conflicts(config: NodeConfig) -> str:
    """All conflicts of a node of this configuration, and what to do; "": there is none."""
    found = list(_conflicts(config))
    what = ", ".join(one.what for one in found)
    flags = " ".join(dict.fromkeys(one.flags for one in found))
    message = f"another program, such as another privox-node, has {what}; to run beside it: {flags}"
    return message if found else ""


def _conflicts(config: NodeConfig) -> Iterator[Conflict]:
    folder = config.state_dir
    if is_in_use(folder):
        yield Conflict(f"the state folder {folder}", f"--state-dir {folder}-2")
    for kind, name in ((DGRAM, "UDP"), (STREAM, "TCP")):
        if config.port and _is_taken(config.host, config.port, kind):
            yield Conflict(f"{name} port {config.port}", "--port 0")
    if config.farm and config.relay_port and _is_taken(config.host, config.relay_port, STREAM):
        yield Conflict(f"the farm's TCP port {config.relay_port}", "--relay-port 0")
    if config.gateway:
        for flag, host, ports in _of_gateway(config.gateway):
            for port in ports:
                if port and _is_taken(host, port, STREAM):
                    yield Conflict(
                        f"the gateway's TCP port {port}", f"{flag} {_others(host, ports)}"
                    )


def _of_gateway(gateway: GatewayConfig) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Its flags, with the address and the ports of each."""
    yield "--gateway", gateway.host, (gateway.port,)
    if https := gateway.https:
        yield "--gateway-https", https.host, (https.port,)
    if wyoming := gateway.wyoming:
        yield "--wyoming", wyoming.host, (wyoming.port,)
    if gateway.privox_ports:
        yield "--privox-ports", gateway.host, gateway.privox_ports


def _others(host: str, ports: tuple[int, ...]) -> str:
    """The value of a flag with ports that may be free. Not 0: apps need a known port."""
    others = [port + len(ports) if port + len(ports) < 65536 else 0 for port in ports]
    return join_host(host, others[0]) if len(others) == 1 else ",".join(map(str, others))


def _is_taken(host: str | None, port: int, kind: socket.SocketKind) -> bool:
    return why_not_bound(host, port, kind) == errno.EADDRINUSE


def why_not_bound(host: str | None, port: int, kind: socket.SocketKind) -> int:
    """The error number of listening there now; 0: it is possible. Found out by doing so for a
    moment."""
    try:
        hosts = hosts_of(host)
    except ConfigError:
        return errno.EADDRNOTAVAIL
    if len(hosts) > 1 and not has_ipv6():
        hosts.pop(FAMILY_6)
    return next(filter(None, (_bound(one, port, kind) for one in hosts.values())), 0)


def _bound(host: str, port: int, kind: socket.SocketKind) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == STREAM:  # ignore connections that were closed recently
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        return exc.errno or errno.EIO
    return 0
