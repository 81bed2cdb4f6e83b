"""The actions that a farm's switchboard asks for, and its rejections."""

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
    """Close that connection at once."""

    who: Hashable
    why: str  # one word, counted
    gently: bool = False  # once what was written to it has been sent


Effects = list[Send | Close]


class Rejected(RemoteError):
    """A request that is not granted; `.why` is one word, `.wait` seconds until the next try."""

    def __init__(self, why: str, wait: int = 0) -> None:
        super().__init__(f"refused: {why}")
        self.why = why
        self.wait = wait
