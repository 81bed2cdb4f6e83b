"""Why a mesh could not be joined, in a message that says what to do. Pure."""

from collections.abc import Iterable, Mapping

from privox_dht.addresses import Address, join_host

NO_NAME = "no such name"
SILENT = "no answer"
REFUSED = "connection refused, nothing listens there"
NO_NODE = "something else than a node answers there"
NO_MEMBER = "it proves no membership of our private mesh"
OTHER_MESH = "it answers, but its mesh has another name"
NO_ADDRESS = "it has no address"
UNUSABLE = "nodes are not contacted at an address of that kind"
NAMESERVER = "the name server does not answer"

HINTS = {
    NO_NAME: "is it spelled right?",
    SILENT: "is it up, and are UDP and TCP let through to that port?",
    REFUSED: "is the node running, and is that its port?",
    NO_NODE: "which port does the node listen on, and is its mesh a private one?",
    NO_MEMBER: "have both the same --secret-file and --network, and clocks that differ by less than"
    " half a minute?",
    OTHER_MESH: "give the --network that it was given",
    UNUSABLE: "give a name, an IPv4 address, or an IPv6 address that is neither link-local nor of a"
    " NAT64",
    NAMESERVER: "does this machine's network work?",
}
MAX_SHOWN = 3  # addresses in the message for each reason


def other_family(kinds: Iterable[bool]) -> str:
    """The reason for a neighbour with no address in our families. `kinds` (True: IPv6): its own."""
    named = " and ".join("IPv6" if six else "IPv4" for six in sorted(kinds))
    return f"it has {named} only, which this machine has not" if named else NO_ADDRESS


def why(
    network: str, within: float, neighbours: Iterable[Address], reasons: Mapping[Address, str]
) -> str:
    """A message for the user.

    Args:
        network: the name of the mesh.
        within: seconds that the attempt took.
        neighbours: those that were tried, by name or by address.
        reasons: why each could not be used; those that are not in it did not answer.
    """
    by_reason: dict[str, list[str]] = {}
    for neighbour in dict.fromkeys(neighbours):
        reason = reasons.get(neighbour, SILENT)
        by_reason.setdefault(reason, []).append(join_host(*neighbour))
    lines = "; ".join(_line(reason, who, within) for reason, who in by_reason.items())
    return f"cannot join mesh {network!r}: {lines}"


def _line(reason: str, who: list[str], within: float) -> str:
    more = f" and {len(who) - MAX_SHOWN} more" if len(who) > MAX_SHOWN else ""
    hint = HINTS.get(reason)
    waited = f" within {within:g} s" if reason == SILENT else ""
    return f"{', '.join(who[:MAX_SHOWN])}{more}: {reason}{waited}" + (f" ({hint})" if hint else "")
