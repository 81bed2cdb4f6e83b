"""What a farm's switchboard decides: actions for the driver, or a rejection."""

from collections.abc import Hashable
from dataclasses import dataclass

from privox_dht.errors import RemoteError
from privox_dht.relay.messages import Message


@dataclass(frozen=True, slots=True)
class Send:
    """Send this message on that control line."""

    to: Hashable
    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    """Close that connection."""

    connection: Hashable
    reason: str  # one word, counted
    after_flush: bool = False  # not at once, but when what was written to it has been sent


Actions = list[Send | Close]


class Rejected(RemoteError):
    """A request that is not granted; `.reason` is one word, `.wait` seconds until the next try."""

    def __init__(self, reason: str, wait: int = 0) -> None:
        super().__init__(f"refused: {reason}")
        self.reason = reason
        self.wait = wait
