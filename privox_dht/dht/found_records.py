"""The records that one look-up received: each is read once, and the newest version kept."""

from privox_dht.dht.node_state import NodeState
from privox_dht.records import Record


class FoundRecords:
    """The records of one look-up."""

    __slots__ = ("_key", "_passed", "_state", "newest")

    def __init__(self, state: NodeState, key: bytes) -> None:
        """`key` is the one that a record must name."""
        self._state, self._key = state, key
        self._passed: dict[bytes, bool] = {}  # encoded records, and whether each is valid
        self.newest: dict[bytes, Record] = {}  # by `Record.key`

    def take(self, wires: list[bytes]) -> int:
        """Keep the records among these bytes that pass; how many did."""
        passed = 0
        for wire in wires:
            if wire not in self._passed:  # else another holder sent it before
                self._passed[wire] = self._keep(wire)
            passed += self._passed[wire]
        return passed

    def _keep(self, wire: bytes) -> bool:
        record = self._state.accept(wire, self._key)
        if record is None:
            return False
        known = self.newest.get(record.key)
        if known is None or known.sequence < record.sequence:
            self.newest[record.key] = record
        return True
