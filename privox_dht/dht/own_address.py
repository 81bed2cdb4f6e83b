"""A node's own addresses and clock, as others observe them.

contacts report both with each proof -> two that agree are believed (`observed_addresses`)
an interface, or a dial-back         -> certainly ours: no signature for any other address
"""

from collections.abc import Callable, Iterable

from privox_dht.addresses import Address, is_global
from privox_dht.dht.bootstrap import Bootstrapper
from privox_dht.dht.node_state import NodeState
from privox_dht.dht.rpc_network import RpcNetwork


class OwnAddress:
    """The part of a node that knows its addresses."""

    def __init__(self, state: NodeState, network: RpcNetwork) -> None:
        self._state, self._network = state, network
        self._bootstrapper = Bootstrapper(network)

    def contacts(self) -> list[Address]:
        """The addresses of all contacts."""
        return [contact.address for contact in self._network.contacts()]

    def observed(self) -> list[Address]:
        """Our own addresses as two or more neighbours see them, best first."""
        return self._state.observed()

    def seen_by_any(self) -> list[str]:
        """Every IP at which any neighbour sees us, agreed on or not."""
        return self._state.observations.all_ips()

    def clock_offset(self) -> float | None:
        """How far our neighbours' clocks are ahead of ours (median, seconds)."""
        return self._state.observations.clock_offset()

    @property
    def has_witnesses(self) -> bool:
        """Whether there is a node that could dial us back."""
        return bool(self.contacts() or self._state.witnesses)

    def set_own_addresses(self, addresses: Iterable[str], *, reached: Iterable[str] = ()) -> None:
        """Our addresses on interfaces, and those at which we were just dialled back (`reached`). Of
        two `reached` ones of one family, one may be a liar's claim."""
        found = list(reached)
        families = [":" in ip for ip in found]
        sure = [ip for ip in found if families.count(":" in ip) == 1]
        self._state.own_global = frozenset(filter(is_global, [*addresses, *sure]))
        if found:
            self._state.observations.forget(keep=found)

    def addresses_changed(self) -> None:
        """We have new addresses: forget the observations, and ping all contacts for new ones."""
        self._state.observations.forget()
        self._bootstrapper.announce()

    def ask_own_address(self) -> None:
        """Ping a random contact, which reports the address at which it sees us now."""
        if contacts := self._network.contacts():
            self._network.ping(self._state.rng.choice(contacts))

    def on_new_address(self, callback: Callable[[], None]) -> None:
        """Call this when a node sees us at a new address, or the first guest contacts us."""
        self._state.on_new_address = callback
