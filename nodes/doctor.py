"""`privox-node doctor`: what works from here, what does not, and what to do about it.

    node       can it start: are its folder and its ports free
    engines    can the engines that it is to lend be started
    join       does a neighbour answer
    clock      is ours right
    udp, tcp   can strangers reach this machine (nodes that we never contacted dial us back)
    relay      with --farm: can they reach the relay's port, too
    records    can a record of ours be read from the nodes that hold it
    farm       can a line be parked at a farm
    round trip does a job reach us from a client through that farm, and its result the client

Each probe has its own deadline: "not in time" is a verdict too. The doctor has a key of its own and
publishes nothing that a client could find, so it can run beside a node.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from nodes import farm_check, startup_check
from nodes.codecs import Codecs
from nodes.config import NodeConfig
from nodes.engines.echo import EchoTranscriber
from nodes.farm_discovery import known_farms
from nodes.producer import Producer
from nodes.reachability import ReachabilityMonitor
from nodes.reachability_report import CLOCK_TOLERANCE
from nodes.verdict import LATE, LIKELY, NO, PARTLY, UNKNOWN, YES, Verdict
from privox_dht import limits
from privox_dht.addresses import Address, join_host
from privox_dht.audio import wav
from privox_dht.dht import Reachability
from privox_dht.dht.contact_file import ContactFile
from privox_dht.directory.failover import Directory
from privox_dht.errors import ConfigError, PrivoxError
from privox_dht.extras import needed_by
from privox_dht.identity import Identity
from privox_dht.membership.members import Membership
from privox_dht.membership.secret_file import membership_of
from privox_dht.membership.tls import server_context
from privox_dht.records import Record, sign
from privox_dht.relay import FarmAddress, FarmPool
from privox_dht.speech import Segment, TranscriptionRequest
from privox_dht.speech_api.client import Endpoint, SpeechClient
from privox_dht.speech_api.speech_server import SpeechServer

KIND = "doctor"  # a kind of record that no client looks up
CLIP_SECONDS = 2
ENGINES_TIMEOUT = 600.0  # seconds: models may have to be downloaded


Probe = Callable[[], Awaitable[Verdict]]
T = TypeVar("T")


@dataclass
class Doctor:
    """Runs the probes with the parts of a node, as far as these can be started."""

    config: NodeConfig
    identity: Identity = field(default_factory=Identity.generate)
    farm: FarmAddress | None = None

    async def examine(self, report: Callable[[Verdict], None]) -> bool:
        """Run all probes in turn and report each verdict. Returns whether this machine can lend."""
        starts = [await _bounded("node", 5.0, partial(startup_check.node, self.config))]
        report(starts[0])
        if self.config.services:
            lends = partial(startup_check.engines, self.config)
            starts.append(await _bounded("engines", ENGINES_TIMEOUT, lends))
            report(starts[1])
        async with AsyncExitStack() as stack:
            self._stack = stack
            try:
                self._dht = await self._listening()
            except ConfigError:  # the verdict on the node tells why
                return False
            codecs = await stack.enter_async_context(Codecs(1))
            producer = Producer([EchoTranscriber()], 1, codecs)
            self._server = await self._serving(producer)
            verdicts = [await _bounded("join", 15.0, self._join)]
            report(verdicts[0])
            if verdicts[0].found != YES:
                return False
            relay = partial(farm_check.relay, self.config, self._dht)
            for probe, timeout, run in (
                ("clock", 5.0, self._clock),
                ("udp, tcp", 30.0, self._reach),
                *((("relay", 30.0, relay),) if self.config.farm else ()),
                ("records", 15.0, self._records),
                ("farm", 20.0, self._park),
                ("round trip", 20.0, self._round_trip),
            ):
                verdicts.append(await _bounded(probe, timeout, run))
                report(verdicts[-1])
        found = {verdict.probe: verdict.found for verdict in verdicts}
        reachable = found["udp, tcp"] in (YES, LIKELY) or found["round trip"] == YES
        reachable &= found.get("relay") != NO
        published = found["records"] == YES
        return published and reachable and all(verdict.found in (YES, PARTLY) for verdict in starts)

    async def _listening(self) -> Directory:
        """The DHT on the node's own port if it is free, since a router forwards that one."""
        self._member = self._membership()
        return await self._at_free_port(self.config.port, lambda port: Directory(
            self.identity, network=self.config.network, host=self.config.host,
            port=port, guest=True, member=self._member,
        ))  # fmt: skip

    def _membership(self) -> Membership | None:
        """A new one: no two nodes share theirs."""
        return membership_of(self.config.secret_file, self.config.network)

    async def _find_neighbours(self) -> list[Address]:
        """The neighbours to join through: those named, and those that the node remembers; else
        those in the local network, if the node is to look there."""
        config = self.config
        kept = ContactFile.choose(config.state_dir, self._dht.contacts_name, config.neighbours)
        known = list(dict.fromkeys([*config.neighbours, *kept.known(time.time())]))
        if config.lan and not known:
            with needed_by("--lan", "lan"):
                from privox_dht import lan
            with suppress(OSError):  # there is no network
                known = await lan.find(self._dht.mesh)
        return known

    async def _serving(self, producer: Producer) -> SpeechServer:
        """The API on the number of our UDP port, the only one that is dialled back; else on any."""
        return await self._at_free_port(self._dht.port, lambda port: SpeechServer(
            producer, host=self.config.host, port=port,
            tls=server_context(self.identity, self._member),
        ))  # fmt: skip

    async def _at_free_port(
        self, port: int, make: Callable[[int], AbstractAsyncContextManager[T]]
    ) -> T:
        """What listens at that port, or at any if that one is taken."""
        try:
            return await self._stack.enter_async_context(make(port))
        except ConfigError:
            return await self._stack.enter_async_context(make(0))

    async def _join(self) -> Verdict:
        self._neighbours = await self._find_neighbours()
        if not self._neighbours:
            return Verdict(
                "join", NO, "no neighbour is known",
                "give --neighbours HOST:PORT; a first node has none, and others join it",
            )  # fmt: skip
        count = await self._dht.join(self._neighbours, 10.0)
        if through := self._dht.https_neighbour:
            return Verdict(
                "join", YES, f"UDP is blocked; {count} nodes answer over HTTPS, first {through}",
                f"this works; allow outgoing UDP {self.config.port} for faster look-ups",
            )  # fmt: skip
        return Verdict("join", YES, f"{count} nodes known, listening on {self._dht.port}")

    async def _clock(self) -> Verdict:
        offset = self._dht.clock_offset()
        if offset is None:
            return Verdict("clock", UNKNOWN, "no neighbour sent its time")
        detail = f"{-offset:+.1f} s off the neighbours'"
        if abs(offset) > CLOCK_TOLERANCE:
            return Verdict("clock", NO, detail, "set the clock (sudo timedatectl set-ntp true)")
        return Verdict("clock", YES, detail)

    async def _reach(self) -> Verdict:
        if self._dht.https_neighbour:
            return Verdict("udp, tcp", NO, "UDP is blocked here", "let farms relay")
        asked = await self._dht.dial_back(self._server.port)
        found = [reach for reach in asked if reach.udp is not None]
        detail = "; ".join(map(self._reached, found))
        if any(reach.is_open for reach in found):
            return Verdict("udp, tcp", YES, detail)
        if not any(reach.is_shut for reach in found):
            nobody = "no node could be asked to dial back"
            monitor = ReachabilityMonitor(self.config, self._dht, self._server.port, lambda: None)
            monitor.record_dial_back(asked)
            if monitor.network_state.reachable:
                own = "neighbours see this machine's own address: there is no NAT in between"
                return Verdict("udp, tcp", LIKELY, f"{nobody}; {own}")
            return Verdict("udp, tcp", UNKNOWN, detail, nobody)
        return Verdict("udp, tcp", NO, detail, "forward both ports, or let farms relay")

    def _reached(self, reach: Reachability) -> str:
        """The result of dialling back one address family."""
        at = " and ".join(join_host(*there) for there in reach.addresses) or "an address"
        udp, tcp = _port_state(reach.udp), _port_state(reach.tcp)
        return f"UDP {self._dht.port} {udp}, TCP {self._server.port} {tcp}, dialled at {at}"

    async def _records(self) -> Verdict:
        now = time.time()
        record = sign(
            self.identity,
            Record(publisher=b"", mesh=self._dht.mesh, kind=KIND, sequence=int(now * 1000),
                   issued=int(now), expires=int(now) + 60),
        )  # fmt: skip
        holders = await self._dht.publish(record)
        async with Directory(
            Identity.generate(), network=self.config.network, host=self.config.host, guest=True,
            member=self._membership(),
        ) as reader:  # fmt: skip
            await reader.join(self._neighbours, 5.0)
            found = await reader.find(KIND, "cpu")
        back = any(other.publisher == self.identity.public for other in found)
        detail = f"nodes that hold it: {holders}, {'read back' if back else 'not read back'}"
        return Verdict(
            "records", YES if back else NO, detail, "" if back else "is the clock right?"
        )

    async def _park(self) -> Verdict:
        farms = await known_farms(self._dht, self.config.farms, self._dht.allows)
        clock_harms = abs(self._dht.clock_offset() or 0.0) > limits.CLOCK_SKEW
        verdict, self.farm = await farm_check.park(self._stack, farms, self._pool, clock_harms)
        return verdict

    def _pool(self, farm: FarmAddress) -> FarmPool:
        """The pool that parks at one farm."""

        async def known() -> list[FarmAddress]:
            return [farm]

        return FarmPool(
            self.identity, known, server_context=server_context(self.identity, self._member),
            connection=self._server.connection, on_change=lambda pool: None, want=1,
            member=self._member,
        )  # fmt: skip

    async def _round_trip(self) -> Verdict:
        if self.farm is None:
            return Verdict("round trip", NO, "no farm to go through")
        endpoint = Endpoint(
            f"https://{self.identity.peer_id}.privox", self.identity.public,
            proxy=f"http://{join_host(self.farm.host, self.farm.port)}",
        )  # fmt: skip
        clip = wav(bytes(2 * 16_000 * CLIP_SECONDS), 16_000)
        began = time.monotonic()
        async with SpeechClient(allow=self._dht.allows, member=self._member) as client:
            events = client.transcribe(
                endpoint, clip, TranscriptionRequest(model=EchoTranscriber.name)
            )
            try:
                texts = [event.text async for event in events if isinstance(event, Segment)]
            except PrivoxError as exc:
                return Verdict("round trip", NO, str(exc), "the farm may be full; try another")
        taken = time.monotonic() - began
        right = texts == [f"{CLIP_SECONDS:.2f} seconds of sound"]
        detail = f"a {CLIP_SECONDS} s clip in {taken * 1e3:.0f} ms"
        return Verdict("round trip", YES if right else NO, detail)


async def _bounded(probe: str, timeout: float, run: Probe) -> Verdict:
    try:
        async with asyncio.timeout(timeout):
            return await run()
    except TimeoutError:
        return Verdict(probe, LATE, f"nothing within {timeout:.0f} s", "is the network very slow?")
    except PrivoxError as exc:
        return Verdict(probe, NO, str(exc))


def _port_state(is_open: bool | None) -> str:
    return {True: "open", False: "closed", None: "unknown"}[is_open]
