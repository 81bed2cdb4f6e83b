"""Applies the owner's terms of lending: the shell around `lending`, which decides.

    clock, battery, load, pause.json  ->  lending  ->  slots that are lent
    a job begins, ends                ->  its bytes and its sound are counted
    lending.json, in the state folder     what is lent now, why no more, until when: for its owner
                                          only
    transfer.json                         bytes of jobs, by month

Every job asks first (`look`), so that lending ends exactly on time.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nodes import lending, pause
from nodes.machine import Machine, OtherPrograms, local_time
from nodes.sound_quota import NetworkSoundQuota
from privox_dht import limits
from privox_dht.atomic_file import SECRET, replace_file
from privox_dht.cli.output import log_fields
from privox_dht.errors import ConfigError, ProducerBusy
from privox_dht.http.request_limits import RequestLimits
from privox_dht.offer import Offer
from privox_dht.speech import STT

log = logging.getLogger("privox.node")
TRANSFER_FILE, LENDING_FILE = "transfer.json", "lending.json"
LOOK_EVERY = 1.0  # seconds between two looks at the clock, the battery and the pause
LOAD_EVERY = 5.0  # seconds between two looks at the load, which costs more
SAVE_EVERY = 5.0  # seconds between two writings of the transfer; a crash loses no more


@dataclass(frozen=True, slots=True)
class LendingState:
    """What a running node reports to its owner about lending."""

    slots: int  # lent now
    of: int
    why: str = ""  # why no more
    until: float | None = None  # seconds since the epoch, as far as that is known
    paused: bool = False
    carried: int = 0  # bytes of jobs in this month
    transfer: int | None = None  # bytes that a month may have

    def __str__(self) -> str:
        """In a line, for a person."""
        if not self.why:
            return f"lends {self.slots} of {self.of} slots"
        when = f", until {time_of_day(self.until)}" if self.until else ""
        what = f"lends {self.slots} of {self.of} slots" if self.slots else "does not lend"
        return f"{what}: {self.why}{when}"


def time_of_day(moment: float) -> str:
    """A time as a person says it: 22:00, or Mon 22:00 where that is not within a day."""
    local = local_time(moment)
    return f"{local:%H:%M}" if moment - time.time() < 86_400 - 60 else f"{local:%a %d %b %H:%M}"


def read_lending_state(folder: Path) -> LendingState | None:
    """The state of the node that uses `folder`; None: none runs, or it does not lend at all."""
    try:
        return LendingState(**json.loads((folder / LENDING_FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class Lender:
    """Applies the owner's terms.

    Args:
        folder: the node's state folder.
        bounds: the limits of one request.
        share: of the machine's processors that is lent, 0 to 1.
        machine: its clock, its battery, its load.
    """

    def __init__(
        self,
        terms: lending.LendingTerms,
        slots: int,
        folder: Path,
        bounds: RequestLimits,
        *,
        share: float = 1.0,
        machine: Machine | None = None,
    ) -> None:
        machine = machine or Machine()
        self._terms, self._slots, self._folder, self._bounds = terms, slots, folder, bounds
        self._clock, self._on_battery = machine.clock, machine.on_battery
        self._others = OtherPrograms(machine.cpu_times) if terms.give_way else None
        self._transfer = lending.Transfer(
            terms.transfer, machine.local, lending.parse_months(self._kept())
        )
        self._policy = lending.LendingPolicy(terms, slots, machine.local, self._transfer, share)
        self._sound = None
        if terms.address_seconds is not None:
            self._sound = NetworkSoundQuota(terms.address_seconds)
        self._battery = False
        self._pause: lending.Pause | None = None
        self._unsaved = False
        self._last: lending.Decision | None = None
        self.refresh()

    def __repr__(self) -> str:
        return f"<Lender {self._last!r}>"

    # -- what is asked for each job -----------------------------------------------------------

    def look(self) -> tuple[int, float]:
        """How many slots are lent at this moment; if none, after how many seconds to ask again."""
        now = self._clock()
        decision = self._policy.decide(now, self._battery, self._pause)
        if decision != self._last:
            before, self._last = self._last, decision
            self._report(decision, before)
        return decision.slots, decision.retry_after(now)

    def check(self, offer: Offer) -> None:
        """
        Raises:
            ProducerBusy: this client is not served, or its networks have used up their hour.
        """
        if offer.own:
            return
        if why := lending.why_refused(self._terms, offer.peer):
            raise ProducerBusy(why, limits.NOT_LENT_RETRY_MAX)
        if self._sound is None:
            return
        if wait := self._sound.wait(offer.prefixes, self._clock()):
            raise ProducerBusy(
                "your network has brought as much sound as this producer takes in an hour",
                min(wait, limits.NOT_LENT_RETRY_MAX),
            )

    @contextmanager
    def counting(self, service: str, offer: Offer) -> Iterator[None]:
        """A job while it has its slot; its bytes and sound are counted when the context is left."""
        if offer.own:
            yield
            return
        job = self._transfer.begin(self._max_bytes(service, offer), self._clock())
        try:
            yield
        finally:
            self._transfer.end(job, offer.received + offer.sent)
            self._unsaved = True
            if self._sound is not None:
                self._sound.charge(offer.prefixes, offer.seconds, self._clock())

    def _max_bytes(self, service: str, offer: Offer) -> int:
        """The most bytes that it may transfer."""
        if service == STT:
            return (offer.body or self._bounds.upload) + limits.MAX_ANSWER
        return (offer.body or self._bounds.json) + limits.MAX_ANSWER_AUDIO

    # -- what is looked at again and again ----------------------------------------------------

    async def run(self, lend: Callable[[int, float], None]) -> None:
        """Watch the clock, the battery, the load and the pause, for ever; `lend` is called with
        what `look` returns."""
        loop = asyncio.get_running_loop()
        loaded = saved = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.refresh()
            if self._others is not None and loop.time() - loaded >= LOAD_EVERY:
                loaded = loop.time()
                self._policy.note_load(*await asyncio.to_thread(self._others.share))
            lend(*self.look())
            if loop.time() - saved >= SAVE_EVERY:
                saved = loop.time()
                await asyncio.to_thread(self.save)

    def close(self) -> None:
        """The node ends."""
        self.save()
        with suppress(OSError):
            (self._folder / LENDING_FILE).unlink()

    def refresh(self) -> None:
        """The battery, and whether there is a pause."""
        self._battery = not self._terms.on_battery and self._on_battery()
        self._pause = pause.read(self._folder)
        if self._pause is not None and not self._pause.is_active(self._clock()):
            with suppress(ConfigError):  # the next start finds it over, too
                pause.end(self._folder)

    def _kept(self) -> Any:
        try:
            return json.loads((self._folder / TRANSFER_FILE).read_bytes())
        except (OSError, ValueError):
            return {}

    def save(self) -> None:
        """Write the transfer, if it has changed."""
        if self._unsaved:
            self._unsaved = not self._write(TRANSFER_FILE, self._transfer.months)
            if self._last is not None:
                self._write(LENDING_FILE, asdict(self._state(self._last)))

    def _report(self, decision: lending.Decision, before: lending.Decision | None) -> None:
        """Report a change to the owner."""
        state = self._state(decision)
        self._write(LENDING_FILE, asdict(state))
        ends_with_job = decision.ends_with_job or (before is not None and before.ends_with_job)
        if not ends_with_job and (decision.why or (before and before.why)):
            fields = log_fields("lending", slots=state.slots, why=state.why, until=state.until)
            log.info("this node %s", state, extra=fields)

    def _state(self, decision: lending.Decision) -> LendingState:
        now = self._clock()
        is_paused = self._pause is not None and self._pause.is_active(now)
        return LendingState(
            decision.slots, self._slots, decision.why, decision.until, is_paused,
            self._transfer.used(now), self._terms.transfer,
        )  # fmt: skip

    def _write(self, name: str, value: Any) -> bool:
        path = self._folder / name
        try:
            replace_file(path, json.dumps(value).encode() + b"\n", mode=SECRET)
        except OSError as exc:
            log.warning("cannot write %s: %s", path, exc.strerror or exc)
            return False
        return True
