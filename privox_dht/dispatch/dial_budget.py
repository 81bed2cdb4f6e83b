"""What one job may dial: addresses come from records, and records from strangers. Pure.

    an address without a success so far    dialled at most twice in one job, probes included; once
                                           more from time to time while the job waits for it
    an address that several records name   dialled for the first of them only, and for the one whose
                                           key was found there
    a port below 1024 other than 443       not dialled, unless the client named the producer

So records cannot make clients probe a third party's address more often, and no record can hide a
producer by naming its address.
"""

from collections import Counter
from urllib.parse import urlsplit

from privox_dht import limits
from privox_dht.addresses import Address

WEB = 443  # the port below 1024 of producers and farms where firewalls open no other


class DialBudget:
    """The dials of one job.

    Args:
        named: the client named the producer, so any port may be dialled.
    """

    def __init__(self, *, named: bool = False) -> None:
        self._named = named
        self._unproven: Counter[Address] = Counter()
        self._first_key: dict[Address, bytes] = {}  # of the record for which it was first dialled
        self._found_key: dict[Address, bytes] = {}  # the key that answered there
        self._proven: set[Address] = set()

    def __repr__(self) -> str:
        return f"<DialBudget {len(self._unproven)} addresses, {self._unproven.total()} unproven>"

    def try_spend(self, address: Address, key: bytes | None) -> bool:
        """Whether `address` may be dialled now; if so, the dial is counted. `key` is the expected
        one; None: it is a farm, which relays to many."""
        if address[1] < limits.FIRST_OPEN_PORT and address[1] != WEB and not self._named:
            return False
        if address in self._proven:
            return key is None or key in (
                self._first_key.get(address),
                self._found_key.get(address),
            )
        is_found_key = key is None or key == self._found_key.get(address)
        if not is_found_key and self._first_key.setdefault(address, key or b"") != key:
            return False
        if self._unproven[address] >= limits.DIALS_UNPROVEN:
            return False
        self._unproven[address] += 1
        return True

    def allow_one_more(self) -> None:
        """Each address may be dialled once more."""
        most = limits.DIALS_UNPROVEN - 1
        self._unproven = Counter({at: min(dials, most) for at, dials in self._unproven.items()})

    def mark_proven(self, address: Address) -> None:
        """The expected server answered there."""
        self._proven.add(address)

    def record_key(self, address: Address, key: bytes) -> None:
        """Another key than the expected one answered there."""
        self._found_key[address] = key


def dialled_address(base: str, proxy: str | None) -> Address:
    """The address that a request to `base`, perhaps through `proxy`, connects to."""
    parts = urlsplit(proxy or base)
    return str(parts.hostname), parts.port or WEB
