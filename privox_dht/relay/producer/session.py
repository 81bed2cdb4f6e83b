"""One session of a producer at one farm: a control line and the parked lines, until it ends.

    dial, CONTROL <nonce>
    challenge     the farm proves its key; another farm's challenge is not answered
    prove         we prove ours
    granted       from here on: a token parks a line, `claimed` starts its timer, pings both ways
    refused, superseded, draining, silence, no line parked, hang-up: the end, with the time of the
                  next try

When a session ends, idle lines are closed. A claimed line may still finish its handshake, and calls
go on: they belong to the HTTP server.
"""

import asyncio
import logging
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from privox_dht.backoff import backoff
from privox_dht.errors import BadMessage
from privox_dht.relay import messages, relay_limits, tcp
from privox_dht.relay.producer.control_line import ControlLine
from privox_dht.relay.producer.line import Line, SessionConfig

log = logging.getLogger(__name__)
REFUSAL_TEXTS = {  # the reason in `refused` -> text for a person
    "full": "it has no room for another producer",
    "address": "it has enough producers of this network",
    "flapping": "this producer came back too often",
    "draining": "it is about to stop",
}


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How a session ended."""

    state: str  # "lost", "refused", "draining" or "superseded"
    why: str  # for the log
    wait: float = 0.0  # seconds the farm asked us to wait before the next session


class FarmSession:
    """One session at one farm."""

    def __init__(
        self,
        config: SessionConfig,
        on_event: Callable[[SessionEnd | None], None],
        rng: random.Random,
    ) -> None:
        """
        Args:
            on_event: called with None whenever a line is parked, and with the end, once.
            rng: chance, for back-off.
        """
        self._config = config
        self._on_event = on_event
        self._rng = rng
        self._control = ControlLine()
        self._tokens: deque[str] = deque(maxlen=relay_limits.PRODUCER_IDLE_LINES)
        self._lines: dict[str, Line] = {}  # by token
        self._tasks: dict[asyncio.Task[None], Line] = {}  # lines not handed to the HTTP server yet
        self._calls = 0  # lines handed to it
        self._has_parked = False  # a line
        self._failed_lines = 0  # lines in a row that failed before they were parked
        self._has_ended = False

    async def run(self) -> None:
        """From dialling to the end, and until no line is in its handshake any more."""
        try:
            ending = await self._run_to_end()
            self._close(idle_only=True)
            self._on_event(ending)
            if self._tasks:
                await asyncio.wait(list(self._tasks))
        finally:
            self._close()
            if self._tasks:
                await asyncio.wait(list(self._tasks))

    async def _run_to_end(self) -> SessionEnd:
        config = self._config
        try:
            sock = await tcp.dial(config.farm.host, config.farm.port, relay_limits.PRODUCER_DIAL)
        except OSError as exc:
            return SessionEnd("lost", f"no connection to {config}: {exc or 'not in time'}")
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: self._control, sock=sock)
            tcp.set_parked_options(sock)
            await self._handshake()
            return await self._listen()
        except TimeoutError:
            return SessionEnd("lost", f"{config} does not answer")
        except (BadMessage, OSError) as exc:
            return SessionEnd("lost", f"{config}: {exc}")
        except _SessionOver as over:
            return over.ending
        except Exception as exc:  # a bug must not keep the producer from coming back
            log.exception("relay: at %s", config)
            return SessionEnd("lost", f"{config}: {exc!r}")

    async def _handshake(self) -> None:
        """Prove both keys to each other."""
        config, nonce = self._config, os.urandom(messages.NONCE)
        async with asyncio.timeout(config.timeouts.head):
            self._control.open(config.seal(messages.control(nonce)), config.member)
            challenge = await self._receive(config.timeouts.head)
            farm = config.farm.public
            farm_nonce = messages.check_challenge(challenge, nonce, farm)
            self._control.send(
                *messages.prove(config.identity, farm, farm_nonce, nonce, config.instance)
            )
            answer = await self._receive(config.timeouts.head)
        if answer[0] != "granted":
            raise BadMessage("order", answer[0])

    async def _listen(self) -> SessionEnd:
        """Handle messages, and ping, until the session ends."""
        loop, timeouts = asyncio.get_running_loop(), self._config.timeouts
        ping = loop.time() + timeouts.ping
        dead = loop.time() + timeouts.silence
        while True:
            now = loop.time()
            if now >= dead:
                why = "fell silent" if self._has_parked else "lets no line be parked"
                return SessionEnd("lost", f"{self._config} {why}")
            if now >= ping:
                self._control.send("ping")
                ping = now + timeouts.ping
            try:
                message = await self._receive(min(ping, dead) - now)
            except TimeoutError:
                continue
            self._handle(message)
            if self._has_parked:
                dead = loop.time() + timeouts.silence

    async def _receive(self, seconds: float) -> messages.Message:
        message = await self._control.next(seconds)
        if message is None:
            raise _SessionOver(SessionEnd("lost", f"{self._config} {self._control.why}"))
        if message[0] == "refused":
            wait = min(float(message[2]), relay_limits.PRODUCER_MAX_RETRY_AFTER)
            why = f"{self._config} refuses: {REFUSAL_TEXTS.get(message[1], message[1])}"
            raise _SessionOver(SessionEnd("refused", why, wait))
        if message[0] == "draining":
            wait = min(float(message[1]), relay_limits.PRODUCER_MAX_RETRY_AFTER)
            raise _SessionOver(SessionEnd("draining", f"{self._config} is about to stop", wait))
        if message[0] == "superseded":
            why = f"another machine parked at {self._config} with this key"
            raise _SessionOver(SessionEnd("superseded", why))
        return message

    def _handle(self, message: messages.Message) -> None:
        match message:
            case ("token", token):
                self._tokens.append(token)
                self._fill()
            case ("parked", token) if token in self._lines:
                self._lines[token].parked = True
                self._failed_lines = 0
                self._has_parked = True
                self._on_event(None)
                self._fill()
            case ("claimed", token, caller) if token in self._lines:
                self._lines[token].claim(caller)
                self._fill()
            case _:
                pass  # `full` and `ping` only show that the farm lives; other tokens are stale

    def _fill(self) -> None:
        """Park as many lines as we have tokens and room for."""
        while self._tokens and not self._has_ended:
            idle = sum(not line.claimed for line in self._lines.values())
            # When thousands of producers come, one line for each at first
            if idle >= (relay_limits.PRODUCER_IDLE_LINES if self._has_parked else 1):
                return
            if len(self._tasks) + self._calls >= self._config.lines:
                return
            self._park(self._tokens.popleft())

    def _park(self, token: str) -> None:
        line = Line(token, self._config, self._on_call_end)
        task = asyncio.create_task(line.run(self._delay()), name=f"line to {self._config}")
        self._lines[token] = line
        self._tasks[task] = line
        task.add_done_callback(self._on_line_end)

    def _delay(self) -> float:
        """Seconds before the next line is dialled: 0, unless the last ones failed at once."""
        return backoff(self._failed_lines, *relay_limits.PRODUCER_LINE_BACKOFF, self._rng)

    def _on_line_end(self, task: asyncio.Task[None]) -> None:
        """A line was handed to the HTTP server, or has failed: park another."""
        line = self._tasks.pop(task)
        del self._lines[line.token]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):  # OSError: hang-up, time-out, TLS
            log.error("relay: %r failed", line, exc_info=error)
        if line.handed:
            self._calls += 1
        elif not line.claimed:
            self._failed_lines += 1
            self._control.send("gone", line.token)
        self._fill()

    def _on_call_end(self, line: Line) -> None:
        """The HTTP server has closed a line."""
        self._calls -= 1
        self._fill()

    def _close(self, *, idle_only: bool = False) -> None:
        """Hang up, and end the lines that were not handed to the HTTP server."""
        self._has_ended = True
        self._control.close()
        for task, line in self._tasks.items():
            if not (idle_only and line.claimed):
                task.cancel()


class _SessionOver(Exception):
    """A message has ended the session."""

    def __init__(self, ending: SessionEnd) -> None:
        super().__init__(ending.why)
        self.ending = ending
