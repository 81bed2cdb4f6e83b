"""Numbers of the relay, each with its unit and its reason; see `privox_dht.limits`.

FarmLimits  stands in the farm's signed record; its owner may change each
Timeouts    how long both ends wait; arguments so that tests need not wait as long
"""

from __future__ import annotations

from dataclasses import dataclass

from privox_dht.limits import KIB, MIB

FARM_PRODUCERS = 5_000  # producers at one farm; 20,000 connections, which one process carries
SIDE_FARM_PRODUCERS = 100  # at a node that relays beside other things: 400 connections ...
SIDE_FARM_BUFFERED = 32 * MIB  # ... and bytes held for slow readers
FARM_IDLE_LINES = 3  # parked lines per producer: a burst of calls finds one while others are parked
FARM_LINES = 64  # lines per producer, calls included: twice what one client address can claim
FARM_PRODUCERS_PER_ADDRESS = 8  # of one network (`quotas`): a household or small office
FARM_CALLS_PER_ADDRESS = 32  # of one network: a busy gateway
FARM_LINES_PER_ADDRESS = 16  # calls of one network to one producer: a home has an IPv4 address and
# an IPv6 /48, and 16 and 32 are less than FARM_LINES: others get through
FARM_CALL_BYTES = 512 * MIB  # bytes of one call, both ways: the largest upload twice over
FARM_CALL_SECONDS = 4 * 3600  # seconds of one call: two hours of audio, uploaded and heard in two
FARM_BUFFERED = 256 * MIB  # bytes a farm holds for all slow readers together
FARM_HANDSHAKES = 4096  # connections in their handshake: thousands may come back at once
FARM_HANDSHAKES_PER_ADDRESS = 128  # of those from one address: 8 producers parking all their lines
FARM_FILES = 65_536  # file descriptors a farm asks the system for; more is refused on many systems
FARM_FILE_RESERVE = 64  # descriptors kept for running calls and for the rest of the process
FARM_BACKLOG = 1024  # connections the kernel holds for us: thousands come back at once
FARM_DRAIN = 30.0  # seconds a farm that stops lets running calls go on
FARM_TICK = 0.25  # seconds between two checks for what is overdue
FARM_PROGRESS_CHECK = 1.0  # seconds between two checks of the readers' progress
SPLICE_CHUNK = 128 * KIB  # bytes read at a time, and so the most a farm holds per direction

HEAD = 4 * KIB  # bytes of the first lines of a connection to a farm
HEAD_WAIT = 5.0  # seconds for a connection to state and prove its purpose
MESSAGES_AT_ONCE = 256  # messages read together from a control line: a producer with 64 lines sends
# one for each that fails, a farm three for each that is called
PING = 10.0  # seconds between pings, both ways; also keeps NAT mappings open
SILENCE = 15.0  # seconds without a message on a control line: the other side is dead or frozen;
# also from its beginning to the first parked line, or the producer goes to another farm
FIRST_BYTE = 3.0  # seconds a call may stay silent before it loses its line
HANDSHAKE = 5.0  # seconds from a claim to a finished TLS handshake
STALL = 10.0  # seconds in which a reader takes no byte of what waits for it
LINGER = 2.0  # seconds one side may stay on after the other hung up and all was delivered
UNACKED = 8.0  # seconds in which nothing sent on a parked line is acknowledged: the other machine
# is down, or one of us has a new address. A frozen process still acknowledges
KEEPALIVE = (5, 1, 5)  # seconds idle, seconds between probes, probes: dead after 10 s
FLAPS = 3  # times in FLAP_WINDOW that one key may move to another machine
FLAP_WINDOW = 60.0  # seconds

PRODUCER_FARMS = 2  # farms a producer parks at: one may die without anybody noticing
PRODUCER_LINES = 64  # lines to one farm at a time, calls included; 290 KB each while in a call
PRODUCER_IDLE_LINES = 8  # parked lines to one farm, however many it asks for
PRODUCER_DIAL = 3.0  # seconds for a TCP connection to a farm
PRODUCER_ROUND = 0.5  # seconds over which producers that lost a farm spread their first attempts
PRODUCER_BACKOFF = (1.0, 10.0)  # seconds after the first round in which every farm failed, and most
PRODUCER_LINE_BACKOFF = (0.2, 5.0)  # seconds before parking again after a line that failed idle
PRODUCER_FARMS_LOOKUP = 5.0  # seconds to look up the farms; then the old list is used
PRODUCER_SUPERSEDED = 3600.0  # seconds before a farm is tried where another machine has our key
PRODUCER_SEARCH_FIRST = 1.0  # seconds to the next look-up while there is no farm, doubling ...
PRODUCER_SEARCH_AGAIN = 15.0  # seconds between look-ups of more farms while there are too few
PRODUCER_MAX_RETRY_AFTER = 600.0  # seconds a farm may send a producer away for

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


@dataclass(frozen=True, slots=True)
class FarmLimits:
    """The limits of one farm."""

    producers: int = FARM_PRODUCERS  # at this farm; memory and file descriptors
    idle_lines: int = FARM_IDLE_LINES  # parked per producer; more only cost memory
    lines: int = FARM_LINES  # per producer, calls included: one producer is not the farm
    producers_per_address: int = FARM_PRODUCERS_PER_ADDRESS  # keys are free, addresses not
    calls_per_address: int = FARM_CALLS_PER_ADDRESS  # less than `lines`: others get through
    call_bytes: int = FARM_CALL_BYTES  # both ways; sized so that an hour of audio passes
    call_seconds: int = FARM_CALL_SECONDS  # likewise
    buffered: int = FARM_BUFFERED  # bytes for all slow readers together

    def to_record(self) -> dict[str, int]:
        """As a record's `terms`."""
        return {letter: getattr(self, name) for name, letter in LETTERS.items()}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each side waits for the other, in seconds."""

    head: float = HEAD_WAIT  # for a connection to state and prove its purpose
    ping: float = PING  # between two pings
    silence: float = SILENCE  # on a control line, until the other side is dead
    first_byte: float = FIRST_BYTE  # from a claim to the client's first byte
    handshake: float = HANDSHAKE  # from a claim to a finished TLS handshake
    stall: float = STALL  # that a reader may take nothing of what waits for it
    linger: float = LINGER  # that one side may stay after the other hung up
