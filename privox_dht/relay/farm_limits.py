"""What a farm grants, and how long it waits for anybody.

FarmTerms   limits that stand in the farm's signed record; its owner may change each
Patience    waits that both ends use; arguments only so that tests need not wait as long
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from privox_dht import limits

LETTERS = {
    "producers": "p",
    "idle_lines": "i",
    "lines": "l",
    "producers_per_address": "a",
    "calls_per_address": "c",
    "call_bytes": "b",
    "call_seconds": "s",
    "buffered": "m",
}  # field -> its name in a record
MOST = 2**53  # a term above this says nothing and overflows elsewhere


@dataclass(frozen=True, slots=True)
class FarmLimits:
    """The limits of one farm."""

    producers: int = limits.FARM_PRODUCERS  # at this farm; memory and file descriptors
    idle_lines: int = limits.FARM_IDLE_LINES  # parked per producer; more only cost memory
    lines: int = limits.FARM_LINES  # per producer, calls included: one producer is not the farm
    producers_per_address: int = limits.FARM_PRODUCERS_PER_ADDRESS  # keys are free, addresses not
    calls_per_address: int = limits.FARM_CALLS_PER_ADDRESS  # less than `lines`: others get through
    call_bytes: int = limits.FARM_CALL_BYTES  # both ways; sized so that an hour of audio passes
    call_seconds: int = limits.FARM_CALL_SECONDS  # likewise
    buffered: int = limits.FARM_BUFFERED  # bytes for all slow readers together

    def to_record(self) -> dict[str, int]:
        """As a record's `terms`."""
        return {letter: getattr(self, name) for name, letter in LETTERS.items()}

    @classmethod
    def from_record(cls, terms: Mapping[str, int]) -> FarmLimits:
        """From a record's `terms`; what a farm leaves out, or says in jest, is the default."""
        said = {name: terms.get(letter) for name, letter in LETTERS.items()}
        return cls(**{n: v for n, v in said.items() if type(v) is int and 0 < v <= MOST})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each side waits for the other, in seconds."""

    head: float = limits.RELAY_HEAD_WAIT  # until a connection has said and proved what it is
    ping: float = limits.RELAY_PING  # between two pings
    silence: float = limits.RELAY_SILENCE  # on a control line, until the other side is dead
    first_byte: float = limits.RELAY_FIRST_BYTE  # from a claim to the client's first byte
    handshake: float = limits.RELAY_HANDSHAKE  # from a claim to a finished TLS handshake
    stall: float = limits.RELAY_STALL  # that a reader may take nothing of what waits for it
    linger: float = limits.RELAY_LINGER  # that one side may stay after the other hung up
